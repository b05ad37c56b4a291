#include "agent/snapshot/running_threads.hpp"

#include <algorithm>
#include <cerrno>

#include "agent/base/clock.hpp"
#include "agent/sources/syscall_names.hpp"

namespace corodump::snapshot {
namespace {

using sources::cpu_time_of;
using sources::stack_requester;

constexpr std::int64_t pause_ns = 500'000;
constexpr std::int64_t max_deaf_ns = 50'000'000;

void end_with(running_threads::watched_thread& of, std::string_view reason) noexcept {
    if (of.thread->source == model::stack_source::none) of.thread->reason = reason;
    of.now = running_threads::phase::done;
}

}  // namespace

std::string_view reason_of(symbols::unwind_end end) noexcept {
    switch (end) {
        case symbols::unwind_end::complete:
            return {};
        case symbols::unwind_end::no_cfi:
            return "the code of the last frame has no unwind tables";
        case symbols::unwind_end::unknown_register:
            return "the caller depends on a register whose value is not known";
        case symbols::unwind_end::unreadable:
            return "the caller's place on the stack cannot be read";
        case symbols::unwind_end::no_progress:
            return "beyond the last frame the stack makes no sense";
        case symbols::unwind_end::bound:
            return "there are more than 1024 frames";
    }
    return "unknown";
}

running_threads::running_threads(stack_taker& taker, const sources::thread_files& files,
                                 const threads_options& options) noexcept
    : taker_(taker),
      files_(files),
      deadline_ns_(options.deadline_ns),
      signal_blocked_(options.signal_blocked),
      signal_(stack_requester::usable_signal()) {}

bool running_threads::take_now(thread_stack& of) noexcept {
    taken_stack taken;
    switch (taker_.without_signal(of.tid, taken, of.call)) {
        case stack_taker::outcome::runs:
            return false;
        case stack_taker::outcome::gone:
            of.reason = "the thread has ended";
            return true;
        case stack_taker::outcome::taken:
            break;
    }
    of.source = model::stack_source::no_signal;
    of.stack = taken;
    of.reason = reason_of(taken.end);
    return of.reason.empty() || !may_be_asked(of);
}

/// Blocked in a call that goes on after a handler as if nothing had been, or that may be ended.
bool running_threads::may_be_asked(const thread_stack& of) const noexcept {
    return signal_ != 0 && of.call.what == sources::thread_call::kind::in_call &&
           (signal_blocked_ || sources::restarts_after_signal(of.call.number, of.call.arguments));
}

std::uint64_t running_threads::watch(std::span<watched_thread> threads) noexcept {
    std::uint32_t answers = stack_requester::wait(~0U, 0);
    for (;;) {
        bool all_done = true;
        for (watched_thread& one : threads)
            if (one.now != phase::done && !step(one)) all_done = false;
        if (all_done) return 0;
        const std::int64_t left_ns = deadline_ns_ - base::monotonic_ns();
        if (left_ns <= 0) break;
        answers = stack_requester::wait(answers, std::min(left_ns, pause_ns));
    }
    std::uint64_t given_up = 0;
    for (watched_thread& one : threads) {
        if (one.now == phase::done) continue;
        if (one.thread->source == model::stack_source::none) ++given_up;
        give_up(one);
    }
    return given_up;
}

/// True when nothing is left to do for it.
bool running_threads::step(watched_thread& of) noexcept {
    if (of.now == phase::asked)
        hear(of);
    else
        look_again(of);
    return of.now == phase::done;
}

void running_threads::look_again(watched_thread& of) noexcept {
    const bool cut_short = of.thread->source != model::stack_source::none;
    if (!cut_short && take_now(*of.thread)) {
        of.now = phase::done;
        return;
    }
    if (of.thread->source != model::stack_source::none) return ask_if_still_blocked(of);
    if (signal_ == 0) return end_with(of, "it runs, and the signal for stacks is off");
    of.now == phase::fresh ? begin_burst(of) : ask_if_running(of);
}

/// In the very call of which it is known that it may be asked: there may have been no slot for it
/// until now. In another it is looked at anew.
void running_threads::ask_if_still_blocked(watched_thread& of) noexcept {
    sources::thread_status status;
    sources::thread_call now;
    if (!files_.read_status(of.thread->tid, status) || !files_.read_call(of.thread->tid, now))
        return end_with(of, "the thread has ended");
    if (now == of.thread->call) return ask(of, status);
    thread_stack again;
    again.tid = of.thread->tid;
    if (take_now(again)) of.now = phase::done;
    if (again.source != model::stack_source::none) *of.thread = again;
}

void running_threads::begin_burst(watched_thread& of) noexcept {
    sources::thread_status status;
    of.cpu_ns = cpu_time_of(of.thread->tid);
    if (of.cpu_ns < 0 || !files_.read_status(of.thread->tid, status))
        return end_with(of, "the thread has ended");
    if (is_blocked(status)) return wait_for_hearing(of);
    of.deaf_since_ns = 0;
    of.switches = status.voluntary_switches;
    of.now = phase::watched;
}

bool running_threads::is_blocked(const sources::thread_status& status) const noexcept {
    return (status.blocked_signals >> (static_cast<unsigned>(signal_) - 1U) & 1U) != 0;
}

/// The C library blocks all signals while a thread is made or ends, so once is not for ever.
void running_threads::wait_for_hearing(watched_thread& of) noexcept {
    const std::int64_t now_ns = base::monotonic_ns();
    of.now = phase::fresh;
    if (of.deaf_since_ns == 0) of.deaf_since_ns = now_ns;
    if (now_ns - of.deaf_since_ns > max_deaf_ns)
        end_with(of, "it runs, and blocks the signal for stacks");
}

void running_threads::ask_if_running(watched_thread& of) noexcept {
    const std::int64_t cpu_ns = cpu_time_of(of.thread->tid);
    if (cpu_ns >= 0 && cpu_ns - of.cpu_ns < min_burst_ns) return;
    sources::thread_status status;
    if (cpu_ns < 0 || !files_.read_status(of.thread->tid, status))
        return end_with(of, "the thread has ended");
    if (status.voluntary_switches != of.switches) return begin_burst(of);
    sources::thread_call call;  // the last look before the signal
    if (!files_.read_call(of.thread->tid, call)) return end_with(of, "the thread has ended");
    if (call.what == sources::thread_call::kind::running) ask(of, status);
}

void running_threads::ask(watched_thread& of, const sources::thread_status& status) noexcept {
    if (is_blocked(status)) return wait_for_hearing(of);
    switch (stack_requester::ask(of.thread->tid, of.request)) {
        case 0:
            of.now = phase::asked;
            return;
        case EBUSY:  // no slot is free: next time
            return;
        case ESRCH:
            return end_with(of, "the thread has ended");
        default:
            return end_with(of, "the signal for stacks could not be sent");
    }
}

void running_threads::hear(watched_thread& of) noexcept {
    switch (stack_requester::look(of.thread->tid, of.request)) {
        case stack_requester::answer::waiting:
            return;
        case stack_requester::answer::ended:
            stack_requester::close(of.request);
            return end_with(of, "the thread has ended");
        case stack_requester::answer::given:
            break;
    }
    taker_.from_slot(of.thread->tid, stack_requester::given(of.request), of.thread->stack);
    stack_requester::close(of.request);
    of.thread->source = model::stack_source::signal;
    of.thread->reason = reason_of(of.thread->stack.end);
    of.now = phase::done;
}

void running_threads::give_up(watched_thread& of) noexcept {
    if (of.now == phase::asked) {
        stack_requester::close(of.request);
        end_with(of, "it did not answer the signal for stacks in time");
    } else {
        end_with(of, "it did not stand still, nor run without a pause, in time");
    }
}

}  // namespace corodump::snapshot
