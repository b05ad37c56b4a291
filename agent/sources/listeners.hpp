// Who in the agent wants to be told of births, ends and runs of coroutines. The hot path tests one
// word; what is told is then handed to those who asked for it.
//
//   births  corodump_born_v1 and corodump_slot_v1, before the record is live   (switch_births)
//   ends    corodump_ended_v1, the record is live still, the frame there       (switch_ends)
//   runs    corodump_enter_v1 and corodump_leave_v1: while somebody wants them, a thread that is in
//           no coroutine looks as if it were in one, so that all runs take the slow path. Nothing
//           is added to the fast one.
//
// Threads: any. Signals: safe, but for listen_to_runs, which walks the pool's threads. Blocks:
// never. Errors: none.
#pragma once

#include <corodump/detail/abi.hpp>
#include <cstdint>

namespace corodump::sources {

enum class listener : std::uint32_t {
    creations = 1,
    finished = 2,
    callbacks = 4,
    contexts = 8,
    profile = 16,
};

void listen_to_births(listener who, bool wanted) noexcept;
void listen_to_ends(listener who, bool wanted) noexcept;
/// A thread that is inside of a coroutine at this moment may leave it unseen: mark_threads mends
/// that.
void listen_to_runs(listener who, bool wanted) noexcept;
/// By the watchdog at each tick, for threads that listen_to_runs met in the middle of a step.
void mark_threads() noexcept;

/// Relaxed: whoever relies on something that was made before must look at that by itself.
[[nodiscard]] bool hears_births(listener who) noexcept;
[[nodiscard]] bool hears_ends(listener who) noexcept;
[[nodiscard]] bool hears_runs(listener who) noexcept;
/// Whether anybody does.
[[nodiscard]] bool runs_are_heard() noexcept;

}  // namespace corodump::sources
