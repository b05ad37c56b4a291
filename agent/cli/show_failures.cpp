#include "agent/cli/show_failures.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>

namespace corodump::cli {

namespace {

constexpr std::size_t shown_rows = 5;
constexpr std::size_t shown_stack = 6;
constexpr std::size_t shown_message = 160;

std::string or_unknown(format::text what) {
    return what ? printable(what.view()) : "unknown";
}

}  // namespace

std::vector<show_failures::row> show_failures::fold() const {
    std::map<std::tuple<const void*, const void*, const void*, bool>, std::size_t> places;
    std::vector<row> rows;
    for (auto at = all_.failures.rbegin(); at != all_.failures.rend(); ++at) {
        const auto [place, fresh] = places.try_emplace(
            {at->type.identity(), at->message.identity(), at->location, at->observed}, rows.size());
        if (fresh) rows.push_back({&*at, 0});
        ++rows[place->second].count;
    }
    std::stable_sort(rows.begin(), rows.end(), [](const row& a, const row& b) {
        return !a.newest->observed && b.newest->observed;
    });
    return rows;
}

void show_failures::draw() {
    if (!all_.failures.empty()) {
        const auto unseen = static_cast<std::size_t>(
            std::count_if(all_.failures.begin(), all_.failures.end(),
                          [](const format::failure& one) { return !one.observed; }));
        std::string remark = unseen == 0
                                 ? "all were seen by somebody"
                                 : human_count(unseen) + " of " +
                                       human_count(all_.failures.size()) + " seen by nobody";
        if (all_.failure_counts.failures_dropped != 0)
            remark += "; " + human_count(all_.failure_counts.failures_dropped) +
                      " before them are not kept";
        out_ << '\n'
             << names_.colour()(paint::strong, "FAILURES") << "  "
             << names_.colour()(paint::dim, remark) << '\n';
        const std::vector<row> rows = fold();
        const std::size_t shown =
            names_.options().all ? rows.size() : std::min(shown_rows, rows.size());
        for (std::size_t i = 0; i < shown; ++i) draw_row(rows[i]);
        names_.hidden().rows += rows.size() - shown;
    }
    draw_finished();
}

void show_failures::draw_row(const row& one) {
    const format::failure& failure = *one.newest;
    std::string what = names_.type(failure.type);
    if (failure.message) what += ": " + cut_to(printable(failure.message.view()), shown_message);
    out_ << "  " << (failure.observed ? what : names_.colour()(paint::alarm, what)) << '\n'
         << "    " << names_.function(failure.location->function) << "  "
         << names_.colour()(paint::place, names_.place(*failure.location)) << "  "
         << names_.colour()(paint::dim, or_unknown(failure.time)) << '\n';
    std::string task = "    ";
    task += one.count > 1 ? human_count(one.count) + " times, last in " : "in ";
    task += names_.task(failure.task);
    if (failure.name && names_.index().find(failure.task) == nullptr)
        task += ' ' + quoted(failure.name.view());
    if (failure.created_at != nullptr && failure.created_at->function)
        task += ", " + names_.function(failure.created_at->function);
    if (!failure.observed) task += ", " + names_.colour()(paint::alarm, "seen by nobody");
    out_ << task << '\n';
    draw_stack(failure);
}

void show_failures::draw_stack(const format::failure& of) {
    const std::size_t shown =
        names_.options().all ? of.thrown_at.size() : std::min(shown_stack, of.thrown_at.size());
    for (std::size_t i = 0; i < shown; ++i) {
        const format::native_frame& frame = of.thrown_at[i];
        out_ << "      " << (i == 0 ? "thrown at " : "     from ")
             << (frame.function ? names_.function(frame.function)
                                : format::to_string(frame.address))
             << '\n';
    }
    names_.hidden().native_frames += of.thrown_at.size() - shown;
}

void show_failures::draw_finished() {
    std::map<std::string_view, std::size_t> outcomes;
    for (const format::finished_task& task : all_.finished) ++outcomes[task.outcome.view()];
    const bool worth = outcomes["failed"] != 0 || outcomes["cancelled"] != 0;
    if (all_.finished.empty() || (!worth && !names_.options().all)) return;
    std::string counts;
    for (const std::string_view outcome : {"done", "failed", "cancelled"})
        if (outcomes[outcome] != 0)
            counts += (counts.empty() ? "" : ", ") + human_count(outcomes[outcome]) + ' ' +
                      std::string(outcome);
    out_ << '\n'
         << names_.colour()(paint::strong, "FINISHED") << "  "
         << names_.colour()(paint::dim,
                            "the last " + counted(all_.finished.size(), "task") + ": " + counts)
         << '\n';
    std::size_t shown = 0;
    for (auto at = all_.finished.rbegin(); at != all_.finished.rend(); ++at) {
        if (!names_.options().all && (at->outcome == "done" || shown == shown_rows)) continue;
        out_ << "  " << ended(*at) << '\n';
        ++shown;
    }
    if (!names_.options().all) names_.hidden().rows += all_.finished.size() - shown;
}

std::string show_failures::ended(const format::finished_task& task) {
    std::string text = to_string(task.task);
    if (task.name) text += ' ' + quoted(task.name.view());
    if (task.definition != nullptr && task.definition->function)
        text += ", " + names_.function(task.definition->function);
    text += ": " + or_unknown(task.outcome);
    if (task.cancelled_by) text += " by " + names_.task(task.cancelled_by);
    if (task.duration_seconds) text += " after " + human_duration(*task.duration_seconds);
    if (task.ended) text += names_.colour()(paint::dim, ", " + printable(task.ended.view()));
    return text;
}

std::string show_failures::fate_of(const std::string& id) {
    const auto wanted = format::parse_task_id(id);
    if (!wanted) return {};
    const auto found =
        std::find_if(all_.finished.rbegin(), all_.finished.rend(),
                     [&](const format::finished_task& one) { return one.task == *wanted; });
    return found == all_.finished.rend() ? std::string() : "it has ended: " + ended(*found);
}

}  // namespace corodump::cli
