// What a dump says of a profile: how long each coroutine function ran and was suspended, altogether
// and by await chain.
//
// Threads: one owner (the watchdog). Signals: unsafe. Blocks: never.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "agent/model/snapshot.hpp"

namespace corodump::model {

/// Times are a function's own: what coroutines took that ran inside of it is theirs.
struct profile_counts {
    std::uint64_t calls = 0;
    std::uint64_t resumes = 0;
    std::int64_t running_ns = -1;    ///< -1: not measured
    std::int64_t cpu_ns = -1;        ///< -1: not measured
    std::int64_t suspended_ns = -1;  ///< -1: not measured
    std::int64_t longest_ns = -1;    ///< of one run; -1: not measured
    std::uint64_t live = 0;
};

struct profile_function {
    std::uint64_t definition = 0;  ///< key for details::where
    profile_counts counts;
};

/// A function as it was awaited by one chain of others.
struct profile_chain {
    std::uint32_t function = 0;       ///< into profile::functions
    std::uint32_t parent = no_index;  ///< into profile::chains, earlier than this one
    bool cut = false;                 ///< what awaited it is left out
    profile_counts counts;
};

struct profile {
    std::uint32_t session = 0;  ///< how often counting has begun: others cannot be compared
    bool running = false;       ///< else it was stopped
    std::string_view clock;     ///< "off", "wall" or "cpu"
    double seconds = 0;         ///< that it has run
    std::span<const profile_function> functions;
    std::span<const profile_chain> chains;
    std::uint64_t dropped_resumes = 0;  ///< of functions that there was no room for
};

}  // namespace corodump::model
