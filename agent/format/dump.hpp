// A dump as the reader holds it: what `corodump show` and `corodump validate` work on.
//
// The mirror of model/snapshot.hpp on the far side of the file. A dump of a million tasks must fit
// beside a desktop's other programs, so equal strings, frames and chains exist once:
//
//   task ──> chain_shape ──> frame_shape ──> text ──> "session::run"     (shared by equal tasks)
//     │  └─> frame_addresses[first_address ...]                          (one word per frame)
//     └ extra: labels, children, locals                                  (only where there are any)
//
// A null of the file is an empty `text`, an unknown `task_id` or an empty optional. Everything
// points into the dump that owns it; moving the dump keeps the pointers valid.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: std::bad_alloc.
// Bounds: about 230 bytes per task, plus each distinct string, frame and chain once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace corodump::format {

/// A string that lives in a dump's pool, or null. Equal strings of one dump have one address.
class text {
public:
    text() = default;
    explicit text(const std::string* pooled) noexcept : pooled_(pooled) {}

    [[nodiscard]] explicit operator bool() const noexcept { return pooled_ != nullptr; }
    [[nodiscard]] std::string_view view() const noexcept {
        return pooled_ == nullptr ? std::string_view() : std::string_view(*pooled_);
    }
    [[nodiscard]] const void* identity() const noexcept { return pooled_; }

    friend bool operator==(text a, text b) noexcept { return a.pooled_ == b.pooled_; }
    friend bool operator==(text a, std::string_view b) noexcept { return a && a.view() == b; }

private:
    const std::string* pooled_ = nullptr;
};

/// `7f12a4003040.5`. The address 0 stands for null: no such task.
struct task_id {
    std::uint64_t address = 0;
    std::uint32_t generation = 0;

    [[nodiscard]] explicit operator bool() const noexcept { return address != 0; }
    friend bool operator==(const task_id&, const task_id&) = default;
    friend auto operator<=>(const task_id&, const task_id&) = default;
};

[[nodiscard]] std::string to_string(const task_id& id);
/// Hexadecimal as the file has it, without prefix.
[[nodiscard]] std::string to_string(std::uint64_t address);
/// Lower-case hexadecimal digits, at most 16; a leading 0x is taken too.
[[nodiscard]] std::optional<std::uint64_t> parse_address(std::string_view digits);
[[nodiscard]] std::optional<task_id> parse_task_id(std::string_view id);

struct frame_shape {
    text function, file;
    std::uint32_t line = 0;  ///< 0: unknown
    bool library = false;

    friend bool operator==(const frame_shape&, const frame_shape&) = default;
};

struct chain_shape {
    std::vector<const frame_shape*> frames;  ///< outermost first
};

struct local {
    text name, type;
    text value;           ///< null: could not be read
    bool quoted = false;  ///< a string in the file, not a number or boolean
};

struct label {
    text name, value;
};

/// What an awaitable that describes itself adds.
struct leaf_details {
    std::vector<task_id> owners;  ///< null: an owner that is no live task
    bool has_owners = false;
    std::optional<std::int64_t> descriptor;
    text local_endpoint, remote_endpoint;
    std::optional<double> deadline_in_seconds;
    std::optional<std::int64_t> remaining;  ///< children of a join that have not ended
    bool is_ready = false;                  ///< it says so itself
};

struct leaf {
    text awaitable;  ///< null: the task is not suspended at a co_await
    std::uint64_t object = 0;
    text kind, name;
    std::unique_ptr<leaf_details> details;
};

struct frame_locals {
    std::uint32_t frame = 0;  ///< index into the chain
    std::vector<local> locals;
};

/// A function call on a thread's stack.
struct native_frame {
    text function, module, build_id;
    std::uint64_t offset = 0, address = 0;  ///< 0: unknown
    bool live = false, inferred = false;
};

struct thread {
    std::optional<std::int64_t> tid;
    text name, state, syscall, wait_channel;
    std::optional<std::int64_t> syscall_number;
    text stack_source, stack_quality, stack_reason;
    task_id task;                      ///< null: it is inside of no coroutine
    std::vector<task_id> outer_tasks;  ///< null: one that is no task of this dump
    std::vector<native_frame> frames;  ///< innermost first
};

struct task_extra {
    std::vector<label> labels;
    std::vector<native_frame> native_stack;
    std::vector<task_id> children;
    std::uint64_t child_count = 0;
    std::uint64_t cut = 0;  ///< frames left out after the first half of the chain's
    std::vector<frame_locals> locals;
};

