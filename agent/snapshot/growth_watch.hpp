// How many tasks there are of each birthplace, from one dump to the next: what only grows is leaking.
//
// Of the earlier dump only counts are kept. How many of its tasks are still there is known from the
// creation ticks of those that are.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never. Bounds: 256 birthplaces, the largest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/analysis/count_table.hpp"
#include "agent/analysis/facts.hpp"
#include "agent/base/arena.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::snapshot {

/// Outlives the dumps.
class growth_watch {
public:
    /// What has become more since the dump that is remembered. Remembers this one instead when the other
    /// is at least least_seconds old: what grows slowly shows between dumps that are some time apart.
    [[nodiscard]] std::span<const analysis::growth> compare(base::arena& memory,
                                                            const model::snapshot& now) noexcept;
    /// In a forked child, whose tasks are its own.
    void forget() noexcept { used_ = 0; }

private:
    static constexpr std::size_t max_places = 256;
    static constexpr double least_seconds = 10;
    struct place {
        std::uint64_t definition = 0;
        std::uint64_t count = 0;
    };
    struct now_there {
        std::uint64_t definition = 0;
        std::uint64_t survivors = 0;
    };

    [[nodiscard]] std::uint64_t count_before(std::uint64_t definition) const noexcept;

    place places_[max_places];
    std::size_t used_ = 0;
    std::uint32_t tick_ = 0;
};

}  // namespace corodump::snapshot
