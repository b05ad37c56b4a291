// What the profiler keeps of each thread: its counters, and the coroutines it is inside of.
//
//   chunks[] ──> 256 counters of 64 bytes, one for each node (profile_nodes.hpp)
//   levels[] ──> outermost ... innermost; `since`: where the innermost's time is not counted yet
//
// The thread itself writes, with relaxed stores; no other thread's cache line is touched on a
// resume. A state goes from one thread to the next, its counts with it. Counters of an earlier
// session mean nothing: `session` says whose they are.
//
// Threads: one writer, the watchdog reads. Signals: unsafe. Bounds: max_levels; 16 KiB for each 256
// nodes that ran on the thread.
#pragma once

#include <atomic>
#include <corodump/detail/abi.hpp>
#include <cstddef>
#include <cstdint>

namespace corodump::sources {

/// Times in steps of the session's clock, `cpu` in nanoseconds.
struct alignas(64) profile_counter {
    std::atomic<std::uint64_t> calls, resumes, running, cpu, suspended, longest;
};
static_assert(sizeof(profile_counter) == 64);

/// Beside each frame's record (object_notes.hpp): zero at first.
struct profile_note {
    std::atomic<std::uint64_t> word;   ///< generation, session, node: see profile.cpp
    std::atomic<std::uint64_t> since;  ///< when it was left; 0: it runs, or nobody knows
};
static_assert(sizeof(profile_note) == 16);

struct thread_profile {
    static constexpr std::size_t max_levels = detail::thread_state::max_depth + 1;
    static constexpr std::size_t chunk_counters = 256;
    static constexpr std::size_t max_chunks = 64;

    struct level {
        const detail::record* own;
        profile_note* note;
        std::atomic<std::uint32_t> node;
        std::atomic<std::uint64_t>
            run;  ///< steps of this run so far, without those of coroutines inside of it
    };

    std::atomic<std::uint32_t> session;  ///< 0: none, or the counters are being cleared
    std::atomic<std::uint32_t> depth;
    std::atomic<std::uint64_t> since;
    std::atomic<std::uint64_t> cpu_since;    ///< nanoseconds of the thread's own clock
    std::atomic<std::uint64_t> stopped_cpu;  ///< what that clock was when the session was stopped
    const detail::record* left;              ///< the coroutine that was left last
    level levels[max_levels];
    std::atomic<profile_counter*> chunks[max_chunks];
};

}  // namespace corodump::sources
