#include "agent/analysis/rules.hpp"

namespace corodump::analysis {
namespace {

constexpr double blocked_seconds = 1;   ///< from here on it is no slow callback any more
constexpr double spinning_seconds = 5;  ///< on a processor all the time

void say_thread(const busy_thread& t, verdict_writer& to) {
    if (t.loop.empty())
        to.say("thread ", static_cast<std::uint32_t>(t.tid));
    else
        to.say("loop '", t.loop, "' (thread ", static_cast<std::uint32_t>(t.tid), ")");
}

void say_where(const busy_thread& t, verdict_writer& to) {
    if (!t.inside.empty()) to.say(" in ", t.inside);
    if (!t.syscall.empty()) to.say(" (system call ", t.syscall, ")");
    to.say(" for ", duration{t.seconds});
    if (t.task != no_task)
        to.say(" while resuming ", task{t.task});
    else if (!t.coroutine.empty())
        to.say(" while resuming ", t.coroutine);
}

/// `nanosleep, called by write_through, called by audit`: what a person reads of a stack first.
void say_stack(std::span<const std::string_view> stack, verdict_writer& to) {
    constexpr std::size_t most = 8;
    if (stack.empty()) return;
    to.evidence();
    for (std::size_t i = 0; i < stack.size() && i < most; ++i)
        to.say(i == 0 ? "" : " ← ", stack[i]);
    if (stack.size() > most) to.say(" ← …");
}

}  // namespace

void find_busy_threads(const facts& of, verdict_writer& to) {
    for (const busy_thread& t : of.busy_threads) {
        const bool spins = t.runs && t.seconds >= spinning_seconds;
        // Alone on a thread of its own it may be at work; who waits behind it is held up for sure.
        const bool held_up = t.queued != 0 && t.seconds >= blocked_seconds;
        const bool broken = held_up || (!t.runs && t.seconds >= patience_seconds);
        to.open(spins ? "spinning_loop" : "blocked_loop",
                broken ? severity::error : severity::warning);
        say_thread(t, to);
        to.say(spins ? " spins" : t.runs ? " is busy" : " is blocked");
        say_where(t, to);
        if (t.queued != 0) to.say("; ", counted_noun{t.queued, "callback"}, " wait behind it");
        to.say(".");
        if (t.task != no_task) to.about(t.task);
        say_stack(t.stack, to);
        to.close();
    }
}

void find_past_stalls(const facts& of, verdict_writer& to) {
    const past_stalls& past = of.stalls;
    if (past.count == 0) return;
    to.open("past_stall",
            past.longest_seconds >= blocked_seconds ? severity::warning : severity::info);
    to.say(counted_noun{past.count, "stall"}, past.count == 1 ? " is" : " are",
           " over; the longest took ", duration{past.longest_seconds}, ", ",
           duration{past.seconds_ago}, " ago");
    if (!past.loop.empty()) to.say(", in loop '", past.loop, "'");
    if (!past.coroutine.empty()) to.say(", while resuming ", past.coroutine);
    to.say(".");
    say_stack(past.stack, to);
    to.close();
}

void find_unseen_failures(const facts& of, verdict_writer& to) {
    for (const unseen_failure& f : of.failures) {
        to.open("unobserved_failure", severity::warning);
        to.say(counted_noun{f.count, "task"}, " failed in ", f.function, " with ", f.type, " (",
               f.message, "), the last ", duration{f.seconds_ago},
               " ago, and nobody has seen the exception.");
        to.close();
    }
}

void judge(const facts& of, std::span<held_resource> stuck, verdict_writer& to) {
    find_deadlock(of, stuck, to);
    find_circles(of, to);
    find_busy_threads(of, to);
    find_leaked(of, to);
    find_overdue(of, to);
    find_exhausted(of, stuck, to);
    find_lost_wakeups(of, to);
    find_short_joins(of, to);
    find_unseen_failures(of, to);
    find_past_stalls(of, to);
    find_never_resumed(of, to);
    find_growth(of, to);
    find_one_site(of, to);
}

}  // namespace corodump::analysis
