#include "agent/format/dump_writer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "agent/base/clock.hpp"
#include "agent/format/chain_walk.hpp"
#include "agent/format/creation_writer.hpp"
#include "agent/format/failure_writer.hpp"
#include "agent/format/fragment_cache.hpp"
#include "agent/format/json_text.hpp"
#include "agent/format/json_writer.hpp"
#include "agent/format/loop_writer.hpp"
#include "agent/format/place_writer.hpp"
#include "agent/format/profile_writer.hpp"
#include "agent/format/resource_writer.hpp"
#include "agent/format/task_writer.hpp"
#include "agent/format/thread_writer.hpp"
#include "agent/model/creation.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::format {
namespace {

/// Stands in where the snapshot has nobody to ask.
class no_details final : public model::details {
public:
    model::location where(std::uint64_t) override { return {}; }
    std::span<const model::local> locals(const model::frame&) override { return {}; }
    model::leaf awaited(const model::frame&) override { return {}; }
    model::side given(const model::frame&) override { return {}; }
};

/// At most `limit` entries; what the others count is added to `rest`.
template <class Entry>
std::span<const Entry> first_of(std::span<const Entry> entries, std::size_t limit,
                                std::uint64_t& rest) noexcept {
    if (entries.size() <= limit) return entries;
    for (const Entry& entry : entries.subspan(limit)) rest += entry.count;
    return entries.first(limit);
}

template <class Entry>
std::span<const Entry> first_of(std::span<const Entry> entries, std::size_t limit) noexcept {
    return entries.first(std::min(entries.size(), limit));
}

/// The parts of one dump, in the order of docs/format.md.
class sections {
public:
    sections(json_writer& out, fragment_cache& cache, const model::snapshot& all,
             model::details& details) noexcept
        : out_(out),
          all_(all),
          details_(details),
          places_(out, cache, details),
          task_walk_(all),
          walk_(all),
          tasks_(out, places_, task_walk_, all, details) {}

    void write() noexcept;
    [[nodiscard]] written result() const noexcept;

private:
    void write_dump() noexcept;
    void write_trigger() noexcept;
    void write_counts() noexcept;
    void write_process() noexcept;
    void write_verdicts() noexcept;
    void write_verdict(const model::verdict& verdict) noexcept;
    void write_summary() noexcept;
    void write_await_sites(std::span<const model::site_count> sites) noexcept;
    void write_objects(std::span<const model::object_count> objects) noexcept;
    void write_groups() noexcept;
    void write_group(const model::group& group) noexcept;
    void write_group_chain(chain_walk::frames chain) noexcept;
    void write_tasks() noexcept;
    [[nodiscard]] std::string_view reason_to_end(std::size_t at) const noexcept;
    [[nodiscard]] std::uint64_t room_for_modules() const noexcept;
    void write_left_out() noexcept;
    void write_threads() noexcept;
    void write_modules() noexcept;

    void texts(std::span<const std::string_view> values) noexcept;
    void time_or_null(std::int64_t unix_ns) noexcept;
    /// The task that frame `index` is part of.
    void task_id(std::uint32_t index) noexcept;
    void task_ids(std::span<const std::uint32_t> indices) noexcept;
    void suspended_seconds(const model::frame* leaf) noexcept;
    /// The members of a place, inside an object that is open.
    bool place(std::uint64_t site, std::uint64_t definition) noexcept;