struct task {
    task_id id;
    text name, state, activity;
    std::optional<double> age_seconds, suspended_seconds;
    std::optional<std::int64_t> thread;
    const frame_shape* created_at = nullptr;
    task_id created_by, awaited_by;
    const chain_shape* chain = nullptr;  ///< never null in a dump that was read
    std::uint64_t first_address = 0;     ///< into dump::frame_addresses
    leaf awaits;
    std::unique_ptr<task_extra> extra;
    std::uint32_t resumes = 0;
    std::uint32_t created_stack = 0;  ///< creation_stack::id; 0: none
    bool cancelled = false;
};

/// A stack that tasks were created on.
struct creation_stack {
    std::uint32_t id = 0;
    std::uint64_t count = 0;           ///< tasks
    std::vector<native_frame> frames;  ///< innermost first
};

struct creation_info {
    text mode;  ///< null: creations were not traced
    std::optional<std::int64_t> budget_percent;
    std::uint64_t births = 0, missed = 0, depth = 0, stacks_taken = 0, short_stacks = 0,
                  distinct_stacks = 0, stack_bytes = 0, stacks_left_out = 0;
};

/// An exception that left a coroutine.
struct failure {
    text time, name, type, message;
    task_id task;
    std::vector<label> labels;
    const frame_shape* location = nullptr;
    const chain_shape* chain = nullptr;  ///< outermost first
    const frame_shape* created_at = nullptr;
    task_id created_by;
    bool has_stack = false;
    std::vector<native_frame> thrown_at;
    bool observed = false;
};

struct finished_task {
    task_id task, cancelled_by;
    text name, outcome, ended;
    const frame_shape* definition = nullptr;
    std::optional<double> duration_seconds;
};

struct failure_counts {
    std::uint64_t failures = 0, failures_dropped = 0, finished = 0, finished_dropped = 0;
};

struct trigger {
    text kind, reason;
    std::optional<std::int64_t> signal, sender_pid, sender_uid, merged;
};

struct dump_counts {
    std::uint64_t tasks = 0, frames = 0, dropped = 0, torn = 0, unreadable = 0, untracked = 0,
                  cut = 0;
};

struct process_info {
    text comm, exe, build_id, hostname, cgroup, start_time, agent_version;
    std::optional<std::int64_t> pid, uid, threads, rss_bytes, open_fds, fd_limit;
    std::optional<double> uptime_seconds;
};

struct verdict {
    text kind, severity, statement;
    std::vector<task_id> tasks;
    std::uint64_t task_count = 0;
    std::vector<text> evidence;
};

struct site_count {
    frame_shape where;
    text awaitable;
    std::uint64_t count = 0;
};

struct object_count {
    text kind, name;
    std::uint64_t object = 0, count = 0;
    bool has_holders = false;
    std::vector<task_id> holders;
};

struct summary {
    std::vector<std::pair<text, std::uint64_t>> by_state, by_activity;
    std::vector<site_count> by_await_site;
    std::vector<object_count> by_object;
    std::uint64_t other_await_sites = 0, other_objects = 0, other_groups_tasks = 0;
};

struct group {
    std::uint64_t count = 0;
    text state, activity;
    task_id oldest, newest;
    std::optional<double> oldest_suspended_seconds, newest_suspended_seconds;
    const chain_shape* chain = nullptr;
    text awaitable;
};

struct module {
    text path, build_id;
    std::uint64_t start = 0, end = 0;
};

struct loop_bucket {
    std::optional<double> below_seconds;  ///< none: no bound
    std::uint64_t count = 0;
};

/// An event loop: its callbacks, and what it is in the middle of.
struct loop {
    text name, kind;
    std::vector<std::int64_t> threads;
    std::uint64_t callbacks = 0, over_threshold = 0;
    std::optional<double> average_seconds, max_seconds, threshold_seconds;
    std::vector<loop_bucket> histogram;
    std::optional<double> last_delay_seconds, max_delay_seconds;  ///< none: no heartbeat
    std::optional<std::int64_t> queued;
    bool in_callback = false;
    std::optional<double> current_seconds;
    task_id current_task;
    std::optional<std::int64_t> current_thread;
};

/// A callback, or a coroutine's run, that lasted too long.
struct stall {
    text loop, time, name, function, reason;
    std::optional<std::int64_t> thread;
    std::optional<double> duration_seconds;
    bool ongoing = false;
    task_id task;
    std::vector<native_frame> frames;  ///< innermost first
};

/// Open resources of one kind: a tracker's, or tasks or descriptors.
struct resource_kind {
    text kind, type;
    bool built_in = false;
    std::uint64_t live = 0, refused = 0, over_limit = 0;
    std::optional<std::int64_t> peak, opened;
    std::optional<double> oldest_seconds, max_age_seconds;
};

