#include <algorithm>

#include "agent/analysis/rules.hpp"

namespace corodump::analysis {
namespace {

constexpr double noticed_seconds = 1;  ///< a wait that a user may have noticed

/// Calls `each(task, resource)` for every holder of a stuck resource, each task once.
template <class Each>
std::uint64_t each_stuck_holder(std::span<const held_resource> stuck, Each each) {
    std::uint32_t seen[max_listed];
    std::size_t listed = 0;
    std::uint64_t holders = 0;
    for (std::size_t i = 0; i < stuck.size(); ++i) {
        if (!stuck[i].stuck) continue;
        for (const std::uint32_t holder : stuck[i].holders) {
            // A task that holds several of them is one task.
            if (std::find(seen, seen + listed, holder) != seen + listed) continue;
            ++holders;
            if (listed == max_listed) continue;
            seen[listed++] = holder;
            each(holder, i);
        }
    }
    return holders;
}

/// `2 tasks, 'a' (7f..) and 'b' (7f..)`: the first few by name.
void say_stuck_holders(std::span<const held_resource> stuck, std::uint64_t holders,
                       verdict_writer& to) {
    constexpr unsigned most_named = 2;
    unsigned named = 0;
    to.say(counted_noun{holders, "task"});
    each_stuck_holder(stuck, [&](std::uint32_t holder, std::size_t) {
        if (++named > most_named) return;
        to.say(named == 1 ? ", " : holders == 2 ? " and " : ", ", task{holder});
    });
    if (holders > most_named) to.say(" and ", holders - most_named, " more");
}

void say_stuck(const facts& of, std::span<const held_resource> stuck, std::uint64_t holders,
               verdict_writer& to) {
    constexpr unsigned most_named = 4;
    unsigned found = 0;
    std::uint64_t waiters = 0;
    to.say("Deadlock: ");
    for (std::size_t i = 0; i < stuck.size(); ++i) {
        if (!stuck[i].stuck) continue;
        const resource& r = of.resources[i];
        waiters += r.waiters;
        if (++found > most_named) continue;
        to.say(found == 1 ? "" : ", ", r.kind, " '", r.name, "' (", r.held, " of ", r.capacity,
               " taken)");
    }
    if (found > most_named) to.say(" and ", found - most_named, " more");
    to.say(found == 1 ? " is exhausted by " : " are taken by ");
    say_stuck_holders(stuck, holders, to);
    to.say(holders == 1 ? ", which waits for " : ", which all wait for ",
           found == 1 ? "it themselves; " : "one of them; ");
    to.say(counted_noun{waiters, "task"}, waiters == 1 ? " waits" : " wait", " in all.");
}

bool all_at_rest(const facts& of, const resource& r, double seconds) {
    return r.whole && !r.holders.empty() &&
           std::ranges::all_of(r.holders, [&](std::uint32_t holder) {
               return of.tasks->rest_seconds(holder) >= seconds;
           });
}

void say_holders(const resource& r, verdict_writer& to) {
    std::size_t listed = 0;
    for (const std::uint32_t holder : r.holders) {
        if (holder == no_task || listed++ == max_listed) continue;
        to.about(holder);
        to.evidence();
        to.say(task{holder}, " holds it and stands in ", place_of{holder});
    }
}

}  // namespace

void find_deadlock(const facts& of, std::span<held_resource> stuck, verdict_writer& to) {
    for (std::size_t i = 0; i < stuck.size(); ++i)
        stuck[i] = {of.resources[i].holders, of.resources[i].whole, false};
    if (of.tasks == nullptr || find_stuck(stuck, *of.tasks) == 0) return;
    to.open("wait_cycle", severity::error);
    const std::uint64_t holders =
        each_stuck_holder(stuck, [&](std::uint32_t holder, std::size_t) { to.about(holder); });
    to.about_in_all(holders);
    say_stuck(of, stuck, holders, to);
    each_stuck_holder(stuck, [&](std::uint32_t holder, std::size_t held) {
        const resource& wanted = of.resources[of.tasks->resource_of(holder)];
        to.evidence();
        to.say(task{holder}, " holds ", of.resources[held].kind, " '", of.resources[held].name,
               "' and waits for ", wanted.kind, " '", wanted.name, "'");
    });
    to.close();
}

void find_circles(const facts& of, verdict_writer& to) {
    if (of.circles.empty()) return;
    const bool one = of.circles.size() == 1;
    to.open("wait_cycle", severity::error);
    to.say("Deadlock: ", of.circles.size(), one ? " task awaits" : " tasks await",
           one ? " itself in a circle: it" : " themselves in circles: they",
           " can never be resumed.");
    for (const circle& c : of.circles) {
        to.about(c.task);
        to.evidence();
        to.say(task{c.task}, " awaits itself, through ", counted_noun{c.frames, "coroutine"});
    }
    to.close();
}

void find_exhausted(const facts& of, std::span<const held_resource> stuck, verdict_writer& to) {
    for (std::size_t i = 0; i < of.resources.size(); ++i) {
        const resource& r = of.resources[i];
        if (r.capacity == 0 || r.held < r.capacity || r.waiters == 0 || stuck[i].stuck) continue;
        if (r.oldest_wait_seconds < noticed_seconds) continue;
        // Nobody is left to give it back: that is a leak, and told as one.
        if (r.has_ended_holders &&
            std::ranges::count(r.holders, no_task) == static_cast<std::ptrdiff_t>(r.holders.size()))
            continue;
        const bool still =
            r.oldest_wait_seconds >= patience_seconds && all_at_rest(of, r, patience_seconds);
        to.open("exhausted", still ? severity::error : severity::warning);
        to.say(r.kind, " '", r.name, "' is exhausted: ", r.held, " of ", r.capacity, " taken, ",
               counted_noun{r.waiters, "task"}, r.waiters == 1 ? " waits" : " wait",
               " for it, the longest for ", duration{r.oldest_wait_seconds});
        to.say(still ? "; none of its holders has moved for as long as that." : ".");
        say_holders(r, to);
        to.close();
    }
}

void find_leaked(const facts& of, verdict_writer& to) {
    for (const resource& r : of.resources) {
        if (!r.has_ended_holders) continue;
        const bool full = r.held >= r.capacity && r.waiters != 0;
        to.open("resource_leak", full && r.oldest_wait_seconds >= patience_seconds
                                     ? severity::error
                                     : severity::warning);
        to.say(r.kind, " '", r.name, "' was not given back: it is held by a task that has ended (",
               r.held, " of ", r.capacity, " taken, ", counted_noun{r.waiters, "task"},
               r.waiters == 1 ? " waits)." : " wait).");
        to.close();
    }
}

}  // namespace corodump::analysis
