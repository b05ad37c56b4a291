// A dump on the way down: std::terminate always, fatal signals if asked for. Then the process dies
// as it would have without us.
//
//   std::terminate ──> dump, wait ──> the handler that was there before
//   SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT ──> dump, wait ──> the disposition that was there before
//        a fault: return, and the instruction faults again
//        a signal that was sent: queued once more with the same siginfo, delivered on return
//
// So exit status, core, si_code and a host's own handler (a crash reporter, a sanitizer, whose
// handler is older than the agent's) are what they would have been. A handler that the host
// installs later takes the agent's place; one that calls on to it gets the dump.
//
// One dump for one process: a second thread that fails meanwhile waits for it, and one that fails
// inside of it (or the dump itself, on the watchdog) dies at once.
//
// A thread whose stack has overflown needs an alternate one: threads that run coroutines and the
// installing thread are given one where they have none. On another thread the kernel kills without
// a dump, as ever.
//
// Threads: install and uninstall by one at a time; the handlers run on whichever thread fails.
// Signals: the handlers are safe: atomics, futex, clock_gettime, sigaction, rt_tgsigqueueinfo.
// Blocks:  the failing thread up to `wait`. Errors: errno values.
#pragma once

#include <chrono>

#include "agent/triggers/watchdog.hpp"

namespace corodump::triggers {

struct failure_options {
    watchdog* watch = nullptr;
    bool on_terminate = true;
    bool on_fatal_signals = false;
    std::chrono::milliseconds wait{2000};
};

/// Returns 0, or the errno of the first signal that could not be caught.
int install_failure_trigger(const failure_options& options) noexcept;
/// Gives back what is still ours.
void uninstall_failure_trigger() noexcept;
/// In a forked child: its failure is its own.
void forget_failures() noexcept;
/// Gives this thread an alternate stack if fatal signals are caught and it has none. Cheap after
/// the first call of a thread.
void ensure_alternate_stack() noexcept;

}  // namespace corodump::triggers