struct resource_place {
    text kind;
    const frame_shape* where = nullptr;
    std::uint64_t live = 0, over_limit = 0;
    std::optional<double> oldest_seconds;
};

/// Older than its kind's limit.
struct leaked_resource {
    text kind, label;
    std::uint64_t object = 0;
    std::optional<std::int64_t> descriptor, thread;
    std::optional<double> age_seconds;
    const frame_shape* opened_at = nullptr;  ///< null: unknown
    bool has_stack = false;
    std::vector<native_frame> stack;  ///< innermost first
    task_id task;
};

struct tracked_resources {
    std::vector<resource_kind> kinds;
    std::vector<resource_place> places;  ///< most open first
    std::vector<leaked_resource> leaks;  ///< by kind, oldest first
    std::uint64_t places_left_out = 0, leaks_left_out = 0;
};

/// Times are in seconds; none: not measured.
struct profile_counts {
    std::uint64_t calls = 0, resumes = 0, live = 0;
    std::optional<double> running, cpu, suspended, longest_run;
};

struct profile_function {
    const frame_shape* where = nullptr;
    profile_counts counts;
};

/// A function as it was awaited by one chain of others.
struct profile_chain {
    std::uint32_t function = 0;           ///< into profile::functions
    std::optional<std::uint32_t> parent;  ///< into profile::chains, before this one
    bool cut = false;
    profile_counts counts;
};

struct profile {
    bool there = false;
    std::uint64_t session = 0;
    bool running = false;
    text clock;
    std::optional<double> seconds;
    std::uint64_t dropped_resumes = 0;
    std::vector<profile_function> functions;
    std::vector<profile_chain> chains;
};

/// Owns every string, frame and chain of a dump, each once.
class shape_pool {
public:
    text intern(std::string_view value);
    const frame_shape* intern(const frame_shape& shape);
    const chain_shape* intern(const std::vector<const frame_shape*>& frames);

private:
    struct string_hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view s) const noexcept {
            return std::hash<std::string_view>{}(s);
        }
    };
    struct frame_hash {
        std::size_t operator()(const frame_shape& f) const noexcept;
    };
    struct chain_less {
        using is_transparent = void;
        using frames = std::vector<const frame_shape*>;
        bool operator()(const chain_shape& a, const chain_shape& b) const {
            return a.frames < b.frames;
        }
        bool operator()(const chain_shape& a, const frames& b) const { return a.frames < b; }
        bool operator()(const frames& a, const chain_shape& b) const { return a < b.frames; }
    };

    std::unordered_set<std::string, string_hash, std::equal_to<>> strings_;
    std::unordered_set<frame_shape, frame_hash> frames_;
    std::set<chain_shape, chain_less> chains_;
};

struct dump {
    std::int64_t format_version = 0;
    text id, time;
    format::trigger trigger;
    std::uint64_t duration_us = 0;
    bool complete = false;
    std::vector<text> warnings;
    dump_counts counts;
    process_info process;
    std::vector<verdict> verdicts;
    format::summary summary;
    std::vector<group> groups;
    std::deque<task> tasks;
    std::uint64_t tasks_left_out = 0;            ///< over a limit of the dump's
    text left_out_for;                           ///< which one
    std::vector<std::uint64_t> frame_addresses;  ///< 0: not known
    std::vector<creation_stack> creation_stacks;
    creation_info creation;
    std::vector<thread> threads;
    std::vector<loop> loops;
    std::uint64_t stalls_seen = 0;
    std::vector<stall> stalls;  ///< oldest first
    tracked_resources resources;
    format::profile profile;
    std::vector<failure> failures;        ///< newest last
    std::vector<finished_task> finished;  ///< newest last
    format::failure_counts failure_counts;
    std::vector<module> modules;
    std::uint64_t not_understood = 0;  ///< parts of a newer format left out

    std::unique_ptr<shape_pool> pool = std::make_unique<shape_pool>();
};

/// Finds a task by id; of several with one id, the first. The dump must outlive it, and stay as it
/// is.
class task_index {
public:
    explicit task_index(const dump& all);
    [[nodiscard]] const task* find(const task_id& id) const;
    /// A task by what a user types: an id, or an address alone where only one task has it.
    [[nodiscard]] const task* find(std::string_view typed) const;

private:
    [[nodiscard]] std::vector<std::uint32_t>::const_iterator at_or_behind(const task_id& id) const;

    const dump* all_;
    std::vector<std::uint32_t> by_id_;  ///< positions in dump::tasks
};

}  // namespace corodump::format
