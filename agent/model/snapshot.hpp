// What a dump means: plain structs, filled by the snapshot room, written by the format room.
//
// A million tasks must fit, so nothing here owns memory: every span points into the snapshot's
// arena, and what costs much (locals, leaf details) is fetched frame by frame through `details`
// while the file is written.
//
//   roots ──> frame ── first_child ──> frame ── first_child ──> leaf frame ── awaits ──> awaitable
//               │ (await_chain, outermost first)                   │
//               └ next_sibling: further children make it a join    └ details::leaf()
//
// Threads: one owner (the watchdog). Signals: unsafe. Blocks: never.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace corodump::model {

inline constexpr std::uint32_t no_index = 0xffffffffU;
/// Set in a site's key that is no site but the address of code, to be found in a symbol table.
inline constexpr std::uint64_t code_key = std::uint64_t{1} << 63U;

enum class task_state : std::uint8_t { pending, done, failed, cancelled };
enum class activity : std::uint8_t { not_started, suspended, running, unknown };

[[nodiscard]] constexpr std::string_view name_of(task_state state) noexcept {
    constexpr std::string_view names[] = {"pending", "done", "failed", "cancelled"};
    return names[static_cast<unsigned>(state)];
}
[[nodiscard]] constexpr std::string_view name_of(activity what) noexcept {
    constexpr std::string_view names[] = {"not_started", "suspended", "running", "unknown"};
    return names[static_cast<unsigned>(what)];
}

/// A place in source code. `function` is already demangled and cleaned.
struct location {
    std::string_view function;  ///< empty: unknown
    std::string_view file;      ///< empty: unknown
    std::uint32_t line = 0;     ///< 0: unknown
    bool library = false;
};

/// One live coroutine frame. At most 96 bytes: there may be millions.
struct frame {
    std::uint64_t address = 0;
    std::uint32_t generation = 0;
    std::uint32_t resumes = 0;
    std::uint32_t created_tick = 0;    ///< 0: unknown
    std::uint32_t suspended_tick = 0;  ///< 0: unknown
    std::int32_t thread = 0;           ///< tid, 0: unknown
    std::uint32_t side = no_index;     ///< not no_index: details::given knows more
    std::uint64_t site = 0;            ///< key of the await site, for details::where
    std::uint64_t definition = 0;      ///< key of the coroutine's definition, for details::where
    std::uint64_t awaitable = 0;       ///< key of the awaitable's type, for details::leaf
    std::uint64_t awaiter = 0;         ///< address of the awaiter, 0 when not suspended
    std::uint64_t promise = 0;         ///< key of the promise's type
    std::uint32_t parent = no_index;   ///< frame that awaits this one
    std::uint32_t first_child = no_index;
    std::uint32_t next_sibling = no_index;
    task_state state = task_state::pending;
    model::activity activity = model::activity::unknown;
    /// This frame is a task that `parent` joins, so it heads a chain of its own.
    bool root : 1 = false;
    bool library : 1 = false;
    std::uint8_t marks : 6 = 0;  ///< scratch of the room that assembles
};
static_assert(sizeof(frame) <= 96);

struct label {
    std::string_view name;
    std::string_view value;
};

/// What a task was given by hand.
struct side {
    std::string_view name;  ///< empty: none
    std::span<const label> labels;
    bool cancelled = false;
};

struct local {
    std::string_view name;
    std::string_view type;
    std::string_view value;  ///< text; written as a JSON number or boolean where `literal`
    bool literal = false;
    bool readable = true;
    bool redacted = false;
};

/// What is known of the awaitable a leaf is suspended on.
struct leaf {
    std::string_view awaitable;  ///< type or operation
    std::uint64_t object = 0;
    std::string_view kind;  ///< empty: unknown
    std::string_view name;  ///< empty: unknown
    /// Frames (indices into snapshot::frames) that hold the object; no_index: an owner not alive.
    std::span<const std::uint32_t> owners;
    int descriptor = -1;
    std::string_view local_endpoint;
    std::string_view remote_endpoint;
    bool has_deadline = false;
    double deadline_in_seconds = 0;
    bool tells_ready = false, ready = false;
    std::int64_t remaining =
        -1;  ///< children of a join that have not ended; -1: no join, or unknown
};

