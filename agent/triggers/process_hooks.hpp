// What happens to the agent when the process forks.
//
// A child has neither watchdog nor signal thread. Most children exec at once, some are the second
// half of a daemonising double fork and live for months; at the fork nobody can tell. So the atfork
// handler makes no thread (that would be waste, would make unshare(CLONE_NEWUSER) fail, and can
// deadlock: a thread of the parent may have held the loader's lock at the fork). Instead:
//
//   fork ─> child: orphaned ── SIGUSR1 or dump_now ─> a thread for this request (watchdog.hpp)
//                     └── revive_after_fork, from ordinary code ─> as after install
//
// In an orphaned child the signal is unblocked again, as it would be without the agent, and our
// handler stays: the signal does not kill, also where it would have; it interrupts one blocking
// call of the thread that gets it. The coarse clock stands still until the child is revived, but
// for one tick before each dump. The runtime revives on the first slow path of the record (a new
// slab, a new thread): a child that makes coroutines is a service again.
//
// vfork, posix_spawn and clone run no atfork handlers: the spawn wrappers care for those.
//
// Threads: install and revive from one thread at a time (revive refuses a second one by itself).
// Signals: the handlers run in fork(), make system calls only and take no lock.
// Blocks:  revive up to the dump that an orphan is writing.
// Errors:  errno values, as each function says.
#pragma once

#include "agent/triggers/watchdog.hpp"

namespace corodump::triggers {

struct process_hook_options {
    watchdog* watch = nullptr;
    void* context = nullptr;
    /// Called in the child, in fork(): forget what the parent's dump had begun. No malloc. May be
    /// null.
    void (*in_child)(void* context) noexcept = nullptr;
};

/// Registers the handlers, once for the life of the process. 0, ENOMEM, EINVAL: no watchdog.
[[nodiscard]] int install_process_hooks(const process_hook_options& options) noexcept;

/// This process is a forked child without our threads. One relaxed load.
[[nodiscard]] bool is_orphaned() noexcept;

/// Makes both threads anew. 0; EALREADY: not orphaned, or somebody else is at it; EPERM: the parent
/// had other threads, one of which may have held the loader's lock at the fork: pthread_create
/// could hang, so the child stays orphaned; EAGAIN: no thread could be made, the child stays
/// orphaned.
[[nodiscard]] int revive_after_fork() noexcept;

}  // namespace corodump::triggers
