// What a dump says of event loops: how long their callbacks take, how late they are, and where they
// were blocked.
//
// Threads: one owner (the watchdog). Signals: unsafe. Blocks: never.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "agent/model/snapshot.hpp"

namespace corodump::model {

struct loop_bucket {
    std::uint64_t below_ns = 0;  ///< 0: no bound
    std::uint64_t count = 0;
};

/// What a loop's thread is in the middle of.
struct loop_callback {
    std::int32_t thread = 0;         ///< 0: the loop is in no callback
    std::int64_t for_ns = 0;         ///< at least
    std::uint32_t frame = no_index;  ///< the coroutine that is being resumed
};

struct loop {
    std::string_view name;
    std::string_view kind;
    std::span<const std::int32_t> threads;  ///< that live and have run a callback
    std::uint64_t callbacks = 0;
    std::uint64_t total_ns = 0;
    std::uint64_t longest_ns = 0;
    std::uint64_t over_threshold = 0;
    std::uint64_t threshold_ns = 0;          ///< 0: stalls are not looked for
    std::span<const loop_bucket> histogram;  ///< ascending; those that are not empty
    std::int64_t last_delay_ns = -1;         ///< -1: it has no heartbeat
    std::int64_t longest_delay_ns = -1;
    std::int64_t queued = -1;  ///< -1: unknown
    loop_callback current;     ///< the one that has lasted longest
};

struct stall {
    std::string_view loop;  ///< empty: a coroutine's run, in no loop that is known
    std::int32_t thread = 0;
    std::int64_t time_unix_ns = 0;  ///< when it began
    std::int64_t duration_ns = 0;   ///< at least
    bool ongoing = false;
    std::uint32_t frame = no_index;  ///< the coroutine, where it lives still
    std::string_view name;           ///< that the service gave the coroutine; empty: none
    std::string_view function;       ///< the coroutine's; empty: none is known
    std::string_view reason;         ///< why there is no stack, or not all of it; empty: all
    std::span<const native_frame> frames;
};

struct loops {
    std::span<const loop> all;
    std::span<const stall> stalls;  ///< oldest first
    std::uint64_t stalls_seen = 0;  ///< since the start, those included that are no longer kept
};

}  // namespace corodump::model
