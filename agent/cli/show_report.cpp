#include "agent/cli/show_report.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/cli/profile_report.hpp"
#include "agent/cli/profile_tree.hpp"
#include "agent/cli/show_tree.hpp"
#include "agent/format/dump_reader.hpp"

namespace corodump::cli {

namespace {

constexpr std::size_t shown_groups = 10;
constexpr std::size_t shown_rows = 5;
constexpr std::size_t shown_evidence = 6;
constexpr std::size_t aligned_place = 30;  ///< columns; a longer place pushes only its own row

std::string or_unknown(format::text what) {
    return what ? printable(what.view()) : "unknown";
}

std::string when(format::text time) {
    std::string result = or_unknown(time);
    if (result.size() >= 20 && result[10] == 'T' && result.ends_with('Z')) {
        result = result.substr(0, 10) + ' ' + result.substr(11, 8) + " UTC";
    }
    return result;
}

std::string asked_by(const format::trigger& t) {
    if (t.kind == "stall") return "taken for a stall";
    if (t.kind == "failure")
        return t.reason == "terminate" ? "made because the process called std::terminate"
               : t.signal ? "made because the process died of signal " + std::to_string(*t.signal)
                          : std::string("made because the process died");
    if (t.kind != "signal") return "asked for by " + or_unknown(t.kind);
    std::string result = "asked for by signal";
    if (t.signal) result += ' ' + std::to_string(*t.signal);
    if (t.sender_pid) result += " from pid " + std::to_string(*t.sender_pid);
    if (t.sender_uid) result += ", uid " + std::to_string(*t.sender_uid);
    return result;
}

}  // namespace

void show_report::title(std::string_view text, std::string_view remark) {
    out_ << '\n' << colour_(paint::strong, text);
    if (!remark.empty()) out_ << "  " << colour_(paint::dim, remark);
    out_ << '\n';
}

/// A dash and the text behind it, on as many lines as it takes.
void show_report::bullet(std::string_view text, std::size_t indent) {
    const std::string space(indent, ' ');
    bool first = true;
    for (const std::string& line : wrapped(text, names_.options().width - indent - 2)) {
        out_ << space << (first ? "- " : "  ") << line << '\n';
        first = false;
    }
}

std::string show_report::still(const format::task& t) const {
    if (t.suspended_seconds) return "suspended " + human_duration(*t.suspended_seconds);
    std::string activity = or_unknown(t.activity);
    std::replace(activity.begin(), activity.end(), '_', ' ');
    return activity == "unknown" ? "activity unknown" : activity;
}

void show_report::header() {
    const format::process_info& p = all_.process;
    out_ << colour_(paint::strong, or_unknown(p.comm));
    if (p.pid) out_ << ", pid " << *p.pid;
    if (p.hostname) out_ << " on " << printable(p.hostname.view());
    if (p.uptime_seconds) out_ << ", up " << human_duration(*p.uptime_seconds);
    out_ << ", dumped " << when(all_.time) << '\n';
    std::string how = "dump " + or_unknown(all_.id) + ", " + asked_by(all_.trigger);
    if (!names_.source_directory().empty()) {
        how += "; sources under " + printable(names_.source_directory());
    }
    for (const std::string& line : wrapped(how, names_.options().width)) {
        out_ << colour_(paint::dim, line) << '\n';
    }
}

void show_report::cautions() {
    if (all_.format_version > format::newest_known_version) {
        std::string text = "format version " + std::to_string(all_.format_version) +
                           " is newer than this corodump, which knows version " +
                           std::to_string(format::newest_known_version) +
                           "; what it knows of it is shown";
        if (all_.not_understood != 0) {
            text += ", " + counted(all_.not_understood, "value") + " not understood";
        }
        out_ << colour_(paint::warning, "NEWER FORMAT") << '\n';
        bullet(text, 2);
    }
    if (all_.complete && all_.warnings.empty()) return;
    title(all_.complete ? "WARNINGS" : "INCOMPLETE", "what this dump could not see");
    const std::pair<std::uint64_t, std::string_view> losses[] = {
        {all_.counts.dropped, "dropped: over the cap of frames"},
        {all_.counts.torn, "torn: changed while they were read"},
        {all_.counts.unreadable, "unreadable"},
        {all_.counts.untracked, "untracked: built without corodump"},
        {all_.counts.cut, "cut from the middle of chains that are too deep"}};
    for (const auto& [count, what] : losses) {
        if (count != 0) bullet(counted(count, "frame") + ' ' + std::string(what), 2);
    }
    if (all_.tasks_left_out != 0)
        bullet(counted(all_.tasks_left_out, "task") + " left out, for the limit \"" +
                   printable(all_.left_out_for.view()) + '"',
               2);
    const std::size_t most = names_.options().all ? all_.warnings.size() : shown_evidence;
    for (std::size_t i = 0; i < std::min(most, all_.warnings.size()); ++i) {
        bullet(printable(all_.warnings[i].view()), 2);
    }
    if (all_.warnings.size() > most) names_.hidden().rows += all_.warnings.size() - most;
}

void show_report::verdicts() {
    if (all_.verdicts.empty()) {
        title("NO VERDICT", "corodump found nothing wrong by itself; see what is waited for");
        return;
    }
    for (std::size_t i = 0; i < all_.verdicts.size(); ++i) verdict(all_.verdicts[i], i + 1);
}

void show_report::verdict(const format::verdict& v, std::size_t number) {
    const bool error = v.severity == "error";
    const paint how = error                     ? paint::alarm
                      : v.severity == "warning" ? paint::warning
                                                : paint::strong;
    std::string kind = or_unknown(v.kind);
    std::replace(kind.begin(), kind.end(), '_', ' ');
    std::string head = error ? "ERROR" : v.severity == "warning" ? "WARNING" : "NOTE";
    out_ << '\n' << colour_(how, head + ": " + kind);
    out_ << "  " << colour_(paint::dim, "verdict " + std::to_string(number)) << '\n';
    for (const std::string& line :
         wrapped(printable(v.statement.view()), names_.options().width - 2)) {
        out_ << "  " << colour_(how, line) << '\n';
    }
    const std::size_t most = names_.options().all ? v.evidence.size() : shown_evidence;
    const std::size_t shown = std::min(most, v.evidence.size());
    for (std::size_t i = 0; i < shown; ++i) bullet(printable(v.evidence[i].view()), 2);
    if (v.evidence.size() > shown) {
        out_ << "  "
             << colour_(paint::dim, "… " + human_count(v.evidence.size() - shown) + " more facts")
             << '\n';
        names_.hidden().rows += v.evidence.size() - shown;
    }
    if (v.tasks.empty()) return;
    out_ << "  " << colour_(paint::dim, "tasks:") << ' '
         << names_.tasks(v.tasks, names_.options().width - 9, v.task_count) << '\n';
}

/// What tasks wait with on an object that tells nothing of itself.
std::string show_report::awaitable_at(std::uint64_t object) {
    for (const format::task& t : all_.tasks) {
        if (t.awaits.object == object && t.awaits.awaitable) return names_.type(t.awaits.awaitable);
    }
    return {};
}

void show_report::objects() {
    std::vector<const format::object_count*> shared;
    std::uint64_t alone = all_.summary.other_objects;
    for (const format::object_count& o : all_.summary.by_object) {
        if (o.count > 1 || !o.holders.empty() || names_.options().all) {
            shared.push_back(&o);
        } else {
            alone += o.count;
        }
    }
    if (shared.empty()) return;
    title("WAITED FOR", "tasks per object");
    const std::size_t most = names_.options().all ? shared.size() : shown_rows;
    for (std::size_t i = 0; i < std::min(most, shared.size()); ++i) object(*shared[i]);
    if (shared.size() > most) {
        out_ << colour_(paint::dim, "        … " + counted(shared.size() - most, "more object"))
             << '\n';
        names_.hidden().rows += shared.size() - most;
    }
    if (alone != 0) {
        out_ << padded("", 8 - std::min<std::size_t>(human_count(alone).size(), 8))
             << human_count(alone) << "  "
             << colour_(paint::dim, "wait each for an object of their own, or for one not listed")
             << '\n';
    }
}

void show_report::object(const format::object_count& o) {
    const std::string count = human_count(o.count);
    out_ << std::string(8 - std::min<std::size_t>(count.size(), 8), ' ')
         << colour_(paint::strong, count) << "  "
         << colour_(paint::object, names_.object(o.kind, o.name)) << "  "
         << colour_(paint::dim, format::to_string(o.object));
    if (!o.kind && !o.name) out_ << "  " << colour_(paint::dim, awaitable_at(o.object));
    out_ << '\n';
    if (o.has_holders) holders(o);
}

void show_report::holders(const format::object_count& o) {
    const std::string space(10, ' ');
    if (o.holders.empty()) {
        out_ << space << "held by no task\n";
        return;
    }
    const std::string start = space + "held by " + counted(o.holders.size(), "task") + ": ";
    out_ << start << names_.tasks(o.holders, names_.options().width - start.size(), 0) << '\n';
    const std::string next = waiting_for(o);
    if (!next.empty()) out_ << space << "of these " << next << '\n';
}

/// What the holders of an object do themselves: where that is waiting for the same object, the
/// problem is found.
std::string show_report::waiting_for(const format::object_count& o) {
    std::map<std::pair<std::string, paint>, std::size_t> doing;
    for (const format::task_id& id : o.holders) {
        const format::task* t = names_.index().find(id);
        if (t == nullptr) continue;
        const format::leaf& awaits = t->awaits;
        const paint how = awaits.object == o.object ? paint::alarm : paint::plain;
        if (!awaits.awaitable) {
            ++doing[{"are " + printable(t->activity.view()), paint::plain}];
        } else if (awaits.kind || awaits.name) {
            ++doing[{"wait for " + names_.object(awaits.kind, awaits.name), how}];
        } else {
            ++doing[{"wait for " + names_.type(awaits.awaitable), how}];
        }
    }
    std::string told;
    for (const auto& [what, count] : doing) {
        told += told.empty() ? "" : ", ";
        told += colour_(what.second, human_count(count) + ' ' + what.first);
    }
    return told;
}

void show_report::tally(std::string_view name,
                        const std::vector<std::pair<format::text, std::uint64_t>>& counts) {
    std::string line;
    for (const auto& [what, count] : counts) {
        if (count == 0) continue;
        line += (line.empty() ? "" : ", ") + human_count(count) + ' ' + printable(what.view());
    }
    if (!line.empty()) out_ << "  " << padded(name, 12) << line << '\n';
}

void show_report::summary() {
    title("SUMMARY",
          counted(all_.counts.tasks, "task") + ", " + counted(all_.counts.frames, "frame"));
    tally("state", all_.summary.by_state);
    tally("activity", all_.summary.by_activity);
    sites();
}

void show_report::sites() {
    const std::vector<format::site_count>& sites = all_.summary.by_await_site;
    const std::size_t shown =
        names_.options().all ? sites.size() : std::min(shown_rows, sites.size());
    std::vector<std::pair<std::string, std::string>> cells;
    std::size_t columns[2] = {0, 0};
    for (std::size_t i = 0; i < shown; ++i) {
        cells.emplace_back(names_.function(sites[i].where.function), names_.place(sites[i].where));
        columns[0] = std::max(columns[0], display_width(cells.back().first));
        const std::size_t place = display_width(cells.back().second);
        if (place <= aligned_place) columns[1] = std::max(columns[1], place);
    }
    if (shown != 0) out_ << "  parked at\n";
    for (std::size_t i = 0; i < shown; ++i) {
        const std::string count = human_count(sites[i].count);
        const std::string awaited = names_.type(sites[i].awaitable);
        const std::size_t place = std::max(columns[1], display_width(cells[i].second));
        const bool fits =
            14 + columns[0] + place + display_width(awaited) <= names_.options().width;
        out_ << std::string(8 - std::min<std::size_t>(count.size(), 8), ' ') << count << "  "
             << padded(cells[i].first, columns[0]) << "  "
             << colour_(paint::place, fits ? padded(cells[i].second, place) : cells[i].second)
             << (fits ? "  " : "\n            ") << colour_(paint::dim, awaited) << '\n';
    }
    std::uint64_t rest = all_.summary.other_await_sites;
    for (std::size_t i = shown; i < sites.size(); ++i) rest += sites[i].count;
    names_.hidden().rows += sites.size() - shown;
    if (rest != 0) {
        const std::string count = human_count(rest);
        out_ << std::string(8 - std::min<std::size_t>(count.size(), 8), ' ') << count << "  "
             << colour_(paint::dim, "at other places") << '\n';
    }
}

void show_report::groups(const std::vector<task_group>& groups) {
    const bool verdict = !groups.empty() && groups.front().verdict != 0;
    title("TASKS WITH EQUAL CHAINS",
          verdict ? "those of the verdict and behind it first, then longest suspended"
                  : "longest suspended first");
    const std::size_t shown =
        names_.options().all ? groups.size() : std::min(shown_groups, groups.size());
    for (std::size_t i = 0; i < shown; ++i) group(groups[i], i + 1);
    for (std::size_t i = shown; i < groups.size(); ++i) {
        ++names_.hidden().groups;
        names_.hidden().group_tasks += groups[i].tasks.size();
    }
}

void show_report::group(const task_group& g, std::size_t number) {
    const format::task& oldest = g.oldest();
    out_ << '\n'
         << colour_(paint::dim, "#" + std::to_string(number)) << ' '
         << colour_(paint::strong, counted(g.tasks.size(), "task")) << ", "
         << printable(oldest.state.view()) << ", " << still(oldest);
    const std::optional<double>& newest = g.newest().suspended_seconds;
    if (newest && still(g.newest()) != still(oldest)) out_ << " … " << human_duration(*newest);
    if (g.verdict != 0) {
        out_ << "  " << colour_(paint::alarm, "◀ verdict " + std::to_string(g.verdict));
    } else if (g.behind != 0) {
        out_ << "  " << colour_(paint::warning, "◁ behind verdict " + std::to_string(g.behind));
    }
    out_ << '\n';
    group_tasks(g);
    show_tree(all_, names_, out_).draw(g, g.tasks.size() == 1);
}

void show_report::group_tasks(const task_group& g) {
    if (g.tasks.size() == 1) return task_facts(g.oldest());
    if (!names_.options().all) {
        out_ << "  " << colour_(paint::dim, "oldest") << ' ' << names_.task(g.oldest().id) << ", "
             << colour_(paint::dim, "newest") << ' ' << names_.task(g.newest().id) << '\n';
        names_.hidden().member_tasks += g.tasks.size() - std::min<std::size_t>(g.tasks.size(), 2);
        return;
    }
    for (const format::task* t : g.tasks) {
        out_ << "  " << names_.task(t->id) << colour_(paint::dim, ", " + still(*t)) << '\n';
    }
}

void show_report::task_facts(const format::task& t) {
    out_ << "  " << names_.task(t.id);
    std::string facts;
    if (t.cancelled) facts += ", cancellation requested";
    if (t.age_seconds) facts += ", " + human_duration(*t.age_seconds) + " old";
    facts += ", " + counted(t.resumes, "resume");
    if (t.thread) facts += ", thread " + std::to_string(*t.thread);
    out_ << colour_(paint::dim, facts) << '\n';
    if (t.awaited_by)
        out_ << "  " << colour_(paint::dim, "joined by") << ' ' << names_.task(t.awaited_by)
             << '\n';
    if (t.created_by)
        out_ << "  " << colour_(paint::dim, "created by") << ' ' << names_.task(t.created_by)
             << '\n';
    if (!t.extra || t.extra->labels.empty()) return;
    std::string labels;
    for (const format::label& l : t.extra->labels) {
        labels +=
            (labels.empty() ? "" : ", ") + printable(l.name.view()) + '=' + quoted(l.value.view());
    }
    out_ << "  " << colour_(paint::dim, "labels") << ' ' << labels << '\n';
}

void show_report::one_task(const format::task& t) {
    task_group alone;
    alone.tasks.push_back(&t);
    for (std::size_t i = all_.verdicts.size(); i-- > 0;) {
        const auto& ids = all_.verdicts[i].tasks;
        if (std::find(ids.begin(), ids.end(), t.id) != ids.end()) alone.verdict = i + 1;
    }
    group(alone, 1);
    show_creation(all_, names_, out_).draw(t);
}

void show_report::footer() {
    const std::string hidden = names_.hidden().told();
    if (hidden.empty()) return;
    out_ << '\n';
    for (const std::string& line :
         wrapped("hidden: " + hidden + "; --all shows them", names_.options().width)) {
        out_ << colour_(paint::dim, line) << '\n';
    }
}

void show_report::profile() {
    if (!all_.profile.there) return;
    constexpr std::size_t rows = 10;
    const profile_tree tree(all_);
    out_ << '\n';
    names_.hidden().profiled +=
        write_profile_table(tree,
                            {tree.times() ? profile_measure::running : profile_measure::resumes,
                             names_.options().all ? 0 : rows, names_.options().colours},
                            out_);
}

}  // namespace corodump::cli
