// Stacks of threads that do not stand still: watches each of them until it blocks or may be asked
// by a signal, and asks.
//
// A signal that meets a thread in poll, nanosleep and the like ends the call with EINTR, whatever
// SA_RESTART says, and a thread that runs now may be in poll a microsecond later. So only a thread
// that has used a processor for min_burst_ns without blocking once, and runs still, is asked: of
// such a one it is known that it is not on its way out of a call either. One that keeps blocking is
// caught blocked, sooner or later.
//
//   watched ──blocks──> taken without a signal ──complete, or in a call that does not restart──> done
//      │                                       └─cut short, in a call that restarts─┐ (with the
//      │                                                   option: in any call)     │
//      └──ran min_burst_ns without blocking──> asked <──────────────────────────────┘ ──> done
//
// Threads: watchdog only. Signals: unsafe. Blocks: until all are done, or the deadline.
// Errors: a reason for each thread that is not. Bounds: as many requests at once as there are
// slots.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "agent/model/snapshot.hpp"
#include "agent/snapshot/stack_taker.hpp"
#include "agent/sources/stack_signal.hpp"
#include "agent/sources/thread_files.hpp"

namespace corodump::snapshot {

struct threads_options {
    std::int64_t deadline_ns = 0;   ///< of the whole section, by CLOCK_MONOTONIC
    bool signal_blocked = false;    ///< as config::signal_blocked
    std::int32_t watchdog_tid = 0;  ///< has no stack to show: it is writing the dump
};

/// What is known so far of one thread's stack.
struct thread_stack {
    std::int32_t tid = 0;
    model::stack_source source = model::stack_source::none;
    std::string_view reason;  ///< why there is none, or not all
    taken_stack stack;
    sources::thread_call call;
};

class running_threads {
public:
    static constexpr std::int64_t min_burst_ns = 4'000'000;

    running_threads(stack_taker& taker, const sources::thread_files& files,
                    const threads_options& options) noexcept;

    /// Takes the stack without a signal; false where watch() is to see to the thread.
    [[nodiscard]] bool take_now(thread_stack& of) noexcept;

    enum class phase : std::uint8_t { fresh, watched, asked, done };
    struct watched_thread {
        thread_stack* thread = nullptr;
        phase now = phase::fresh;
        std::uint64_t switches = 0;  ///< voluntary ones, when its burst began to be watched
        std::int64_t cpu_ns = 0;
        std::int64_t deaf_since_ns = 0;  ///< 0: it did not block the signal when last seen
        sources::stack_requester::request request;
    };
    /// Returns how many have no stack because the deadline came.
    std::uint64_t watch(std::span<watched_thread> threads) noexcept;

private:
    [[nodiscard]] bool step(watched_thread& of) noexcept;
    void look_again(watched_thread& of) noexcept;
    void begin_burst(watched_thread& of) noexcept;
    void ask_if_running(watched_thread& of) noexcept;
    [[nodiscard]] bool is_blocked(const sources::thread_status& status) const noexcept;
    void wait_for_hearing(watched_thread& of) noexcept;
    void ask(watched_thread& of, const sources::thread_status& status) noexcept;
    void hear(watched_thread& of) noexcept;
    void give_up(watched_thread& of) noexcept;
    void ask_if_still_blocked(watched_thread& of) noexcept;
    [[nodiscard]] bool may_be_asked(const thread_stack& of) const noexcept;

    stack_taker& taker_;
    const sources::thread_files& files_;
    std::int64_t deadline_ns_;
    bool signal_blocked_;
    int signal_;
};

/// Why a stack that was unwound is not complete; empty: it is.
[[nodiscard]] std::string_view reason_of(symbols::unwind_end end) noexcept;

}  // namespace corodump::snapshot