    json_writer& out_;
    const model::snapshot& all_;
    model::details& details_;
    place_writer places_;
    chain_walk task_walk_;
    chain_walk walk_;  // its counts are nobody's: groups show chains that tasks show again
    task_writer tasks_;
    std::uint64_t tasks_written_ = 0;
    std::uint64_t tasks_left_out_ = 0;
    std::string_view left_out_for_;
    std::uint64_t complete_at_ = 0;
    std::uint64_t room_behind_ = 0;  ///< bytes that come behind the tasks, roughly
};

void sections::write() noexcept {
    out_.begin_object();
    out_.line();
    out_.member("format").text("corodump");
    out_.line();
    out_.member("format_version").number(1);
    write_dump();
    write_process();
    write_verdicts();
    write_summary();
    write_groups();
    write_tasks();
    write_creation(out_, all_, room_for_modules() + room_for_resources(all_));
    write_threads();
    if (all_.loops != nullptr) loop_writer(out_, walk_, all_).write(*all_.loops);
    resource_writer(out_, places_, walk_, all_).write(room_for_modules());
    write_profile(out_, places_, all_);
    failure_writer(out_, places_, all_).write();
    write_modules();
    out_.line();
    out_.end_object();
    out_.commit(put(out_.reserve(1), "\n"));
    out_.flush();
}

written sections::result() const noexcept {
    return {.whole = !out_.failed(),
            .bytes = out_.bytes_written(),
            .tasks = tasks_written_,
            .left_out = tasks_left_out_,
            .cut_frames = task_walk_.cut_frames(),
            .omitted = tasks_.omitted()};
}

void sections::write_dump() noexcept {
    out_.line();
    out_.member("dump").begin_object();
    out_.member("id").text(all_.id);
    write_trigger();
    out_.member("time");
    time_or_null(all_.time_unix_ns);
    out_.member("duration_us").number(all_.duration_us);
    out_.member("complete");
    complete_at_ = out_.position();
    // Of equal length, so that a dump that is cut further down can say so up here.
    out_.raw(all_.complete() ? " true" : "false");
    out_.member("warnings");
    texts(all_.warnings);
    write_counts();
    out_.end_object();
}

void sections::write_trigger() noexcept {
    const model::trigger& trigger = all_.trigger;
    out_.member("trigger").begin_object();
    out_.member("kind").text(trigger.kind);
    if (trigger.kind == "signal") {
        out_.member("signal").number_or_null(trigger.signal);
        out_.member("sender_pid").number_or_null(trigger.sender_pid);
        out_.member("sender_uid").number_or_null(trigger.sender_uid);
    }
    if (trigger.kind == "failure") {
        out_.member("reason").text(trigger.reason);
        if (trigger.signal != 0) out_.member("signal").number_or_null(trigger.signal);
    }
    out_.member("merged").number(trigger.merged);
    out_.end_object();
}

void sections::write_counts() noexcept {
    const model::counts& counts = all_.counts;
    out_.member("counts").begin_object();
    out_.member("tasks").number(counts.tasks);
    out_.member("frames").number(counts.frames);
    out_.member("dropped").number(counts.dropped);
    out_.member("torn").number(counts.torn);
    out_.member("unreadable").number(counts.unreadable);
    out_.member("untracked").number(counts.untracked);
    out_.member("cut").number(counts.cut);
    out_.end_object();
}

void sections::write_process() noexcept {
    const model::process& process = all_.process;
    out_.line();
    out_.member("process").begin_object();
    out_.member("pid").number_or_null(process.pid);
    out_.member("comm").text_or_null(process.comm);
    out_.member("exe").text_or_null(process.exe);
    out_.member("build_id").text_or_null(process.build_id);
    out_.member("hostname").text_or_null(process.hostname);
    out_.member("uid").number_or_null(process.uid);
    out_.member("cgroup").text_or_null(process.cgroup);
    out_.member("start_time");
    time_or_null(process.start_time_unix_ns);
    out_.member("uptime_seconds");
    process.uptime_seconds < 0 ? out_.null() : out_.seconds_or_null(process.uptime_seconds);
    out_.member("threads").number_or_null(process.threads);
    out_.member("rss_bytes").number_or_null(process.rss_bytes);
    out_.member("open_fds").number_or_null(process.open_fds);
    out_.member("fd_limit").number_or_null(process.fd_limit);
    out_.member("agent_version").text_or_null(process.agent_version);
    out_.end_object();
}

void sections::write_verdicts() noexcept {
    out_.line();
    out_.member("verdicts").begin_array();
    for (const model::verdict& verdict : all_.verdicts) {
        if (out_.failed()) return;
        out_.line();
        write_verdict(verdict);
    }
    out_.end_array();
}

void sections::write_verdict(const model::verdict& verdict) noexcept {
    out_.begin_object();
    out_.member("kind").text(verdict.kind);
    out_.member("severity").text(verdict.severity);
    out_.member("statement").text(verdict.statement);
    out_.member("tasks");
    task_ids(verdict.tasks);
    out_.member("task_count").number(verdict.task_count);
    out_.member("evidence");
    texts(first_of(verdict.evidence, dump_writer::max_entries));
    out_.end_object();
}

void sections::write_summary() noexcept {
    const model::summary& summary = all_.summary;
    std::uint64_t beyond_groups = summary.other_groups_tasks;
    (void)first_of(all_.groups, dump_writer::max_groups, beyond_groups);
    out_.line();
    out_.member("summary").begin_object();
    out_.member("by_state").begin_object();
    out_.member("pending").number(summary.by_state[0]);
    out_.member("done").number(summary.by_state[1]);
    out_.member("failed").number(summary.by_state[2]);
    out_.member("cancelled").number(summary.by_state[3]);
    out_.end_object();
    out_.member("by_activity").begin_object();
    out_.member("not_started").number(summary.by_activity[0]);
    out_.member("suspended").number(summary.by_activity[1]);
    out_.member("running").number(summary.by_activity[2]);
    out_.member("unknown").number(summary.by_activity[3]);
    out_.end_object();
    std::uint64_t beyond_sites = summary.other_await_sites;
    write_await_sites(first_of(summary.by_await_site, dump_writer::max_entries, beyond_sites));
    std::uint64_t beyond_objects = summary.other_objects;
    write_objects(first_of(summary.by_object, dump_writer::max_entries, beyond_objects));
    out_.member("other_await_sites").number(beyond_sites);
    out_.member("other_objects").number(beyond_objects);
    out_.member("other_groups_tasks").number(beyond_groups);
    out_.end_object();
}

void sections::write_await_sites(std::span<const model::site_count> sites) noexcept {
    out_.member("by_await_site").begin_array();
    for (const model::site_count& site : sites) {
        out_.line();
        out_.begin_object();
        place(site.site, 0);
        out_.member("awaitable").text_or_null(site.awaitable);
        out_.member("count").number(site.count);
        out_.end_object();
    }
    out_.end_array();
}

void sections::write_objects(std::span<const model::object_count> objects) noexcept {
    out_.member("by_object").begin_array();
    for (const model::object_count& object : objects) {
        out_.line();
        out_.begin_object();
        out_.member("kind").text_or_null(object.kind);
        out_.member("name").text_or_null(object.name);
        out_.member("object").address_or_null(object.object);
        out_.member("count").number(object.count);
        if (object.described) {
            out_.member("holders");
            task_ids(object.holders);
        }
        out_.end_object();
    }
    out_.end_array();
}

void sections::write_groups() noexcept {
    out_.line();
    out_.member("groups").begin_array();
    for (const model::group& group : first_of(all_.groups, dump_writer::max_groups)) {
        if (out_.failed()) return;
        out_.line();
        write_group(group);
    }
    out_.end_array();
}

void sections::write_group(const model::group& group) noexcept {
    const chain_walk::frames newest = walk_.follow(group.newest);
    const model::frame* const newest_leaf =
        newest.empty() ? nullptr : &chain_walk::waiting_in(newest);
    const chain_walk::frames chain = walk_.follow(group.oldest);  // ends the view above
    const model::frame* const leaf = chain.empty() ? nullptr : &chain_walk::waiting_in(chain);
    out_.begin_object();
    out_.member("count").number(group.count);
    out_.member("state").text_or_null(leaf == nullptr ? "" : name_of(chain.front()->state));
    out_.member("activity").text_or_null(leaf == nullptr ? "" : name_of(leaf->activity));
    out_.member("oldest");
    task_id(group.oldest);
    out_.member("newest");
    task_id(group.newest);
    out_.member("oldest_suspended_seconds");
    suspended_seconds(leaf);
    out_.member("newest_suspended_seconds");
    suspended_seconds(newest_leaf);
    write_group_chain(chain);
    out_.end_object();
}

void sections::write_group_chain(chain_walk::frames chain) noexcept {
    out_.member("chain").begin_array();
    for (const model::frame* frame : chain) {
        out_.begin_object();
        const bool in_library = place(frame->site, frame->definition);
        out_.member("library").boolean(frame->library || in_library);
        out_.end_object();
    }
    out_.end_array();
    out_.member("awaitable");
    const model::frame* const leaf = chain.empty() ? nullptr : &chain_walk::waiting_in(chain);
    const bool suspended = leaf != nullptr && leaf->activity == model::activity::suspended;
    suspended ? out_.text_or_null(details_.awaited(*leaf).awaitable) : out_.null();
}

void sections::write_tasks() noexcept {
    out_.line();
    out_.member("tasks").begin_array();
    room_behind_ = room_for_modules() + room_for_creation(all_) + room_for_resources(all_);
    for (std::size_t at = 0; at < all_.roots.size() && !out_.failed(); ++at) {
        left_out_for_ = reason_to_end(at);
        if (!left_out_for_.empty()) {
            tasks_left_out_ = all_.roots.size() - at;
            break;
        }
        task_walk_.prefetch(at);
        out_.line();
        const bool traced = all_.creation != nullptr && at < all_.creation->of_tasks.size();
        if (tasks_.write(all_.roots[at], traced ? &all_.creation->of_tasks[at] : nullptr))
            ++tasks_written_;
    }
    out_.line();
    out_.end_array();
    if (tasks_left_out_ != 0) write_left_out();
}

/// Empty: the next task, `at`, is written.
std::string_view sections::reason_to_end(std::size_t at) const noexcept {
    constexpr std::size_t tasks_per_look_at_the_clock = 64;
    const model::limits& limits = all_.limits;
    if (at >= limits.tasks) return "max_tasks";
    if (out_.position() + room_behind_ > limits.bytes) return "max_bytes";
    const bool late = limits.deadline_ns != 0 && at % tasks_per_look_at_the_clock == 0 &&
                      base::monotonic_ns() > limits.deadline_ns;
    return late ? "deadline" : std::string_view{};
}

std::uint64_t sections::room_for_modules() const noexcept {
    constexpr std::uint64_t bytes_of_a_module = 320;
    return 4096 +
           std::min<std::uint64_t>(all_.modules.size() * bytes_of_a_module, all_.limits.bytes / 4);
}

void sections::write_left_out() noexcept {
    out_.overwrite(complete_at_, "false");
    out_.line();
    out_.member("left_out").begin_object();
    out_.member("tasks").number(tasks_left_out_);
    out_.member("reason").text(left_out_for_);
    out_.end_object();
}

void sections::write_threads() noexcept {
    if (all_.threads.empty()) return;
    thread_writer writer(out_, walk_, all_);
    out_.line();
    out_.member("threads").begin_array();
    for (const model::thread& thread : all_.threads) {
        if (out_.failed()) return;
        out_.line();
        writer.write(thread);
    }
    out_.line();
    out_.end_array();
}

void sections::write_modules() noexcept {
    out_.line();
    out_.member("modules").begin_array();
    for (const model::module& module : all_.modules) {
        if (out_.failed()) return;
        out_.line();
        out_.begin_object();
        out_.member("path").text(module.path);
        out_.member("build_id").text_or_null(module.build_id);
        out_.member("start").address_or_null(module.start);
        out_.member("end").address_or_null(module.end);
        out_.end_object();
    }
    out_.line();
    out_.end_array();
}

void sections::texts(std::span<const std::string_view> values) noexcept {
    out_.begin_array();
    for (const std::string_view value : values) out_.text(value);
    out_.end_array();
}

void sections::time_or_null(std::int64_t unix_ns) noexcept {
    if (unix_ns < 0) return out_.null();
    char* to = put(out_.element(number_room + 2), "\"");
    out_.commit_element(put(put_rfc3339(to, unix_ns), "\""));
}

void sections::task_id(std::uint32_t index) noexcept {
    const model::frame* const root = walk_.root_of(index);
    if (root == nullptr) return out_.null();
    char* to = put(out_.element(task_writer::id_room + 2), "\"");
    out_.commit_element(put(task_writer::put_id(to, *root), "\""));
}

void sections::task_ids(std::span<const std::uint32_t> indices) noexcept {
    out_.begin_array();
    for (const std::uint32_t index : first_of(indices, dump_writer::max_entries)) task_id(index);
    out_.end_array();
}

void sections::suspended_seconds(const model::frame* leaf) noexcept {
    const bool suspended = leaf != nullptr && leaf->activity == model::activity::suspended;
    out_.commit_element(
        tasks_.put_age(out_.element(number_room), suspended ? leaf->suspended_tick : 0));
}

bool sections::place(std::uint64_t site, std::uint64_t definition) noexcept {
    out_.commit(out_.element(0));
    const bool in_library = places_.write({.site = site, .definition = definition});
    out_.commit_element(out_.reserve(0));
    return in_library;
}

}  // namespace

written dump_writer::write(const model::snapshot& all) noexcept {
    if (workspace_.size() < min_workspace_bytes) return {};
    // The file system takes larger pieces faster, up to here.
    constexpr std::size_t least_bytes = std::size_t{64} * 1024;
    static_assert(least_bytes >= json_writer::min_buffer_bytes);
    const std::size_t buffer_bytes =
        std::clamp(workspace_.size() / 4, least_bytes, 4 * least_bytes);
    const std::span<std::byte> buffer = workspace_.first(buffer_bytes);
    json_writer out(sink_, {reinterpret_cast<char*>(buffer.data()), buffer.size()});
    fragment_cache cache(workspace_.subspan(buffer_bytes));
    no_details nobody;
    sections dump(out, cache, all, all.details != nullptr ? *all.details : nobody);
    dump.write();
    return dump.result();
}

}  // namespace corodump::format
