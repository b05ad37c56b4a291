#include "agent/triggers/failure_trigger.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <iterator>

#include "agent/triggers/raw_syscall.hpp"

namespace corodump::triggers {
namespace {

constexpr int fatal_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr std::size_t signal_count = std::size(fatal_signals);
constexpr std::size_t guard_bytes = 4096;

/// Who dumps: nobody yet, a thread's id, or it is done.
constexpr std::uint32_t nobody = 0;
constexpr std::uint32_t done = 0xffffffffU;

struct trigger_state {
    failure_options options;
    std::atomic<std::uint32_t> dumping{nobody};
    std::atomic<std::int32_t> process{0};
    std::atomic<std::terminate_handler> previous_terminate{nullptr};
    std::atomic<bool> terminate_set{false};
    std::atomic<bool> signals_set{false};
    struct sigaction previous[signal_count] = {};
    bool caught[signal_count] = {};
    pthread_key_t stack_key{};
    bool has_key = false;
};
constinit trigger_state state;

__attribute__((tls_model("initial-exec"))) thread_local bool looked_for_stack = false;

/// Makes the function it is in save the registers that callers rely on, so that whoever unwinds
/// this thread's stack from outside finds them there.
[[gnu::always_inline]] inline void save_registers() noexcept {
#if defined(__x86_64__)
    asm volatile("" : : : "rbx", "rbp", "r12", "r13", "r14", "r15");
#endif
}

/// The one dump of this process, or the wait for it.
[[gnu::noinline]] void dump_once(int signal) noexcept {
    save_registers();
    const auto self = static_cast<std::uint32_t>(raw::thread_id());
    std::uint32_t before = nobody;
    if (state.dumping.compare_exchange_strong(before, self, std::memory_order_acq_rel)) {
        dump_outcome outcome;
        static_cast<void>(
            state.options.watch->dump_for_failure(signal, state.options.wait, outcome));
        state.dumping.store(done, std::memory_order_release);
        raw::futex_wake_all(state.dumping);
        return;
    }
    const std::int64_t until =
        raw::monotonic_ns() + std::chrono::nanoseconds{state.options.wait}.count();
    while (before != done && before != self) {
        const std::int64_t left = until - raw::monotonic_ns();
        if (left <= 0) return;
        raw::futex_wait(state.dumping, before, std::chrono::nanoseconds{left});
        before = state.dumping.load(std::memory_order_acquire);
    }
}

/// A child of vfork shares this memory, and its death is not this process's.
bool is_this_process() noexcept {
    return static_cast<std::int32_t>(syscall(SYS_getpid)) ==
           state.process.load(std::memory_order_acquire);
}

[[noreturn]] void on_terminate() {
    if (is_this_process()) dump_once(0);
    if (const std::terminate_handler previous =
            state.previous_terminate.load(std::memory_order_acquire))
        previous();
    std::abort();
}

/// What a fault or abort() of this thread is to meet from here on.
void restore(int signal) noexcept {
    for (std::size_t i = 0; i < signal_count; ++i)
        if (fatal_signals[i] == signal) sigaction(signal, &state.previous[i], nullptr);
}

void on_fatal_signal(int signal, siginfo_t* info, void* /*context*/) {
    const int saved_errno = errno;
    if (is_this_process()) dump_once(signal);
    restore(signal);
    // Sent by somebody, it would not come again by itself. It is blocked until this returns.
    if (info->si_code <= 0)
        syscall(SYS_rt_tgsigqueueinfo, syscall(SYS_getpid), raw::thread_id(), signal, info);
    errno = saved_errno;
}

std::size_t stack_bytes() noexcept {
    const long least = sysconf(_SC_SIGSTKSZ);  // what the processor's registers need is in it
    const std::size_t bytes = least > 0 ? static_cast<std::size_t>(least) : 16384;
    return ((bytes + 16384 + 4095) & ~std::size_t{4095}) + guard_bytes;
}

/// At a thread's end.
void drop_stack(void* memory) noexcept {
    stack_t now{};
    const auto* const base = static_cast<char*>(memory) + guard_bytes;
    if (sigaltstack(nullptr, &now) == 0 && now.ss_sp == base) {
        stack_t none{};
        none.ss_flags = SS_DISABLE;
        if (sigaltstack(&none, nullptr) != 0) return;
    }
    munmap(memory, stack_bytes());
}

void give_stack() noexcept {
    stack_t now{};
    if (sigaltstack(nullptr, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0) return;
    const std::size_t bytes = stack_bytes();
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return;
    mprotect(memory, guard_bytes, PROT_NONE);
    stack_t own{};
    own.ss_sp = static_cast<char*>(memory) + guard_bytes;
    own.ss_size = bytes - guard_bytes;
    if (pthread_setspecific(state.stack_key, memory) != 0 || sigaltstack(&own, nullptr) != 0) {
        pthread_setspecific(state.stack_key, nullptr);
        munmap(memory, bytes);
    }
}

int catch_signals() noexcept {
    if (!state.has_key) state.has_key = pthread_key_create(&state.stack_key, drop_stack) == 0;
    int error = 0;
    for (std::size_t i = 0; i < signal_count; ++i) {
        struct sigaction ours{};
        ours.sa_sigaction = on_fatal_signal;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&ours.sa_mask);
        // What was there must be known before ours can run.
        state.caught[i] = sigaction(fatal_signals[i], nullptr, &state.previous[i]) == 0 &&
                          state.previous[i].sa_handler != SIG_IGN &&
                          sigaction(fatal_signals[i], &ours, nullptr) == 0;
        if (!state.caught[i] && state.previous[i].sa_handler != SIG_IGN && error == 0)
            error = errno;
    }
    state.signals_set.store(true, std::memory_order_release);
    return error;
}

}  // namespace

int install_failure_trigger(const failure_options& options) noexcept {
    if (options.watch == nullptr) return EINVAL;
    state.options = options;
    state.dumping.store(nobody, std::memory_order_release);
    state.process.store(static_cast<std::int32_t>(getpid()), std::memory_order_release);
    if (options.on_terminate && !state.terminate_set.load(std::memory_order_relaxed)) {
        state.previous_terminate.store(std::get_terminate(), std::memory_order_release);
        std::set_terminate(on_terminate);
        state.terminate_set.store(true, std::memory_order_release);
    }
    if (!options.on_fatal_signals || state.signals_set.load(std::memory_order_relaxed)) return 0;
    const int error = catch_signals();
    ensure_alternate_stack();
    return error;
}

void uninstall_failure_trigger() noexcept {
    if (state.terminate_set.exchange(false, std::memory_order_acq_rel) &&
        std::get_terminate() == &on_terminate)
        std::set_terminate(state.previous_terminate.load(std::memory_order_acquire));
    if (!state.signals_set.exchange(false, std::memory_order_acq_rel)) return;
    for (std::size_t i = 0; i < signal_count; ++i) {
        struct sigaction now{};
        if (state.caught[i] && sigaction(fatal_signals[i], nullptr, &now) == 0 &&
            (now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_fatal_signal)
            restore(fatal_signals[i]);
    }
}

void forget_failures() noexcept {
    state.dumping.store(nobody, std::memory_order_release);
    state.process.store(static_cast<std::int32_t>(getpid()), std::memory_order_release);
}

void ensure_alternate_stack() noexcept {
    if (looked_for_stack || !state.signals_set.load(std::memory_order_acquire) || !state.has_key)
        return;
    looked_for_stack = true;
    give_stack();
}

}  // namespace corodump::triggers
