#include "agent/snapshot/growth_watch.hpp"

#include <algorithm>

namespace corodump::snapshot {

std::uint64_t growth_watch::count_before(std::uint64_t definition) const noexcept {
    const auto all = std::span(places_).first(used_);
    const auto at = std::ranges::find(all, definition, &place::definition);
    return at == all.end() ? 0 : at->count;
}

std::span<const analysis::growth> growth_watch::compare(base::arena& memory,
                                                        const model::snapshot& now) noexcept {
    const std::size_t room = std::min<std::size_t>(2 * now.roots.size() + 2, 2048);
    analysis::count_table<now_there> table(
        memory.allocate_zeroed<analysis::counted<now_there>>(room));
    for (const std::uint32_t root : now.roots) {
        const model::frame& f = now.frames[root];
        auto* const entry = table.add(f.definition);
        if (entry == nullptr) continue;
        entry->value.definition = f.definition;
        // Ticks wrap; a task is not older than half of their range.
        const auto born_after = static_cast<std::int32_t>(f.created_tick - tick_);
        if (f.created_tick != 0 && born_after <= 0) ++entry->value.survivors;
    }
    const auto largest = table.largest(max_places);
    const double seconds = static_cast<double>(now.now_tick - tick_) * now.seconds_per_tick;
    const bool comparable = used_ != 0 && seconds >= least_seconds;
    const auto growths = memory.allocate_span<analysis::growth>(comparable ? largest.size() : 0);
    std::size_t found = 0;
    for (std::size_t i = 0; i < growths.size(); ++i) {
        const std::uint64_t before = count_before(largest[i].value.definition);
        if (before == 0 || before >= largest[i].count) continue;
        growths[found++] = {.born = now.details->where(largest[i].value.definition),
                            .before = before,
                            .now = largest[i].count,
                            .survivors = largest[i].value.survivors,
                            .seconds = seconds};
    }
    if (used_ == 0 || comparable) {
        used_ = largest.size();
        for (std::size_t i = 0; i < used_; ++i)
            places_[i] = {largest[i].value.definition, largest[i].count};
        tick_ = now.now_tick;
    }
    return growths.first(found);
}

}  // namespace corodump::snapshot
