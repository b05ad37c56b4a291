#include "agent/analysis/wait_cycle.hpp"

#include <algorithm>

namespace corodump::analysis {

std::size_t find_stuck(std::span<held_resource> resources, const waits_for& waits) noexcept {
    for (held_resource& r : resources) r.stuck = r.whole && !r.holders.empty();
    const auto held_up = [&](std::uint32_t task) {
        const std::uint32_t next = waits.resource_of(task);
        return next < resources.size() && resources[next].stuck;
    };
    for (bool changed = true; changed;) {
        changed = false;
        for (held_resource& r : resources) {
            if (!r.stuck || std::ranges::all_of(r.holders, held_up)) continue;
            r.stuck = false;
            changed = true;
        }
    }
    return static_cast<std::size_t>(
        std::ranges::count_if(resources, [](const held_resource& r) { return r.stuck; }));
}

}  // namespace corodump::analysis
