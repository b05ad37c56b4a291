// The profiler: how often each coroutine function runs, for how long, and how long it is suspended,
// by await chain.
//
//   corodump_enter_v1 ─> enter_profile ─┐   this thread's counter of the coroutine's node
//   corodump_leave_v1 ─> leave_profile ─┘   (thread_profile.hpp, profile_nodes.hpp)
//
// A run lasts from entering to leaving. While a coroutine inside of it runs, the time is the inner
// one's: all times are a function's own. A session begins with start_profile and ends with
// stop_profile; what it counted can be read until the next one begins. Runs that were under way
// when it began are not counted.
//
// Off, there is no session, and nobody who hears runs: the hot path is as ever.
//
// Threads: any; read_profile and what goes with it by one at a time. Signals: unsafe.
// Blocks: start, stop and reset on each other. Errors: what has no memory is counted as dropped.
// Bounds: as the nodes and a thread's levels; 65,536 threads.
#pragma once

#include <atomic>
#include <corodump/detail/abi.hpp>
#include <cstdint>
#include <span>

#include "agent/sources/pool.hpp"
#include "agent/sources/thread_profile.hpp"

namespace corodump::sources {

enum class profile_clock : std::uint32_t { off, wall, cpu };

/// 0: no session. What start and the reader agree on: number << 3 | steady counter << 2 | clock+1.
extern constinit std::atomic<std::uint32_t> profile_session;

/// The clock's pace is measured from here on: the earlier, the more exact.
void prepare_profile() noexcept;
/// 0 or EALREADY.
int start_profile(profile_clock clock) noexcept;
/// 0 or ESRCH: none runs.
int stop_profile() noexcept;
/// From here on it counts from zero. 0 or ESRCH.
int reset_profile() noexcept;
/// Of the session that runs.
[[nodiscard]] bool profile_running(profile_clock& clock) noexcept;

/// The thread goes into and out of the coroutine. `of` is the thread's own node.
void enter_profile(thread_node& of, detail::record* own, std::uint32_t session) noexcept;
void leave_profile(thread_node& of, const detail::record* own, std::uint32_t session) noexcept;
/// Around a fork: nobody is in the middle of a start, stop or reset, and the child's lock is free.
void hold_profile() noexcept;
void release_profile() noexcept;
/// The thread is gone, or was lost in a fork: it is inside of nothing.
void forget_profile(thread_profile& of) noexcept;
/// Of a slab that has emptied. Under the pool's lock.
void trim_profile(const detail::slab_header& slab) noexcept;

/// One look at the session, at one moment.
struct profile_view {
    std::uint32_t session = 0;  ///< 0: there never was one
    bool running = false;
    profile_clock clock = profile_clock::off;
    std::uint64_t now = 0;  ///< stamp: of this look, or when it was stopped
    double ns_per_step = 1;
    double seconds = 0;  ///< that the session has lasted
};
[[nodiscard]] profile_view view_profile() noexcept;
[[nodiscard]] constexpr std::uint32_t number_of_session(std::uint32_t session) noexcept {
    return session >> 3U;
}

/// Times in steps, `cpu` in nanoseconds.
struct profile_sum {
    std::uint64_t calls = 0, resumes = 0, running = 0, cpu = 0, suspended = 0, longest = 0;
    std::uint64_t live = 0;  ///< the reader's
};
/// Adds up all threads, runs under way included, by node. Nodes beyond the span are left out.
void read_profile(const profile_view& view, std::span<profile_sum> by_node) noexcept;

struct profile_of_frame {
    std::uint32_t node = 0;
    std::uint64_t suspended = 0;  ///< steps since it was left; 0: it runs
};
/// Of a live frame. False: it has not run in this session.
[[nodiscard]] bool find_profile(const profile_view& view, std::uint64_t record,
                                std::uint32_t generation, profile_of_frame& found) noexcept;

}  // namespace corodump::sources