/// Answers what is too large to hold for every frame. The views it returns are valid until the next
/// call of the same function.
class details {
public:
    virtual location where(std::uint64_t site_key) = 0;
    virtual std::span<const local> locals(const frame& f) = 0;
    virtual leaf awaited(const frame& f) = 0;
    /// For a frame whose `side` is not no_index.
    virtual side given(const frame& f) = 0;
    /// What is bound in the innermost frame of a chain, given outermost first: further labels, which
    /// count less than those of `given`. Of several with one name the last counts.
    virtual std::span<const label> bound(std::span<const frame* const> chain) {
        static_cast<void>(chain);
        return {};
    }

protected:
    ~details() = default;
};

struct trigger {
    std::string_view kind;    ///< "signal", "api", "stall" or "failure"
    std::string_view reason;  ///< of a failure: "terminate" or "signal"
    int signal = 0;
    int sender_pid = -1;  ///< -1: unknown
    int sender_uid = -1;
    std::uint64_t merged = 0;
};

struct process {
    int pid = 0;
    std::string_view comm, exe, build_id, hostname, cgroup;  ///< empty: unknown
    std::int64_t uid = -1;
    std::int64_t start_time_unix_ns = -1;
    double uptime_seconds = -1;
    std::int64_t threads = -1, rss_bytes = -1, open_fds = -1, fd_limit = -1;
    std::string_view agent_version;
};

struct module {
    std::string_view path;
    std::string_view build_id;  ///< hex, empty: unknown
    std::uint64_t start = 0, end = 0;
};

/// Where a thread's stack came from.
enum class stack_source : std::uint8_t {
    none,       ///< no stack; `thread::reason` says why
    no_signal,  ///< read while the kernel said that the thread did not run
    signal,     ///< copied by the thread itself, in a signal handler
};
/// How far it can be trusted: the worst that holds.
enum class stack_quality : std::uint8_t {
    exact,
    live,      ///< some frames from memory that may have changed meanwhile
    inferred,  ///< some frames follow from a frame pointer that was worked out, not known
    partial,   ///< cut short, or none; `thread::reason` says why
};

[[nodiscard]] constexpr std::string_view name_of(stack_source source) noexcept {
    constexpr std::string_view names[] = {"none", "no_signal", "signal"};
    return names[static_cast<unsigned>(source)];
}
[[nodiscard]] constexpr std::string_view name_of(stack_quality quality) noexcept {
    constexpr std::string_view names[] = {"exact", "live", "inferred", "partial"};
    return names[static_cast<unsigned>(quality)];
}

/// One function call on a thread's stack.
struct native_frame {
    std::uint64_t address = 0;        ///< where it goes on; of the innermost: where it is
    std::uint64_t offset = 0;         ///< in the module's file: of the call, not of what follows it
    std::string_view function;        ///< empty: unknown
    std::uint32_t module = no_index;  ///< into snapshot::modules
    bool live = false;
    bool inferred = false;
};

/// A coroutine that a thread is inside of.
struct resumed {
    std::uint32_t frame = no_index;
    /// Native frames, innermost first, down to the coroutine's own function; 0: it was not found.
    std::uint32_t native_frames = 0;
};

struct thread {
    std::int32_t tid = 0;
    char state = '?';               ///< as in proc(5)
    std::string_view name;          ///< empty: unknown
    std::int64_t syscall = -1;      ///< -1: in none, or unknown
    std::string_view syscall_name;  ///< empty: not in the table
    std::string_view wait_channel;  ///< empty: unknown
    stack_source source = stack_source::none;
    stack_quality quality = stack_quality::partial;
    std::string_view reason;            ///< empty unless partial
    std::span<const resumed> resuming;  ///< innermost first
    std::span<const native_frame> frames;
};

struct counts {
    std::uint64_t tasks = 0, frames = 0, dropped = 0, torn = 0, unreadable = 0, untracked = 0,
                  cut = 0;
};

struct site_count {
    std::uint64_t site = 0;      ///< key for details::where
    std::string_view awaitable;  ///< empty: unknown
    std::uint64_t count = 0;
};

