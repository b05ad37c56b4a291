#include <algorithm>

#include "agent/analysis/rules.hpp"

namespace corodump::analysis {
namespace {

constexpr double suspicious_seconds = 5;
constexpr double unstarted_seconds = 10;
constexpr std::uint64_t many_tasks = 10;

void say_standing(std::span<const standing> tasks, std::uint64_t in_all, verdict_writer& to) {
    for (const standing& s : tasks.first(std::min(tasks.size(), max_listed))) {
        to.about(s.task);
        to.evidence();
        to.say(task{s.task}, " for ", duration{s.seconds}, " in ", place_of{s.task});
    }
    to.about_in_all(in_all);
}

double longest(std::span<const standing> tasks) {
    double most = 0;
    for (const standing& s : tasks) most = std::max(most, s.seconds);
    return most;
}

void say_join(const join& j, verdict_writer& to) {
    to.about(j.task);
    to.say(task{j.task}, " has waited ", duration{j.seconds}, " for ");
}

void find_lost_child(const join& j, verdict_writer& to) {
    to.open("lost_child", severity::warning);
    say_join(j, to);
    to.say(j.remaining, j.remaining == 1 ? " more child" : " more children", " to end, of which ");
    if (j.present == 0)
        to.say("there is none: ");
    else
        to.say("there ", j.present == 1 ? "is " : "are ", j.present, ": ");
    to.say("what is missing was destroyed without being counted, or is not tracked.");
    to.evidence();
    to.say("the join counts ", j.remaining, " to go; ", j.present, " alive; it stands in ",
           place_of{j.task});
    to.close();
}

void find_last_child(const join& j, verdict_writer& to) {
    to.open("last_child", severity::warning);
    say_join(j, to);
    to.say("the last of ", j.total, " children, ", task{j.last}, "; the others have ended.");
    to.about(j.last);
    to.evidence();
    to.say(task{j.last}, " stands in ", place_of{j.last});
    to.close();
}

}  // namespace

void find_lost_wakeups(const facts& of, verdict_writer& to) {
    const double most = longest(of.ready);
    if (most < suspicious_seconds) return;
    to.open("lost_wakeup", most >= patience_seconds ? severity::error : severity::warning);
    const std::uint64_t count = std::max<std::uint64_t>(of.ready_count, of.ready.size());
    to.say("Lost wake-up: ", counted_noun{count, "task"}, count == 1 ? " is" : " are",
           " suspended on what is ready already, the longest for ", duration{most}, ".");
    say_standing(of.ready, count, to);
    to.close();
}

void find_short_joins(const facts& of, verdict_writer& to) {
    for (const join& j : of.joins) {
        if (j.seconds < suspicious_seconds) continue;
        if (j.remaining > j.present)
            find_lost_child(j, to);
        else if (j.remaining == 1 && j.total > 1 && j.last != no_task &&
                 j.seconds >= patience_seconds && of.tasks != nullptr &&
                 of.tasks->rest_seconds(j.last) >= patience_seconds)
            find_last_child(j, to);
    }
}

void find_never_resumed(const facts& of, verdict_writer& to) {
    const double most = longest(of.never_resumed);
    if (most < unstarted_seconds) return;
    const std::uint64_t count =
        std::max<std::uint64_t>(of.never_resumed_count, of.never_resumed.size());
    to.open("never_resumed", severity::warning);
    to.say(counted_noun{count, "task"}, count == 1 ? " was" : " were",
           " created and never started, the oldest ", duration{most}, " ago: nobody awaits ",
           count == 1 ? "it" : "them", ", or the executor does not run.");
    say_standing(of.never_resumed, count, to);
    to.close();
}

void find_one_site(const facts& of, verdict_writer& to) {
    for (const site& s : of.sites) {
        if (s.tasks < many_tasks || s.tasks * 10 < of.suspended * 9) continue;
        // Idle connections and timers stand at one place in every service at night.
        if (s.sort == wait_sort::timer || s.sort == wait_sort::resource) continue;
        const bool idle = s.sort == wait_sort::input_output;
        if (s.newest_seconds < (idle ? patience_seconds : suspicious_seconds)) continue;
        to.open("one_site", idle ? severity::info : severity::warning);
        to.say(s.tasks, " of ", of.suspended, " suspended tasks wait in ", s.where.function, " (",
               s.where.file, ":", s.where.line, ") on ", s.awaitable, "; none has moved for ",
               duration{s.newest_seconds}, ", the oldest for ", duration{s.oldest_seconds}, ".");
        if (s.example != no_task) to.about(s.example);
        to.about_in_all(s.tasks);
        to.close();
    }
}

void find_growth(const facts& of, verdict_writer& to) {
    constexpr std::uint64_t least = 50;
    constexpr double least_seconds = 10;  ///< a burst of a second is no trend
    for (const growth& g : of.growths) {
        const bool grows = g.now >= g.before + std::max(least, g.before / 4);
        // One in a hundred may have ended: those who left in time are not what leaks.
        if (!grows || g.before == 0 || g.seconds < least_seconds ||
            g.survivors * 100 < g.before * 99)
            continue;
        to.open("growth", severity::warning);
        to.say("Tasks of ", g.born.function, " (", g.born.file, ":", g.born.line,
               ") only become more: ", g.before, " before, ", g.now, " now, ", duration{g.seconds},
               " later, and ", g.survivors, " of the earlier are still there.");
        to.about_in_all(g.now);
        to.close();
    }
}

}  // namespace corodump::analysis
