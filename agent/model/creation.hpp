// Who created the tasks of a dump, and where: filled by snapshot/creation, written by
// format/creation_writer. Only there when creations are traced.
//
// Threads: one owner (the watchdog). Signals: unsafe. Blocks: never.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "agent/model/snapshot.hpp"

namespace corodump::model {

/// Of one task.
struct birth {
    std::uint64_t creator = 0;  ///< the frame that created it, alive or not; 0: none, or unknown
    std::uint32_t creator_generation = 0;
    std::uint32_t creator_task = no_index;  ///< root frame of the creator's task, while it lives
    std::uint32_t stack = 0;                ///< creation_stack::id; 0: none
};

struct creation_stack {
    std::uint32_t id = 0;
    std::uint64_t count = 0;               ///< tasks of this dump
    std::span<const native_frame> frames;  ///< innermost first
};

struct creation {
    std::string_view mode;             ///< "creators", or of stacks "sampled" or "all"
    std::uint32_t budget_percent = 0;  ///< 0: not sampled
    std::uint32_t depth = 0;
    std::uint64_t births = 0, stacks_taken = 0, short_stacks = 0, missed = 0, distinct_stacks = 0,
                  stack_bytes = 0;
    std::span<const birth> of_tasks;            ///< in the order of snapshot::roots
    std::span<const creation_stack> of_stacks;  ///< most tasks first
    std::uint64_t stacks_left_out = 0;

    [[nodiscard]] bool takes_stacks() const noexcept { return depth != 0; }
};

}  // namespace corodump::model
