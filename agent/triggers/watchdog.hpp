// The thread that dumps: it answers when every other thread of the process is stuck.
//
// It is created before the handler is installed, blocks every signal and owns its stack. Once a
// tick it calls `tick` (which advances the coarse clock) and looks whether the signal stands
// untaken; a request wakes it at once and it calls `dump`. No user code runs on it.
//
//   handler ──┐                    ┌── tick(context)                       every 8 ms
//   dump_now ─┴─> request_state ──>┤
//             <── outcome, futex ──┴── dump(context, request, outcome)     serialised
//
// In a forked child the thread is gone, but its stack, its thread-local storage and its pthread
// descriptor are memory that the child has a copy of: they lie in our own mapping, which the C
// library does not recycle. wake_orphan puts a new kernel thread on exactly these for the requests
// at hand, then it ends. No malloc, no lock, no loader: safe in a handler, where pthread_create is
// not, and nothing at all happens in children that only exec. The C library does not know of the
// thread (a setuid() of the host would pass it by), hence it never outlives its requests, and such
// a request is marked `restricted`: no malloc and no logging even after the file is written.
//
// Threads: start and stop from one thread at a time; dump_now from any but the watchdog itself.
// Signals: wake_orphan is safe; the rest is unsafe.
// Blocks:  dump_now up to its time-out; stop up to its limit.
// Errors:  errno values, as each function says.
// Bounds:  one thread; 512 KiB of stack plus a guard page.
#pragma once

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace corodump::triggers {

enum class request_kind : std::uint8_t { signal, api, stall, failure };

struct dump_request {
    request_kind kind = request_kind::signal;
    bool restricted = false;       ///< in a forked child: no malloc, no logging, at any time
    bool stuck = false;            ///< taken by sigtimedwait: no handler ran
    int signal = 0;                ///< of a failure: 0 is std::terminate
    std::int32_t sender_pid = -1;  ///< -1: unknown
    std::int64_t sender_uid = -1;
    std::uint64_t merged = 0;       ///< further signals that this dump answers
    std::uint64_t requests = 0;     ///< signals taken so far: what the beacon's `answered` becomes
    std::int64_t requested_ns = 0;  ///< CLOCK_MONOTONIC when the watchdog took it
    std::int64_t deadline_ns = 0;   ///< who asks waits no longer than to shortly after; 0: none
};

struct dump_outcome {
    std::int32_t error = 0;  ///< errno value, 0 when the file is in place
    char path[508] = {};
    char text[256] = {};  ///< what failed
};
static_assert(sizeof(dump_outcome) % sizeof(std::uint64_t) == 0);

struct watchdog_options {
    void* context = nullptr;
    void (*tick)(void* context) noexcept = nullptr;
    void (*dump)(void* context, const dump_request& request,
                 dump_outcome& outcome) noexcept = nullptr;
    std::chrono::nanoseconds tick_interval = std::chrono::milliseconds{8};
    /// From the end of one dump for a signal to the start of the next.
    std::chrono::nanoseconds signal_interval = std::chrono::milliseconds{200};
};

/// Constant-initialised, for static storage; the destructor does nothing, as the thread may run
/// until the process is gone.
class watchdog {
public:
    constexpr watchdog() noexcept = default;
    watchdog(const watchdog&) = delete;
    watchdog& operator=(const watchdog&) = delete;

    /// 0; EAGAIN or ENOMEM: no thread, nothing has changed; EALREADY; EINVAL: a callback is
    /// missing.
    [[nodiscard]] int start(const watchdog_options& options) noexcept;
    /// 0; ETIMEDOUT: a dump is still at work, the thread ends after it; ESRCH: not running.
    [[nodiscard]] int stop(std::chrono::milliseconds limit) noexcept;

    /// Asks for a dump and waits for it. 0: `outcome` says how it went; ETIMEDOUT: it may still
    /// come; ESRCH: not running; EDEADLK: called on the watchdog itself.
    [[nodiscard]] int dump_now(std::chrono::milliseconds timeout, dump_outcome& outcome) noexcept;

    /// From within `tick`: a dump of the watchdog's own, as soon as it returns.
    void wish(request_kind kind) noexcept {
        wished_ = true;
        wished_kind_ = kind;
    }
    /// As dump_now, for a process that is about to die of `signal`, 0: of std::terminate. Signals:
    /// safe.
    [[nodiscard]] int dump_for_failure(int signal, std::chrono::milliseconds timeout,
                                       dump_outcome& outcome) noexcept;

    [[nodiscard]] bool running() const noexcept;
    [[nodiscard]] std::int32_t tid() const noexcept { return tid_.load(std::memory_order_acquire); }

    /// In a forked child, first of all: the thread was the parent's. Signals: safe.
    void forget_thread() noexcept;
    /// Makes the thread anew in such a child, from ordinary code. As start().
    [[nodiscard]] int revive() noexcept;
    /// See above. Signals: safe; changes errno.
    static void wake_orphan() noexcept;

private:
    static void* thread_main(void* self);
    static int orphan_main(void* self);
    void loop(bool orphan) noexcept;
    [[nodiscard]] bool orphan_may_leave() noexcept;
    void look_for_stuck_signal() noexcept;
    [[nodiscard]] std::chrono::nanoseconds time_to_wait() const noexcept;
    void serve_signal(bool orphan) noexcept;
    void serve_wish() noexcept;
    [[nodiscard]] int ask(std::uint32_t flag, std::chrono::milliseconds timeout,
                          dump_outcome& outcome) noexcept;
    void serve_api(bool orphan, bool failure) noexcept;
    void publish(const dump_outcome& outcome) noexcept;
    [[nodiscard]] bool read_outcome(dump_outcome& outcome) const noexcept;
    void start_orphan() noexcept;
    [[nodiscard]] int create_thread() noexcept;
    void await_thread() noexcept;

    watchdog_options options_{};
    pthread_t thread_{};
    std::byte* stack_ = nullptr;
    std::size_t stack_bytes_ = 0;
    std::atomic<std::int32_t> tid_{0};
    std::atomic<bool> has_thread_{false};
    std::atomic<std::uint32_t> ready_{0};

    // What wake_orphan needs: where the thread's own frames began, and its thread pointer.
    std::byte* stack_top_ = nullptr;
    void* thread_pointer_ = nullptr;
    std::atomic<std::uint32_t> orphan_alive_{0};  ///< zeroed by the kernel when the thread is gone
    std::atomic<std::uint32_t> orphan_serving_{0};  ///< it will look at `pending` once more

    // Watchdog only.
    bool signal_due_ = false;
    bool signal_was_pending_ = false;
    bool took_stuck_ = false;
    bool wished_ = false;
    request_kind wished_kind_ = request_kind::api;
    std::int64_t signal_due_ns_ = 0;
    std::int64_t next_signal_ns_ = 0;
    std::uint64_t answered_signals_ = 0;

    // dump_now waits on api_answered_; the outcome is a seqlock of words, so that no reader races.
    std::atomic<std::uint32_t> api_requested_{0};
    std::atomic<std::uint32_t> api_answered_{0};
    std::atomic<int> failure_signal_{0};
    std::atomic<std::int64_t> failure_deadline_ns_{0};
    std::atomic<std::uint32_t> outcome_version_{0};
    std::atomic<std::uint64_t> outcome_words_[sizeof(dump_outcome) / sizeof(std::uint64_t)] = {};
};

}  // namespace corodump::triggers
