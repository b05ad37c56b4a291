// Turns a signal (SIGUSR1) into a dump request, without any thread of the host noticing.
//
// The runtime calls install_signal early, in the first line of main or a constructor: the signal is
// blocked in the calling thread, every later thread inherits that, and only the signal thread has
// it unblocked. So no blocking call of the host returns early (pause() in main would end the
// service; SA_RESTART does not cover epoll_wait, poll, nanosleep …). A real handler is installed,
// not only sigwait: SigCgt in /proc/<pid>/status is how a sender knows that the signal does not
// kill.
//
//   installing thread   block signal ─> make thread ─> read old action ─> sigaction ─> let it go
//   signal thread                       all blocked ──────────────────────────────────> unblock,
//   wait handler             count, sender, wake the watchdog, then the host's previous handler
//
// Where the thread cannot be made (RLIMIT_NPROC) install_signal returns EAGAIN and the agent is
// *degraded*: the handler is installed, so the signal never kills. With no previous handler the
// signal stays blocked and the watchdog takes it by sigtimedwait; with one, the mask is left as it
// was, so that the host's handler still runs where it always ran.
//
// Threads: install, revive and uninstall from one thread at a time; the rest from any.
// Signals: take_stuck_signal, signal_taken_over and has_older_threads make system calls only.
// Blocks:  uninstall up to one second for a chained handler that does not return.
// Errors:  errno values, as each function says.
// Bounds:  one thread with a stack of 256 KiB, of which a few pages are touched.
#pragma once

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>

namespace corodump::triggers {

struct signal_options {
    int signal = SIGUSR1;
    /// Also counts the requests, for readers outside of the process; lives as long as it. May be
    /// null.
    std::atomic<std::uint64_t>* requests_mirror = nullptr;
};

/// 0; EAGAIN: degraded (above); EINVAL: a signal that cannot be caught, or that the kernel raises
/// for faults; EALREADY: installed. After the last two nothing has changed.
[[nodiscard]] int install_signal(const signal_options& options) noexcept;

/// What the signal does once the agent is gone.
enum class afterwards {
    restore,   ///< as before install: with SIG_DFL the next SIGUSR1 kills
    harmless,  ///< in place of SIG_DFL our handler stays and does nothing: for the exit of a
               ///< process
};

/// Ends the signal thread, drops requests that stand pending, gives the action and the installing
/// thread's mask back. 0; EBUSY: another handler was installed over ours and is left alone;
/// ETIMEDOUT: a chained handler did not return, its thread is left behind; ESRCH: not installed.
[[nodiscard]] int uninstall_signal(afterwards what) noexcept;

/// Makes the signal thread of a forked child (see process_hooks.hpp). 0 or EAGAIN: degraded.
[[nodiscard]] int revive_signal_thread() noexcept;

/// In a forked child, before anything else: the thread was the parent's. Signals: safe.
void forget_signal_thread() noexcept;

[[nodiscard]] bool signal_installed() noexcept;
/// Another handler stands in the place of ours: requests only come if it calls ours.
[[nodiscard]] bool signal_taken_over() noexcept;
/// 0 when degraded. Where a sender directs its signal.
[[nodiscard]] std::int32_t signal_thread_tid() noexcept;
/// The host's previous handler is running on the signal thread right now.
[[nodiscard]] bool chained_handler_running() noexcept;

/// Takes a request that no handler will take (no signal thread, or one in uninterruptible sleep),
/// by sigtimedwait with a zero time-out, and counts it. The watchdog calls it when the signal stood
/// pending for a whole tick: sooner, it would take signals that are on their way to the handler,
/// and the host's own handler would miss them.
[[nodiscard]] bool take_stuck_signal() noexcept;

}  // namespace corodump::triggers
