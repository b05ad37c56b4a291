#include "agent/triggers/process_hooks.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>

#include "agent/triggers/raw_syscall.hpp"
#include "agent/triggers/request_state.hpp"
#include "agent/triggers/signal_trigger.hpp"

namespace corodump::triggers {
namespace {

struct hook_state {
    process_hook_options options;
    bool registered = false;
    std::atomic<bool> parent_had_threads{true};  ///< others than ours and the one that forked
};
constinit hook_state hooks;

/// The directory of a process's threads has one link for each, and two for itself: one system call.
unsigned long thread_count() noexcept {
    struct stat status{};
    return stat("/proc/self/task", &status) == 0 && status.st_nlink > 2 ? status.st_nlink - 2 : 0;
}

unsigned long own_thread_count() noexcept {
    return (hooks.options.watch->tid() != 0 ? 1UL : 0UL) + (signal_thread_tid() != 0 ? 1UL : 0UL);
}

void before_fork() noexcept {
    if (!signal_installed()) return;
    const int saved_errno = errno;
    const unsigned long threads = thread_count();
    // Written by each of several threads that fork at once; each then says that there are more.
    // An orphan that forks hands on the locks it was itself forked with.
    const bool inherited = is_orphaned() && hooks.parent_had_threads;
    const bool others = inherited || threads == 0 || threads > own_thread_count() + 1;
    hooks.parent_had_threads.store(others, std::memory_order_relaxed);
    errno = saved_errno;
}

void unblock_as_without_us() noexcept {
    if (requests.host_blocked.load(std::memory_order_relaxed)) return;
    const raw::signal_set ours = raw::set_of(requests.signal.load(std::memory_order_relaxed));
    raw::change_mask(SIG_UNBLOCK, &ours);
}

void in_child() noexcept {
    if (!signal_installed()) return;
    const int saved_errno = errno;
    requests.pending.store(0, std::memory_order_relaxed);
    requests.ignore_window.store(0, std::memory_order_relaxed);
    forget_signal_thread();
    hooks.options.watch->forget_thread();
    if (hooks.options.in_child != nullptr) hooks.options.in_child(hooks.options.context);
    requests.wake_orphan.store(&watchdog::wake_orphan, std::memory_order_release);
    requests.child.store(child_phase::orphaned, std::memory_order_release);
    unblock_as_without_us();  // last: from here on the handler may run
    errno = saved_errno;
}

}  // namespace

int install_process_hooks(const process_hook_options& options) noexcept {
    if (options.watch == nullptr) return EINVAL;
    hooks.options = options;
    if (hooks.registered) return 0;
    const int error = pthread_atfork(before_fork, nullptr, in_child);
    hooks.registered = error == 0;
    return error;
}

bool is_orphaned() noexcept {
    return requests.child.load(std::memory_order_relaxed) == child_phase::orphaned;
}

int revive_after_fork() noexcept {
    if (!is_orphaned()) return EALREADY;
    if (hooks.parent_had_threads) return EPERM;
    auto expected = child_phase::orphaned;
    if (!requests.child.compare_exchange_strong(expected, child_phase::reviving,
                                                std::memory_order_acq_rel))
        return EALREADY;
    const int error = hooks.options.watch->revive();
    requests.child.store(error == 0 ? child_phase::none : child_phase::orphaned,
                         std::memory_order_release);
    if (error != 0) return EAGAIN;
    (void)revive_signal_thread();  // degraded without it: the watchdog takes the signal
    return 0;
}

}  // namespace corodump::triggers
