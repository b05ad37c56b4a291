// The few system calls of this room that must not go through the C library's wrappers: futexes have
// none, and a handler or a child of vfork may use nothing that takes a lock or allocates.
//
// Threads: any. Signals: safe (they change errno). Blocks: futex_wait only, up to its time-out.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace corodump::triggers::raw {

/// The kernel's signal set: one bit per signal, signal 1 is bit 0.
using signal_set = std::uint64_t;

[[nodiscard]] constexpr signal_set set_of(int signal) noexcept {
    return signal_set{1} << (static_cast<unsigned>(signal) - 1U);
}

// Without the arguments that the operation does not use (futex(2)): one on the stack would move it,
// and who waits here could not be unwound, a thread in dump_now for one.

/// Sleeps while `word` holds `expected`, at most `timeout`; also returns for no reason at all.
inline void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
                       std::chrono::nanoseconds timeout) noexcept {
    constexpr std::int64_t second_ns = 1'000'000'000;
    const timespec limit{timeout.count() / second_ns, timeout.count() % second_ns};
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, &limit);
}

inline void futex_wake_all(std::atomic<std::uint32_t>& word) noexcept {
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 0x7fffffff);
}

[[nodiscard]] inline std::int32_t thread_id() noexcept {
    return static_cast<std::int32_t>(syscall(SYS_gettid));
}

/// `how` as for sigprocmask; null pointers are left alone. Unlike the C library's it also takes the
/// two signals that glibc keeps to itself.
inline void change_mask(int how, const signal_set* set, signal_set* old = nullptr) noexcept {
    syscall(SYS_rt_sigprocmask, how, set, old, sizeof(signal_set));
}

[[nodiscard]] inline bool is_pending(int signal) noexcept {
    signal_set pending = 0;
    syscall(SYS_rt_sigpending, &pending, sizeof(pending));
    return (pending & set_of(signal)) != 0;
}

[[nodiscard]] inline std::int64_t monotonic_ns() noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

static_assert(sizeof(std::atomic<std::uint32_t>) == 4, "the kernel waits on a plain 32-bit word");

}  // namespace corodump::triggers::raw