struct object_count {
    std::string_view kind, name;  ///< empty: unknown
    std::uint64_t object = 0;
    std::uint64_t count = 0;
    bool described = false;                  ///< `holders` is known
    std::span<const std::uint32_t> holders;  ///< root frames; no_index: not a live task
};

struct summary {
    std::uint64_t by_state[4] = {};
    std::uint64_t by_activity[4] = {};
    std::span<const site_count> by_await_site;
    std::span<const object_count> by_object;
    std::uint64_t other_await_sites = 0, other_objects = 0, other_groups_tasks = 0;
};

struct group {
    std::uint64_t count = 0;
    std::uint32_t oldest =
        no_index;  ///< root frame whose leaf is suspended longest; its chain is shown
    std::uint32_t newest = no_index;
};

struct verdict {
    std::string_view kind, severity, statement;
    std::span<const std::uint32_t> tasks;  ///< root frames, at most 64
    std::uint64_t task_count = 0;
    std::span<const std::string_view> evidence;
};

/// Chains longer than this are cut in the middle, and the rest counted.
inline constexpr unsigned max_chain_frames = 256;

/// What a dump may hold at most; what is left out for it is counted in the dump.
struct limits {
    std::uint64_t tasks = ~std::uint64_t{0};  ///< written; the first of `roots`
    std::uint64_t bytes = ~std::uint64_t{0};  ///< of the file, to within one task
    unsigned depth = max_chain_frames;        ///< frames of a chain, from 4 to max_chain_frames
    std::int64_t deadline_ns = 0;             ///< CLOCK_MONOTONIC; 0: none
    std::int64_t reading_deadline_ns = 0;     ///< of the frames' memory; likewise
};

struct loops;
struct creation;  // creation.hpp
struct failure_section;
struct tracked_resources;  // resources.hpp
struct profile;            // profile.hpp

struct snapshot {
    std::string_view id;
    model::limits limits;
    model::trigger trigger;
    std::int64_t time_unix_ns = 0;
    std::uint64_t duration_us = 0;
    std::uint32_t now_tick = 0;
    double seconds_per_tick = 0.008;
    std::span<const std::string_view> warnings;
    model::counts counts;
    model::process process;
    model::summary summary;
    std::span<const frame> frames;
    std::span<const std::uint32_t> roots;  ///< the tasks, in the order to write
    std::span<const group> groups;
    std::span<const verdict> verdicts;
    std::span<const thread> threads;
    std::uint64_t threads_left_out = 0;
    const model::loops* loops = nullptr;           ///< null: there are none, and there was no stall
    const model::creation* creation = nullptr;     ///< null: creations are not traced
    const tracked_resources* resources = nullptr;  ///< null: nothing is tracked
    const model::profile* profile = nullptr;       ///< null: nothing was ever profiled
    const failure_section* failures = nullptr;     ///< model/failures.hpp; nullptr: not noted
    std::span<const module> modules;
    model::details* details = nullptr;

    [[nodiscard]] bool complete() const noexcept { return warnings.empty(); }
};

/// A chain may end in a helper that the frame above it keeps to be resumed through (on an executor,
/// on a strand), and that has not been started, or has ended and handed the resumption on. What the
/// task waits for is in the frame above.
[[nodiscard]] constexpr bool is_idle_helper(const frame& last, const frame& above) noexcept {
    const bool ended = last.activity == activity::suspended && last.state != task_state::pending;
    return (ended || last.activity == activity::not_started) && !last.root &&
           above.activity == activity::suspended && above.state == task_state::pending;
}

/// The frame that waits in the chain that starts at `root`: its last, or the one above an idle
/// helper. Follows only children, each frame at most once.
[[nodiscard]] inline std::uint32_t leaf_of(const snapshot& all, std::uint32_t root) noexcept {
    std::uint32_t at = root;
    for (std::size_t depth = 1; depth < all.frames.size(); ++depth) {
        const std::uint32_t child = all.frames[at].first_child;
        if (child == no_index || all.frames[child].root) break;
        if (is_idle_helper(all.frames[child], all.frames[at])) break;
        at = child;
    }
    return at;
}

}  // namespace corodump::model
