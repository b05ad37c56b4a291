// Tasks that are gone: the last 1,000, with how they ended.
//
// A library's entries tell of their end always, at the cost of one call a task; other coroutines
// only under switch_ends, and then it is found out here whether a frame was a task, which is to say
// that none awaited it.
//
// Threads: the C function by any; reading by the watchdog. Signals: unsafe. Blocks: never.
// Errors: dropped, counted. Bounds: 1,000 tasks.
#pragma once

#include <cstdint>

#include "agent/base/fact_ring.hpp"

namespace corodump::sources {

enum class finished_outcome : std::uint32_t { done, failed, cancelled };

struct finished_facts {
    std::uint64_t address;
    std::uint64_t definition;  ///< key
    std::uint64_t by_address;  ///< the task that destroyed it before its end; 0: none
    std::uint32_t generation;
    std::uint32_t by_generation;
    std::uint32_t created_tick;  ///< 0: unknown
    std::uint32_t ended_tick;    ///< 0: unknown
    finished_outcome outcome;
    std::uint32_t reserved;
    char name[88];
};

using finished_ring = base::fact_ring<finished_facts, 1000>;
[[nodiscard]] const finished_ring& finished_tasks() noexcept;

enum class ends_noted : std::uint32_t { none, entries, all };
void note_ends(ends_noted which) noexcept;

}  // namespace corodump::sources
