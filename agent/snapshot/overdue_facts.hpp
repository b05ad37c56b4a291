// From the dump's open resources to what a verdict needs: for each kind that has some over its
// limit, where those were opened, and by which tasks.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never. Errors: less, where the arena is full.
// Bounds: max_evidence places, tasks or descriptors of a kind.
#pragma once

#include <span>

#include "agent/analysis/facts.hpp"
#include "agent/base/arena.hpp"
#include "agent/model/resources.hpp"
#include "agent/snapshot/frame_details.hpp"

namespace corodump::snapshot {

class overdue_facts {
public:
    static constexpr std::size_t max_evidence = 64;

    /// All of them outlive what is made.
    overdue_facts(base::arena& memory, const model::tracked_resources& from,
                  frame_details& details) noexcept
        : memory_(memory), from_(from), details_(details) {}

    [[nodiscard]] std::span<const analysis::overdue> make() noexcept;

private:
    void add_places(std::uint32_t kind, analysis::overdue& to) noexcept;
    void add_tasks(std::uint32_t kind, analysis::overdue& to) noexcept;
    void add_descriptors(std::uint32_t kind, analysis::overdue& to) noexcept;
    [[nodiscard]] std::uint32_t opener_at(std::uint32_t kind, std::uint64_t site) noexcept;

    base::arena& memory_;
    const model::tracked_resources& from_;
    frame_details& details_;
};

}  // namespace corodump::snapshot
