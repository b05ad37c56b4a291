#include "agent/format/reader_check.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/format/dump.hpp"
#include "agent/format/reader_fields.hpp"

namespace corodump::format {

namespace {

constexpr double clock_steps_seconds = 0.017;  ///< ages are exact to two steps of 8 ms
constexpr std::uint64_t max_listed = 64;

class checker {
public:
    checker(const dump& all, problem_log& log) : all_(all), index_(all), log_(log) {}

    void run() {
        check_dump();
        check_verdicts();
        check_summary();
        check_groups();
        check_tasks();
        check_addresses();
        check_creation();
        check_threads();
        check_loops();
        check_resources();
        check_profile();
    }

private:
    void tell(const path& where, std::string text) {
        log_.departure(where, std::nullopt, std::move(text));
    }
    void must_exist(const path& where, const task_id& id) {
        if (all_.tasks_left_out != 0) return;
        if (id && index_.find(id) == nullptr) tell(where, "no task has the id " + to_string(id));
    }
    void must_exist(const path& where, const std::vector<task_id>& ids) {
        for (std::size_t i = 0; i < ids.size(); ++i) must_exist(where.at(i), ids[i]);
    }
    void must_equal(const path& where, std::uint64_t said, std::uint64_t counted,
                    std::string_view of_what) {
        if (said == counted) return;
        tell(where, "says " + std::to_string(said) + ", but there are " + std::to_string(counted) +
                        ' ' + std::string(of_what));
    }

    void check_dump();
    void check_verdicts();
    void check_summary();
    void check_tally(const path& where, const std::vector<std::pair<text, std::uint64_t>>& said,
                     text task::* of);
    void check_groups();
    void check_tasks();
    void check_times(const task& t, const path& where);
    void check_children(const task& t, const path& where);
    void check_parent(const task& t, const path& where);
    void check_leaf(const task& t, const path& where);
    void check_addresses();
    void check_creation();
    void check_threads();
    void check_loops();
    void check_resources();
    void check_profile();

