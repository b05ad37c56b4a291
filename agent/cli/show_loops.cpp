#include "agent/cli/show_loops.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>

namespace corodump::cli {

namespace {

constexpr std::size_t shown_stalls = 3;

std::string brief(double seconds) {
    if (seconds >= 0.001 || seconds == 0) return human_duration(seconds);
    return std::to_string(std::lround(seconds * 1e6)) + "us";
}

bool exceeds(const std::optional<double>& value, const std::optional<double>& limit) {
    return value && limit && *value >= *limit;
}

bool blocked(const format::loop& l) {
    return exceeds(l.current_seconds, l.threshold_seconds);
}

bool matters(const format::loop& l) {
    return blocked(l) || l.over_threshold > 0 || exceeds(l.max_delay_seconds, l.threshold_seconds);
}

std::string loop_name(const format::text name) {
    return name ? "loop " + quoted(name.view()) : "coroutine";
}

/// Of an RFC 3339 time, what a person compares with a log of the same day.
std::string clock_time(std::string_view time) {
    if (time.size() < 23) return printable(time);
    return printable(time.substr(11, 12));
}

}  // namespace

void show_loops::draw() {
    draw_loops();
    draw_stalls();
}

void show_loops::draw_loops() {
    const auto count =
        static_cast<std::size_t>(std::count_if(all_.loops.begin(), all_.loops.end(), matters));
    const bool every = names_.options().all;
    if (all_.loops.empty() || (count == 0 && !every)) {
        names_.hidden().loops += all_.loops.size();
        return;
    }
    out_ << '\n' << names_.colour()(paint::strong, "LOOPS") << "  ";
    const std::string remark =
        human_count(count) + " of " + human_count(all_.loops.size()) +
        (count == 1 ? " is, or was, blocked or late" : " are, or were, blocked or late");
    out_ << names_.colour()(paint::dim, remark) << '\n';
    for (const format::loop& l : all_.loops) {
        if (every || matters(l))
            draw_loop(l);
        else
            ++names_.hidden().loops;
    }
}

void show_loops::draw_loop(const format::loop& l) {
    out_ << "  " << names_.colour()(paint::strong, quoted(l.name.view()));
    if (l.in_callback) {
        std::string now = "in a callback";
        if (l.current_seconds) now += " for " + brief(*l.current_seconds);
        if (l.current_thread) now += ", thread " + std::to_string(*l.current_thread);
        out_ << "  " << names_.colour()(blocked(l) ? paint::alarm : paint::plain, now);
        if (l.current_task) out_ << ", resuming " << names_.task(l.current_task);
    } else {
        out_ << "  waits";
    }
    out_ << "\n    " << counted(l.callbacks, "callback");
    if (l.average_seconds) out_ << ", " << brief(*l.average_seconds) << " on average";
    if (l.max_seconds && *l.max_seconds > 0) out_ << ", " << brief(*l.max_seconds) << " at most";
    if (l.over_threshold > 0 && l.threshold_seconds)
        out_ << "; " << human_count(l.over_threshold) << " over " << brief(*l.threshold_seconds);
    if (l.last_delay_seconds && l.max_delay_seconds)
        out_ << "; " << brief(*l.last_delay_seconds) << " late, " << brief(*l.max_delay_seconds)
             << " at most";
    if (l.queued) out_ << "; " << *l.queued << " queued";
    out_ << '\n';
}

void show_loops::draw_stalls() {
    if (all_.stalls.empty()) return;
    const bool every = names_.options().all;
    const std::size_t shown =
        every ? all_.stalls.size() : std::min(shown_stalls, all_.stalls.size());
    out_ << '\n' << names_.colour()(paint::strong, "STALLS") << "  ";
    const std::string remark =
        "the last " + human_count(shown) + " of " +
        human_count(std::max<std::uint64_t>(all_.stalls_seen, all_.stalls.size()));
    out_ << names_.colour()(paint::dim, remark) << '\n';
    show_threads stacks(all_, names_, out_);
    for (std::size_t i = 0; i < shown; ++i)
        draw_stall(all_.stalls[all_.stalls.size() - 1 - i], stacks);
    names_.hidden().stalls += all_.stalls.size() - shown;
}

void show_loops::draw_stall(const format::stall& s, show_threads& stacks) {
    out_ << "  " << (s.time ? clock_time(s.time.view()) : "unknown") << "  " << loop_name(s.loop);
    if (s.duration_seconds) out_ << ", " << brief(*s.duration_seconds);
    if (s.ongoing) out_ << names_.colour()(paint::alarm, " and goes on");
    if (s.thread) out_ << ", thread " << *s.thread;
    if (s.function) out_ << ", resuming " << names_.function(s.function);
    if (s.task)
        out_ << ' ' << names_.task(s.task);
    else if (s.name)
        out_ << ' ' << quoted(s.name.view());
    out_ << '\n';
    stacks.draw_stack(s.frames, "    ");
    if (s.reason)
        out_ << "    " << names_.colour()(paint::dim, '(' + printable(s.reason.view()) + ')')
             << '\n';
}

}  // namespace corodump::cli
