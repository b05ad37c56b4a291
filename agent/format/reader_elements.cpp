#include "agent/format/reader_elements.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/format/dump.hpp"
#include "agent/format/dump_reader.hpp"
#include "agent/format/reader_fields.hpp"
#include "agent/format/reader_source.hpp"
#include "agent/format/reader_tree.hpp"

namespace corodump::format {

namespace {

constexpr std::array<std::string_view, 4> trigger_kinds = {"signal", "api", "stall", "failure"};
constexpr std::array<std::string_view, 2> failure_reasons = {"terminate", "signal"};
constexpr std::array<std::string_view, 3> severities = {"error", "warning", "info"};
constexpr std::array<std::string_view, 13> verdict_kinds = {
    "wait_cycle",  "one_site",           "growth",       "exhausted",     "resource_leak",
    "lost_child",  "last_child",         "blocked_loop", "spinning_loop", "past_stall",
    "lost_wakeup", "unobserved_failure", "never_resumed"};
constexpr std::size_t max_groups = 1024;

bool in_elements(std::string_view key) {
    return key == "verdicts" || key == "groups" || key == "tasks" || key == "threads" ||
           key == "loops" || key == "stalls" || key == "creation_stacks" || key == "failures" ||
           key == "finished" || key == "modules";
}

}  // namespace

element_consumer::wish dump_builder::begin_member(std::string_view key, std::uint64_t offset) {
    const auto* const found = std::find(members.begin(), members.end(), key);
    if (found == members.end()) return wish::skip;
    const auto index = static_cast<std::size_t>(found - members.begin());
    const path root;
    if (seen_[index]) log_.unusable(root[key], offset, "appears twice");
    if (index < last_seen_) {
        log_.departure(root[key], offset, "stands behind members that must follow it");
    }
    seen_[index] = true;
    last_seen_ = std::max(last_seen_, index);
    return in_elements(key) ? wish::elements : wish::whole;
}

/// What precedes the long parts decides whether this is a dump at all, so it is looked at before
/// gigabytes of something else are read.
void dump_builder::begin_elements(std::string_view key) {
    if (key == "tasks" && !seen_[0]) {
        log_.unusable(path{}, 0, "not a corodump dump: it has no \"format\"");
    }
}

void dump_builder::member(std::string_view key, const tree& value) {
    const path root;
    const path where = root[key];
    if (key == "format") {
        read_format(value, where);
    } else if (key == "format_version") {
        read_version(value, where);
    } else if (key == "dump") {
        read_dump(value, where);
    } else if (key == "process") {
        read_process(value, where);
    } else if (key == "summary") {
        read_summary(value, where);
    } else if (key == "failure_counts" && value[0].kind == node_kind::object) {
        read_failure_counts(value, where);
    } else if (key == "tracked_resources" && value[0].kind == node_kind::object) {
        read_resources(value, where);
    } else if (key == "left_out" && value[0].kind == node_kind::object) {
        read_left_out(value, where);
    } else if (key == "stalls_seen" && value[0].kind == node_kind::unsigned_integer) {
        dump_.stalls_seen = value[0].whole;
    } else if (key == "creation" && value[0].kind == node_kind::object) {
        read_creation(value, where);
    } else if (key == "profile" && value[0].kind == node_kind::object) {
        read_profile(value, where);
    } else {
        log_.unusable(where, value[0].offset,
                      "is " + std::string(describe(value[0].kind)) + ", expected an array");
    }
}

void dump_builder::element(std::string_view key, std::uint64_t index, const tree& value) {
    const path root;
    const path array = root[key];
    const path where = array.at(index);
    if (key == "tasks") {
        read_task(value, where);
    } else if (key == "groups") {
        if (index == max_groups) log_.departure(array, value[0].offset, "has over 1024 groups");
        read_group(value, where);
    } else if (key == "verdicts") {
        read_verdict(value, where);
    } else if (key == "threads") {
        read_thread(value, where);
    } else if (key == "loops") {
        read_loop(value, where);
    } else if (key == "stalls") {
        read_stall(value, where);
    } else if (key == "creation_stacks") {
        read_creation_stack(value, where);
    } else if (key == "failures") {
        read_failure(value, where);
    } else if (key == "finished") {
        read_finished(value, where);
    } else {
        read_module(value, where);
    }
}

void dump_builder::finish(std::uint64_t offset) {
    const path root;
    if (!seen_[0]) log_.unusable(root, 0, "not a corodump dump: it has no \"format\"");
    for (std::size_t i = 1; i < members.size(); ++i) {
        const bool optional =
            std::ranges::find(optional_members, members[i]) != optional_members.end();
        if (!seen_[i] && !optional) {
            log_.departure(root, offset, "has no member \"" + std::string(members[i]) + "\"");
        }
    }
    dump_.not_understood = log_.not_understood();
}

void dump_builder::read_format(const tree& json, const path& where) {
    if (json[0].kind != node_kind::string || json.text_of(json[0]) != "corodump") {
        log_.unusable(where, json[0].offset, "not a corodump dump: \"format\" is not \"corodump\"");
    }
}

void dump_builder::read_version(const tree& json, const path& where) {
    const tree_node& version = json[0];
    if (version.kind != node_kind::unsigned_integer || version.whole == 0 ||
        version.whole > 1'000'000) {
        log_.unusable(where, version.offset, "is no version number");
        return;
    }
    dump_.format_version = static_cast<std::int64_t>(version.whole);
    if (dump_.format_version <= newest_known_version) return;
    log_.departure(where, version.offset,
                   "is newer than this corodump, which knows format 1 and checks against that");
    log_.expect_newer();
}

void dump_builder::read_dump(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    in.read("id", need::value, dump_.id);
    read_trigger(in, json);
    in.read_time("time", need::value, dump_.time);
    in.read("duration_us", need::value, dump_.duration_us);
    in.read("complete", need::value, dump_.complete);
    in.read_texts("warnings", need::value, dump_.warnings);
    read_counts(in, json);
    in.finish();
}

void dump_builder::read_trigger(object_fields& in, const tree& json) {
    const auto at = in.find_object("trigger", need::value);
    if (!at) return;
    object_fields trigger = fields(json, *at, in.where()["trigger"]);
    trigger.read_choice("kind", need::value, dump_.trigger.kind, trigger_kinds);
    const bool by_signal = dump_.trigger.kind == "signal";
    if (dump_.trigger.kind == "failure")
        trigger.read_choice("reason", need::value, dump_.trigger.reason, failure_reasons);
    trigger.read("signal", by_signal ? need::value : need::optional, dump_.trigger.signal);
    const need sender = by_signal ? need::nullable : need::optional_or_null;
    trigger.read("sender_pid", sender, dump_.trigger.sender_pid);
    trigger.read("sender_uid", sender, dump_.trigger.sender_uid);
    trigger.read("merged", by_signal ? need::value : need::optional, dump_.trigger.merged);
    trigger.finish();
}

void dump_builder::read_counts(object_fields& in, const tree& json) {
    const auto at = in.find_object("counts", need::value);
    if (!at) return;
    object_fields counts = fields(json, *at, in.where()["counts"]);
    dump_counts& out = dump_.counts;
    counts.read("tasks", need::value, out.tasks);
    counts.read("frames", need::value, out.frames);
    counts.read("dropped", need::value, out.dropped);
    counts.read("torn", need::value, out.torn);
    counts.read("unreadable", need::value, out.unreadable);
    counts.read("untracked", need::value, out.untracked);
    counts.read("cut", need::value, out.cut);
    counts.finish();
}

void dump_builder::read_process(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    process_info& out = dump_.process;
    in.read("pid", need::nullable, out.pid);
    in.read("comm", need::nullable, out.comm);
    in.read("exe", need::nullable, out.exe);
    in.read("build_id", need::nullable, out.build_id);
    in.read("hostname", need::nullable, out.hostname);
    in.read("uid", need::nullable, out.uid);
    in.read("cgroup", need::nullable, out.cgroup);
    in.read("start_time", need::nullable, out.start_time);
    in.read("uptime_seconds", need::nullable, out.uptime_seconds);
    in.read("threads", need::nullable, out.threads);
    in.read("rss_bytes", need::nullable, out.rss_bytes);
    in.read("open_fds", need::nullable, out.open_fds);
    in.read("fd_limit", need::nullable, out.fd_limit);
    in.read("agent_version", need::nullable, out.agent_version);
    in.finish();
}

void dump_builder::read_verdict(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    verdict out;
    in.read_choice("kind", need::value, out.kind, verdict_kinds);
    in.read_choice("severity", need::value, out.severity, severities);
    in.read("statement", need::essential, out.statement);
    in.read_ids("tasks", need::value, false, out.tasks);
    in.read("task_count", need::value, out.task_count);
    in.read_texts("evidence", need::value, out.evidence);
    in.finish();
    if (out.tasks.size() > max_listed || out.evidence.size() > max_listed) {
        log_.departure(where, in.offset(), "lists over 64 tasks or pieces of evidence");
    }
    if (in.whole()) dump_.verdicts.push_back(std::move(out));
}

void dump_builder::read_summary(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    summary& out = dump_.summary;
    read_tally(in, json, "by_state", out.by_state);
    read_tally(in, json, "by_activity", out.by_activity);
    each_object(json, in.find_array("by_await_site", need::value), where["by_await_site"],
                [&](std::uint32_t at, const path& here) { read_await_site(json, at, here); });
    each_object(json, in.find_array("by_object", need::value), where["by_object"],
                [&](std::uint32_t at, const path& here) { read_object_count(json, at, here); });
    in.read("other_await_sites", need::value, out.other_await_sites);
    in.read("other_objects", need::value, out.other_objects);
    in.read("other_groups_tasks", need::value, out.other_groups_tasks);
    in.finish();
    if (out.by_await_site.size() > max_listed || out.by_object.size() > max_listed) {
        log_.departure(where, in.offset(), "has an array of over 64 entries");
    }
}

void dump_builder::read_tally(object_fields& in, const tree& json, std::string_view name,
                              std::vector<std::pair<text, std::uint64_t>>& out) {
    const auto object = in.find_object(name, need::value);
    if (!object) return;
    const path here = in.where()[name];
    object_fields::for_each(json, *object, [&](std::uint32_t at, std::uint64_t) {
        const std::string_view key = json.key_of(json[at]);
        if (json[at].kind == node_kind::unsigned_integer) {
            out.emplace_back(dump_.pool->intern(key), json[at].whole);
        } else {
            log_.unusable(here[key], json[at].offset, "is no count");
        }
    });
}

void dump_builder::read_place(object_fields& in, frame_shape& out) {
    in.read("function", need::nullable, out.function);
    in.read("file", need::nullable, out.file);
    std::optional<std::int64_t> line;
    in.read("line", need::nullable, line);
    constexpr std::int64_t largest_line = 0xffffffff;
    if (line && (*line < 0 || *line > largest_line)) {
        log_.unusable(in.where()["line"], in.offset(), "is no line number");
    } else {
        out.line = static_cast<std::uint32_t>(line.value_or(0));
    }
}

/// Only frames of tasks leave the member out where it is false: they are many.
void dump_builder::read_library(object_fields& in, bool only_true, frame_shape& out) {
    in.read("library", need::optional, out.library);
    if (only_true && !out.library && in.has("library")) {
        log_.departure(in.where()["library"], in.offset(), "is false, where it must be absent");
    }
}

void dump_builder::read_await_site(const tree& json, std::uint32_t at, const path& where) {
    object_fields in = fields(json, at, where);
    site_count out;
    read_place(in, out.where);
    in.read("awaitable", need::nullable, out.awaitable);
    in.read("count", need::essential, out.count);
    in.finish();
    if (in.whole()) dump_.summary.by_await_site.push_back(out);
}

void dump_builder::read_object_count(const tree& json, std::uint32_t at, const path& where) {
    object_fields in = fields(json, at, where);
    object_count out;
    in.read("kind", need::nullable, out.kind);
    in.read("name", need::nullable, out.name);
    in.read_address("object", need::nullable, out.object);
    in.read("count", need::essential, out.count);
    out.has_holders = in.read_ids("holders", need::optional, true, out.holders);
    in.finish();
    if (in.whole()) dump_.summary.by_object.push_back(std::move(out));
}

void dump_builder::read_left_out(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    in.read("tasks", need::value, dump_.tasks_left_out);
    in.read("reason", need::value, dump_.left_out_for);
    in.finish();
    if (dump_.tasks_left_out == 0)
        log_.departure(where, in.offset(), "says that nothing is missing");
}

void dump_builder::read_group(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    group out;
    in.read("count", need::essential, out.count);
    in.read_choice("state", need::value, out.state, states);
    in.read_choice("activity", need::value, out.activity, activities);
    in.read("oldest", need::value, out.oldest);
    in.read("newest", need::value, out.newest);
    in.read("oldest_suspended_seconds", need::nullable, out.oldest_suspended_seconds);
    in.read("newest_suspended_seconds", need::nullable, out.newest_suspended_seconds);
    shapes_.clear();
    each_object(json, in.find_array("chain", need::value), where["chain"],
                [&](std::uint32_t at, const path& here) {
                    object_fields frame = fields(json, at, here);
                    frame_shape shape;
                    read_place(frame, shape);
                    read_library(frame, false, shape);
                    frame.finish();
                    shapes_.push_back(dump_.pool->intern(shape));
                });
    out.chain = dump_.pool->intern(shapes_);
    in.read("awaitable", need::nullable, out.awaitable);
    in.finish();
    if (in.whole()) dump_.groups.push_back(out);
}

void dump_builder::read_module(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    module out;
    in.read("path", need::essential, out.path);
    in.read("build_id", need::nullable, out.build_id);
    in.read_address("start", need::nullable, out.start);
    in.read_address("end", need::nullable, out.end);
    in.finish();
    if (in.whole() && out.end < out.start)
        log_.departure(where, in.offset(), "ends before it starts");
    if (in.whole()) dump_.modules.push_back(out);
}

}  // namespace corodump::format