    const dump& all_;
    task_index index_;
    problem_log& log_;
    path root_;
};

void checker::check_dump() {
    const path where = root_["dump"];
    const path counts = where["counts"];
    const dump_counts& said = all_.counts;
    if (all_.complete && (said.dropped != 0 || said.cut != 0 || said.unreadable != 0)) {
        tell(where["complete"], "is true, though counts has dropped, cut or unreadable frames");
    }
    if (all_.complete && all_.tasks_left_out != 0)
        tell(where["complete"], "is true, though tasks are left out");
    if (!all_.complete && all_.warnings.empty() && all_.tasks_left_out == 0) {
        tell(where["complete"], "is false, but no warning says why");
    }
    must_equal(counts["tasks"], said.tasks, all_.tasks.size() + all_.tasks_left_out, "tasks");
    if (said.cut == 0 && all_.tasks_left_out == 0) {
        must_equal(counts["frames"], said.frames, all_.frame_addresses.size(), "frames in chains");
    }
}

void checker::check_verdicts() {
    const path where = root_["verdicts"];
    const auto rank = [](text severity) {
        return severity == "error" ? 0 : severity == "warning" ? 1 : 2;
    };
    for (std::size_t i = 0; i < all_.verdicts.size(); ++i) {
        const verdict& v = all_.verdicts[i];
        const path here = where.at(i);
        must_exist(here["tasks"], v.tasks);
        const bool agrees = v.tasks.size() < max_listed ? v.task_count == v.tasks.size()
                                                        : v.task_count >= v.tasks.size();
        if (!agrees) tell(here["task_count"], "does not fit the number of ids in \"tasks\"");
        if (i > 0 && rank(all_.verdicts[i - 1].severity) > rank(v.severity)) {
            tell(here["severity"], "is more severe than that of the verdict before");
        }
    }
}

void checker::check_tally(const path& where,
                          const std::vector<std::pair<text, std::uint64_t>>& said,
                          text task::* of) {
    if (all_.tasks_left_out != 0) return;
    std::map<std::string_view, std::uint64_t> counted;
    for (const task& t : all_.tasks) ++counted[(t.*of).view()];
    for (const auto& [name, count] : said) {
        must_equal(where[name.view()], count, counted[name.view()], "such tasks");
        counted.erase(name.view());
    }
    for (const auto& [name, count] : counted) {
        if (count != 0) {
            tell(where, "leaves out " + std::to_string(count) + " tasks that are \"" +
                            std::string(name) + '"');
        }
    }
}

void checker::check_summary() {
    const path where = root_["summary"];
    const summary& said = all_.summary;
    check_tally(where["by_state"], said.by_state, &task::state);
    check_tally(where["by_activity"], said.by_activity, &task::activity);
    const auto not_sorted = [](const auto& rows) {
        return !std::is_sorted(rows.begin(), rows.end(),
                               [](const auto& a, const auto& b) { return a.count > b.count; });
    };
    if (not_sorted(said.by_await_site)) tell(where["by_await_site"], "is not largest first");
    if (not_sorted(said.by_object)) tell(where["by_object"], "is not largest first");
    const path objects = where["by_object"];
    for (std::size_t i = 0; i < said.by_object.size(); ++i) {
        const path here = objects.at(i);
        must_exist(here["holders"], said.by_object[i].holders);
    }
}

void checker::check_groups() {
    const path where = root_["groups"];
    std::uint64_t inside = 0;
    std::uint64_t before = UINT64_MAX;
    for (std::size_t i = 0; i < all_.groups.size(); ++i) {
        const group& g = all_.groups[i];
        const path here = where.at(i);
        must_exist(here["oldest"], g.oldest);
        must_exist(here["newest"], g.newest);
        if (g.count > before) tell(here["count"], "is larger than that of the group before");
        if (g.count > UINT64_MAX - inside) return tell(here["count"], "is beyond all counting");
        before = g.count;
        inside += g.count;
    }
    const std::uint64_t tasks = all_.tasks.size() + all_.tasks_left_out;
    if (inside > tasks || tasks - inside != all_.summary.other_groups_tasks) {
        tell(where, "the counts and summary.other_groups_tasks do not add up to the " +
                        std::to_string(tasks) + " tasks");
    }
}

void checker::check_tasks() {
    const path where = root_["tasks"];
    std::uint64_t i = 0;
    for (const task& t : all_.tasks) {
        const path here = where.at(i++);
        if (index_.find(t.id) != &t) tell(here["id"], "another task has the same id");
        check_times(t, here);
        check_parent(t, here);
        check_children(t, here);
        check_leaf(t, here);
    }
}

void checker::check_times(const task& t, const path& where) {
    if (t.suspended_seconds && t.activity != "suspended") {
        tell(where["suspended_seconds"], "is set, though the task is not suspended");
    }
    if (t.age_seconds && t.suspended_seconds &&
        *t.suspended_seconds > *t.age_seconds + clock_steps_seconds) {
        tell(where["suspended_seconds"], "is longer than age_seconds");
    }
    if (t.age_seconds.value_or(0) < 0 || t.suspended_seconds.value_or(0) < 0) {
        tell(where, "has a negative age");
    }
}

void checker::check_parent(const task& t, const path& where) {
    if (!t.awaited_by) return;
    const task* parent = index_.find(t.awaited_by);
    if (parent == nullptr) return must_exist(where["awaited_by"], t.awaited_by);
    const task_extra* extra = parent->extra.get();
    const bool listed =
        extra != nullptr &&
        std::find(extra->children.begin(), extra->children.end(), t.id) != extra->children.end();
    const bool room = extra != nullptr && extra->child_count > extra->children.size();
    if (!listed && !room) tell(where["awaited_by"], "names a task that does not list this child");
}

void checker::check_children(const task& t, const path& where) {
    if (!t.extra) return;
    const std::vector<task_id>& children = t.extra->children;
    if (t.extra->child_count < children.size() ||
        (children.size() < max_listed && t.extra->child_count != children.size())) {
        tell(where["child_count"], "does not fit the number of ids in \"children\"");
    }
    const path list = where["children"];
    for (std::size_t i = 0; i < children.size(); ++i) {
        const task* child = index_.find(children[i]);
        if (child == nullptr) {
            must_exist(list.at(i), children[i]);
        } else if (child->awaited_by != t.id) {
            tell(list.at(i), "that task's awaited_by names another");
        }
    }
}

void checker::check_leaf(const task& t, const path& where) {
    const path chain = where["await_chain"];
    if (t.awaits.awaitable && t.activity != "suspended") {
        tell(chain, "ends in an awaitable, though the task is not suspended");
    }
    if (t.awaits.details) {
        const path entry = chain.at(t.chain->frames.size());
        must_exist(entry["owners"], t.awaits.details->owners);
    }
    const std::uint64_t head = t.chain->frames.empty() ? 0 : all_.frame_addresses[t.first_address];
    if (all_.counts.cut == 0 && head != 0 && head != t.id.address) {
        tell(where["id"], "is not made of the address of the outermost frame");
    }
}

/// A frame that changed hands while the dump was taken may rightly appear twice, so this holds only
/// for complete dumps.
void checker::check_addresses() {
    if (!all_.complete) return;
    std::vector<std::uint64_t> addresses = all_.frame_addresses;
    std::sort(addresses.begin(), addresses.end());
    const auto first = std::upper_bound(addresses.begin(), addresses.end(), 0U);
    const auto twice = std::adjacent_find(first, addresses.end());
    if (twice != addresses.end()) {
        tell(root_["tasks"], "the frame " + to_string(*twice) + " is in more than one chain");
    }
}

void checker::check_creation() {
    const path where = root_["creation_stacks"];
    std::map<std::uint32_t, std::uint64_t> counted;
    for (const task& t : all_.tasks)
        if (t.created_stack != 0) ++counted[t.created_stack];
    for (std::size_t i = 0; i < all_.creation_stacks.size(); ++i) {
        const creation_stack& said = all_.creation_stacks[i];
        const path here = where.at(i);
        if (i != 0 && said.count > all_.creation_stacks[i - 1].count)
            tell(here["count"], "is larger than that of the stack before");
        if (all_.tasks_left_out == 0)
            must_equal(here["count"], said.count, counted[said.id], "tasks created on it");
        counted.erase(said.id);
    }
    if (all_.creation.stacks_left_out == 0 && !counted.empty())
        tell(where, "has no stack " + std::to_string(counted.begin()->first) +
                        ", on which a task was created");
}

void checker::check_threads() {
    const path where = root_["threads"];
    std::vector<std::int64_t> seen;
    for (std::size_t i = 0; i < all_.threads.size(); ++i) {
        const thread& t = all_.threads[i];
        const path here = where.at(i);
        must_exist(here["task"], t.task);
        must_exist(here["outer_tasks"], t.outer_tasks);
        if (!t.task && !t.outer_tasks.empty())
            tell(here["outer_tasks"], "is set, though the thread is inside of no task");
        if (t.stack_source == "none" && !t.frames.empty())
            tell(here["frames"], "is not empty, though no stack was taken");
        if (t.tid) seen.push_back(*t.tid);
    }
    std::sort(seen.begin(), seen.end());
    const auto twice = std::adjacent_find(seen.begin(), seen.end());
    if (twice != seen.end()) tell(where, "two threads have the id " + std::to_string(*twice));
}

void checker::check_loops() {
    const path where = root_["loops"];
    for (std::size_t i = 0; i < all_.loops.size(); ++i) {
        const loop& l = all_.loops[i];
        const path here = where.at(i);
        must_exist(here["current"]["task"], l.current_task);
        if (l.over_threshold > l.callbacks)
            tell(here["callbacks"]["over_threshold"], "is more than there were callbacks");
    }
    for (std::size_t i = 0; i < all_.stalls.size(); ++i)
        must_exist(root_["stalls"].at(i)["task"], all_.stalls[i].task);
    if (all_.stalls.size() > all_.stalls_seen)
        tell(root_["stalls_seen"], "is less than the stalls that are listed");
}

/// Tokens are opened and closed while a dump is written, so of the counts only what holds at every
/// moment is checked.
void checker::check_resources() {
    const path where = root_["tracked_resources"];
    const tracked_resources& tracked = all_.resources;
    const auto must_be_listed = [&](const path& here, text kind) {
        const bool known =
            std::any_of(tracked.kinds.begin(), tracked.kinds.end(),
                        [&](const resource_kind& listed) { return listed.kind == kind; });
        if (!known) tell(here["kind"], "is not one of the kinds");
    };
    const path kinds = where["kinds"], places = where["places"], leaks = where["leaks"];
    for (std::size_t i = 0; i < tracked.kinds.size(); ++i) {
        const resource_kind& k = tracked.kinds[i];
        const path here = kinds.at(i);
        if (k.over_limit != 0 && !k.max_age_seconds)
            tell(here["over_limit"], "is set, though the kind has no limit");
        if (k.peak && static_cast<std::uint64_t>(std::max<std::int64_t>(*k.peak, 0)) < k.live)
            tell(here["peak"], "is less than there are now");
    }
    for (std::size_t i = 0; i < tracked.places.size(); ++i) {
        const path here = places.at(i);
        must_be_listed(here, tracked.places[i].kind);
        if (tracked.places[i].over_limit > tracked.places[i].live)
            tell(here["over_limit"], "is more than there are");
    }
    for (std::size_t i = 0; i < tracked.leaks.size(); ++i) {
        const path here = leaks.at(i);
        must_be_listed(here, tracked.leaks[i].kind);
        must_exist(here["task"], tracked.leaks[i].task);
    }
}

void checker::check_profile() {
    const profile& all = all_.profile;
    std::vector<std::uint64_t> resumes(all.functions.size());
    for (const profile_chain& chain : all.chains) resumes[chain.function] += chain.counts.resumes;
    for (std::size_t i = 0; i < all.functions.size(); ++i)
        must_equal(root_["profile"]["functions"].at(i)["resumes"], all.functions[i].counts.resumes,
                   resumes[i], "in its chains");
}

}  // namespace

void check_references(const dump& all, problem_log& log) {
    checker(all, log).run();
}

}  // namespace corodump::format
