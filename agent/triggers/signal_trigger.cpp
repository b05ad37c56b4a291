#include "agent/triggers/signal_trigger.hpp"

#include <pthread.h>
#include <semaphore.h>
#include <sys/prctl.h>
#include <time.h>

#include <cerrno>

#include "agent/triggers/raw_syscall.hpp"
#include "agent/triggers/request_state.hpp"

namespace corodump::triggers {
namespace {

constexpr char thread_name[] = "corodump-signal";
constexpr std::size_t stack_bytes = std::size_t{256} * 1024;
constexpr time_t join_seconds = 1;

/// Touched only by install, revive and uninstall, which one thread calls at a time; the semaphores
/// are what the signal thread shares.
struct trigger_state {
    std::atomic<bool> installed{false};  ///< the watchdog reads it too
    bool has_thread = false;
    pthread_t thread{};
    sem_t ready{};  ///< posted once by the thread
    sem_t go{};     ///< posted when the handler is in place, and again to end the thread
    std::atomic<bool> quit{false};
    struct sigaction previous{};
    std::int32_t blocked_in_tid = 0;  ///< the thread whose mask we changed, 0: none
};
constinit trigger_state trigger;

void wait_for(sem_t& semaphore) noexcept {
    while (sem_wait(&semaphore) != 0 && errno == EINTR) {
    }
}

sigset_t set_of(int signal) noexcept {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    return set;
}

void* signal_thread_main(void* /*unused*/) {
    prctl(PR_SET_NAME, thread_name, 0, 0, 0);
    requests.signal_tid.store(raw::thread_id(), std::memory_order_release);
    sem_post(&trigger.ready);
    wait_for(trigger.go);
    const sigset_t ours = set_of(requests.signal.load(std::memory_order_relaxed));
    pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
    // A semaphore rather than sigsuspend: it can be ended without a signal, which the handler of
    // somebody who took over would get to see.
    while (!trigger.quit.load(std::memory_order_acquire)) sem_wait(&trigger.go);
    pthread_sigmask(SIG_BLOCK, &ours, nullptr);
    return nullptr;
}

/// The static thread-local storage of every loaded library is carved out of the stack: where that
/// is larger than our stack, the default size must do.
int create_thread(pthread_t& thread) noexcept {
    pthread_attr_t attributes;
    if (const int error = pthread_attr_init(&attributes); error != 0) return error;
    pthread_attr_setstacksize(&attributes, stack_bytes);
    int error = pthread_create(&thread, &attributes, signal_thread_main, nullptr);
    pthread_attr_destroy(&attributes);
    if (error == EINVAL) error = pthread_create(&thread, nullptr, signal_thread_main, nullptr);
    return error;
}

/// Leaves the thread waiting for `go`, with every signal blocked. 0 or EAGAIN.
int start_thread() noexcept {
    trigger.quit.store(false, std::memory_order_relaxed);
    sem_init(&trigger.ready, 0, 0);
    sem_init(&trigger.go, 0, 0);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = create_thread(trigger.thread);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    trigger.has_thread = error == 0;
    if (trigger.has_thread) wait_for(trigger.ready);
    return trigger.has_thread ? 0 : EAGAIN;
}

int end_thread() noexcept {
    if (!trigger.has_thread) return 0;
    trigger.has_thread = false;
    trigger.quit.store(true, std::memory_order_release);
    sem_post(&trigger.go);
    timespec deadline{};
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += join_seconds;
    return pthread_timedjoin_np(trigger.thread, nullptr, &deadline);
}

/// Signals that cannot be caught, that faults raise, or that the C library keeps to itself.
bool is_usable(int signal) noexcept {
    switch (signal) {
        case SIGKILL:
        case SIGSTOP:
        case SIGSEGV:
        case SIGBUS:
        case SIGFPE:
        case SIGILL:
        case SIGTRAP:
        case SIGSYS:
        case SIGABRT:
        case SIGCHLD:
            return false;
        default:
            return signal > 0 && (signal < 32 || (signal >= SIGRTMIN && signal <= SIGRTMAX));
    }
}

bool is_ours(const struct sigaction& action) noexcept {
    return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == corodump_handle_signal;
}

void remember_previous(const struct sigaction& previous) noexcept {
    // The casts of SIG_DFL and SIG_IGN compare equal whichever member of the union was set.
    const bool real = previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN;
    const bool with_info = (previous.sa_flags & SA_SIGINFO) != 0;
    trigger.previous = previous;
    requests.previous_info.store(real && with_info ? previous.sa_sigaction : nullptr,
                                 std::memory_order_release);
    requests.previous_plain.store(real && !with_info ? previous.sa_handler : nullptr,
                                  std::memory_order_release);
    requests.previous_once.store((previous.sa_flags & static_cast<int>(SA_RESETHAND)) != 0,
                                 std::memory_order_relaxed);
    requests.host_ignored.store(previous.sa_handler == SIG_IGN, std::memory_order_relaxed);
}

bool had_real_handler() noexcept {
    return requests.previous_info.load(std::memory_order_relaxed) != nullptr ||
           requests.previous_plain.load(std::memory_order_relaxed) != nullptr;
}

int put_handler(int signal) noexcept {
    struct sigaction action{};
    action.sa_sigaction = corodump_handle_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return sigaction(signal, &action, nullptr) == 0 ? 0 : errno;
}

void block_in_this_thread(int signal) noexcept {
    const sigset_t ours = set_of(signal);
    sigset_t before;
    pthread_sigmask(SIG_BLOCK, &ours, &before);
    const std::int32_t self = raw::thread_id();
    if (trigger.blocked_in_tid == self) return;  // installed again: what we see is our own block
    const bool was_blocked = sigismember(&before, signal) == 1;
    requests.host_blocked.store(was_blocked, std::memory_order_relaxed);
    trigger.blocked_in_tid = was_blocked ? 0 : self;
}

void unblock_in_this_thread(int signal) noexcept {
    if (trigger.blocked_in_tid != raw::thread_id()) return;
    const sigset_t ours = set_of(signal);
    pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
    trigger.blocked_in_tid = 0;
}

/// Lets the thread go, or, without one, leaves the host's handler where it can still run.
int finish_start(int signal, int thread_error) noexcept {
    if (thread_error == 0) {
        sem_post(&trigger.go);
        return 0;
    }
    requests.signal_tid.store(0, std::memory_order_release);
    if (had_real_handler()) unblock_in_this_thread(signal);
    return thread_error;
}

bool consume_pending(int signal, siginfo_t& info) noexcept {
    const raw::signal_set set = raw::set_of(signal);
    const timespec at_once{};
    return syscall(SYS_rt_sigtimedwait, &set, &info, &at_once, sizeof(set)) == signal;
}

}  // namespace

int install_signal(const signal_options& options) noexcept {
    if (trigger.installed) return EALREADY;
    if (!is_usable(options.signal)) return EINVAL;
    struct sigaction current{};
    if (sigaction(options.signal, nullptr, &current) != 0) return errno;

    if (requests.signal.load(std::memory_order_relaxed) != options.signal)
        trigger.blocked_in_tid = 0;
    block_in_this_thread(options.signal);
    requests.signal.store(options.signal, std::memory_order_release);
    requests.requests_mirror.store(options.requests_mirror, std::memory_order_release);
    if (!is_ours(current)) remember_previous(current);  // else harmless(): it is remembered
    const int thread_error = start_thread();
    requests.ending.store(false, std::memory_order_release);
    if (const int error = put_handler(options.signal); error != 0) {
        (void)end_thread();
        unblock_in_this_thread(options.signal);
        return error;
    }
    trigger.installed = true;
    requests.handler_active.store(true, std::memory_order_release);
    return finish_start(options.signal, thread_error);
}

void forget_signal_thread() noexcept {
    trigger.has_thread = false;
    trigger.blocked_in_tid = 0;
    requests.signal_tid.store(0, std::memory_order_release);
    requests.chain.store(chain_phase::idle, std::memory_order_release);
}

int revive_signal_thread() noexcept {
    const int signal = requests.signal.load(std::memory_order_relaxed);
    block_in_this_thread(signal);
    return finish_start(signal, start_thread());
}

int uninstall_signal(afterwards what) noexcept {
    if (!trigger.installed) return ESRCH;
    const int signal = requests.signal.load(std::memory_order_relaxed);
    const bool taken_over = signal_taken_over();
    requests.ending.store(true, std::memory_order_release);
    const int join_error = end_thread();
    requests.signal_tid.store(0, std::memory_order_release);
    trigger.installed = false;
    if (taken_over) {
        unblock_in_this_thread(signal);
        return EBUSY;
    }
    // A request that arrived while we were responsible must not kill when the mask opens.
    siginfo_t dropped;
    for (int i = 0; i < 64 && consume_pending(signal, dropped); ++i) {
    }
    const bool keep = what == afterwards::harmless && trigger.previous.sa_handler == SIG_DFL;
    if (!keep) {
        sigaction(signal, &trigger.previous, nullptr);
        requests.handler_active.store(false, std::memory_order_release);
        requests.host_ignored.store(false, std::memory_order_relaxed);
        unblock_in_this_thread(signal);
    }
    return join_error;
}

bool signal_installed() noexcept {
    return trigger.installed;
}

bool signal_taken_over() noexcept {
    struct sigaction current{};
    const int signal = requests.signal.load(std::memory_order_relaxed);
    if (!trigger.installed || sigaction(signal, nullptr, &current) != 0) return false;
    const bool spawning = current.sa_handler == SIG_IGN &&
                          requests.ignore_window.load(std::memory_order_acquire) != 0;
    return !is_ours(current) && !spawning;
}

std::int32_t signal_thread_tid() noexcept {
    return requests.signal_tid.load(std::memory_order_acquire);
}

bool chained_handler_running() noexcept {
    return requests.chain.load(std::memory_order_acquire) != chain_phase::idle;
}

bool take_stuck_signal() noexcept {
    siginfo_t info{};
    const int signal = requests.signal.load(std::memory_order_acquire);
    // A foreign handler that took over gets its signals: they are no longer ours to consume.
    if (signal == 0 || signal_taken_over() || !consume_pending(signal, info)) return false;
    note_request(info);
    return true;
}

}  // namespace corodump::triggers
