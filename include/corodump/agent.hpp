// Starts the agent: `corodump::agent agent;` as the first line of main.
//
// Early matters: the agent blocks its signal in the installing thread, and every thread made later
// inherits that, so that no thread of the host's ever sees EINTR from a plain `kill -USR1`.
//
// Threads: any, one agent a process; a second install is refused and changes nothing.
// Signals: unsafe. Blocks: install up to a few ms (two threads are made); dump_now as it says.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>

#include "detail/abi.hpp"

#define CORODUMP_NO_STACK_SIGNAL 0xffU
#define CORODUMP_DUMP_ON_STALL 0x100U
#define CORODUMP_COUNT_CALLBACKS 0x200U
#define CORODUMP_SIGNAL_BLOCKED 0x400U
#define CORODUMP_NO_STALLS 0xffffffffU
#define CORODUMP_RESOURCE_STACKS 0x1U
#define CORODUMP_DESCRIPTORS 0x2U

extern "C" {
/// Plain C, so that a service built with another compiler or standard library can use the agent.
struct corodump_options_v1 {
    std::uint32_t size_bytes;  ///< of this struct: later versions append members
    std::int32_t signal;       ///< 0: SIGUSR1
    const char* directory;     ///< nullptr: /tmp
    std::uint64_t max_tasks;   ///< 0: 1,000,000
    std::uint32_t max_files;   ///< 0: 16
    std::uint32_t flags;       ///< low byte: options::stack_signal, CORODUMP_NO_STACK_SIGNAL: none;
                               ///< and CORODUMP_DUMP_ON_STALL, _COUNT_CALLBACKS, _SIGNAL_BLOCKED
    const char* redact;        ///< nullptr: the default patterns; "none": nothing is redacted
    std::uint64_t max_frames;  ///< 0: 2,000,000
    std::uint64_t max_bytes;   ///< 0: 1 GiB
    std::uint32_t max_depth;   ///< 0: 256
    std::uint32_t max_text_bytes;           ///< 0: 1,024
    std::uint32_t deadline_ms;              ///< 0: 5,000
    std::uint32_t interval_ms;              ///< 0: 200
    std::uint32_t stall_threshold_ms;       ///< 0: 50; CORODUMP_NO_STALLS
    std::uint32_t stall_dump_interval_ms;   ///< 0: 60,000
    std::uint32_t creators;                 ///< not 0: note who creates each coroutine
    std::uint32_t creation_stacks;          ///< 0: off; 1: sampled; 2: all
    std::uint32_t creation_budget_percent;  ///< 0: 1
    std::uint32_t creation_depth;           ///< 0: 20
    /// Two bits each, 0: the default, 1: off, 2: on: failures, dump_on_terminate, dump_on_fatal,
    /// throw_stacks. Then two for finished: 1 off, 2 entries, 3 all.
    std::uint32_t failure_flags;
    std::uint32_t failure_wait_ms;      ///< 0: 2,000
    std::uint64_t resource_max_age_ms;  ///< 0: none, as of the next two
    std::uint64_t task_max_age_ms;
    std::uint64_t descriptor_max_age_ms;
    std::uint64_t resource_flags;  ///< CORODUMP_RESOURCE_STACKS, CORODUMP_DESCRIPTORS
    std::uint64_t profile;         ///< 0: none; 1: counts; 2: wall; 3: cpu
};
/// 0 or an errno: EALREADY (an agent runs), EAGAIN (no thread could be made), ECANCELED (off by
/// CORODUMP_OFF or in a set-user-id program), EINVAL.
CORODUMP_API int corodump_install_v1(const corodump_options_v1* options) noexcept;
/// `leaving`: the process is about to end. Where the signal's action was SIG_DFL, which kills, the
/// agent's handler then stays and does nothing.
CORODUMP_API void corodump_uninstall_v1(int leaving) noexcept;
/// Writes the path, terminated, to `path`. 0 or an errno; ETIMEDOUT leaves the dump under way.
CORODUMP_API int corodump_dump_v1(char* path, std::size_t path_bytes,
                                  std::uint32_t timeout_ms) noexcept;
}

namespace corodump {
inline namespace abi_v1 {

/// Whether the stack is noted that a coroutine is created on.
enum class creation_stacks : std::uint32_t {
    off,
    sampled,  ///< of some, as many as cost options::creation_budget_percent
    all
};
/// On, off, or what the agent does by default.
enum class choice : std::uint8_t { by_default, off, on };
/// Of which tasks the ends are noted.
enum class finished_tasks : std::uint8_t { by_default, off, entries, all };

/// Whether the profiler (profile.hpp) starts with the agent.
enum class start_profile : std::uint8_t {
    no,
    counts,  ///< without times
    wall,
    cpu  ///< and the threads' processor time
};

/// The environment has a variable for each, which wins: the README has the table.
struct options {
    std::string directory;  ///< empty: /tmp
    int signal = 0;         ///< 0: SIGUSR1
    /// By which threads that run are asked for their stacks; 0: SIGRTMAX-2, negative: never.
    int stack_signal = 0;
    /// Ask by it also threads that are blocked, where nothing else shows their whole stack, in
    /// calls that then end early, with EINTR: poll, epoll_wait, nanosleep and others of signal(7).
    bool signal_blocked = false;
    /// Bounds of one dump; what lies beyond is left out and counted in it. 0: the default.
    std::uint64_t max_tasks = 0;            ///< those suspended longest come first; 1,000,000
    std::uint64_t max_frames = 0;           ///< looked at; 2,000,000
    std::uint64_t max_bytes = 0;            ///< of the file, to within one task; 1 GiB
    std::uint32_t max_depth = 0;            ///< frames of one chain, from 4 to 256; 256
    std::uint32_t max_text_bytes = 0;       ///< of one local, from 8 to 1,024; 1,024
    std::chrono::milliseconds deadline{0};  ///< from the request on; 5 s
    /// From the end of one dump for a signal to the start of the next: signals that come meanwhile
    /// are answered by one dump. 200 ms.
    std::chrono::milliseconds interval{0};
    /// A callback of a loop, or a run of a coroutine from resume to suspend, that lasts longer is a
    /// stall: logged with the thread's stack while it lasts, and kept for dumps. 0: off.
    std::chrono::milliseconds stall_threshold{50};
    bool dump_on_stall = false;                        ///< write a dump besides
    std::chrono::milliseconds stall_dump_interval{0};  ///< at most one in this time; 1 minute
    /// Show runs of coroutines in `loops`: how many, how long. Resumes take a slower path then.
    bool count_callbacks = false;
    std::uint32_t max_files = 0;  ///< dumps of this service kept in the directory; 0: 16
    /// Comma-separated patterns of names whose values are not shown; empty: the default; "none".
    std::string redact;
    /// Whether it is noted which task creates each coroutine; so it is with creation stacks, too.
    bool creators = false;
    /// Taken by frame pointers, so they end in code that was compiled without them.
    corodump::creation_stacks creation_stacks = creation_stacks::off;
    /// Of each thread's time, for sampled stacks; from 1 to 100; 0: 1.
    std::uint32_t creation_budget_percent = 0;
    std::uint32_t creation_depth = 0;      ///< frames of such a stack, from 1 to 32; 0: 20
    choice failures = choice::by_default;  ///< note exceptions that leave coroutines; on
    finished_tasks finished = finished_tasks::by_default;  ///< entries: tasks that co_spawn began
    choice throw_stacks = choice::by_default;              ///< where corodump::throws is linked; on
    choice dump_on_terminate = choice::by_default;         ///< std::terminate writes a dump; on
    choice dump_on_fatal = choice::by_default;             ///< so do SIGSEGV and its like; off
    corodump::start_profile profile = corodump::start_profile::no;
    std::chrono::milliseconds failure_wait{0};  ///< for that dump, before the process dies; 2 s
    /// A resource of resources.hpp that is open for longer is a leak: shown one by one in dumps, and
    /// as a verdict. For trackers that have no limit of their own; 0: no limit.
    std::chrono::milliseconds resource_max_age{0};
    bool resource_stacks = false;  ///< note the stack that each is opened on, as creation_stacks
    std::chrono::milliseconds task_max_age{0};  ///< likewise of tasks; 0: no limit
    /// Watch the process's file descriptors: how many, and since when each has been seen.
    bool descriptors = false;
    std::chrono::milliseconds descriptor_max_age{0};  ///< of those opened since; 0: no limit
};

/// Errors: as corodump_install_v1, in std::generic_category. Nothing is changed then, and the
/// service runs on without an agent.
[[nodiscard]] inline std::error_code install(const options& chosen = {}) noexcept {
    corodump_options_v1 plain{};
    plain.size_bytes = sizeof plain;
    plain.signal = chosen.signal;
    plain.directory = chosen.directory.empty() ? nullptr : chosen.directory.c_str();
    plain.max_tasks = chosen.max_tasks;
    plain.max_files = chosen.max_files;
    plain.flags = chosen.stack_signal < 0 ? CORODUMP_NO_STACK_SIGNAL
                                          : static_cast<std::uint32_t>(chosen.stack_signal) & 0xffU;
    if (chosen.signal_blocked) plain.flags |= CORODUMP_SIGNAL_BLOCKED;
    plain.redact = chosen.redact.empty() ? nullptr : chosen.redact.c_str();
    plain.max_frames = chosen.max_frames;
    plain.max_bytes = chosen.max_bytes;
    plain.max_depth = chosen.max_depth;
    plain.max_text_bytes = chosen.max_text_bytes;
    plain.deadline_ms = static_cast<std::uint32_t>(chosen.deadline.count());
    plain.interval_ms = static_cast<std::uint32_t>(chosen.interval.count());
    plain.stall_threshold_ms = chosen.stall_threshold.count() <= 0
                                   ? CORODUMP_NO_STALLS
                                   : static_cast<std::uint32_t>(chosen.stall_threshold.count());
    plain.stall_dump_interval_ms = static_cast<std::uint32_t>(chosen.stall_dump_interval.count());
    if (chosen.dump_on_stall) plain.flags |= CORODUMP_DUMP_ON_STALL;
    if (chosen.count_callbacks) plain.flags |= CORODUMP_COUNT_CALLBACKS;
    plain.creators = chosen.creators ? 1 : 0;
    plain.creation_stacks = static_cast<std::uint32_t>(chosen.creation_stacks);
    plain.creation_budget_percent = chosen.creation_budget_percent;
    plain.creation_depth = chosen.creation_depth;
    plain.failure_flags = static_cast<std::uint32_t>(chosen.failures) |
                          static_cast<std::uint32_t>(chosen.dump_on_terminate) << 2U |
                          static_cast<std::uint32_t>(chosen.dump_on_fatal) << 4U |
                          static_cast<std::uint32_t>(chosen.throw_stacks) << 6U |
                          static_cast<std::uint32_t>(chosen.finished) << 8U;
    plain.failure_wait_ms = static_cast<std::uint32_t>(chosen.failure_wait.count());
    plain.resource_max_age_ms = static_cast<std::uint64_t>(chosen.resource_max_age.count());
    plain.task_max_age_ms = static_cast<std::uint64_t>(chosen.task_max_age.count());
    plain.descriptor_max_age_ms = static_cast<std::uint64_t>(chosen.descriptor_max_age.count());
    if (chosen.resource_stacks) plain.resource_flags |= CORODUMP_RESOURCE_STACKS;
    if (chosen.descriptors) plain.resource_flags |= CORODUMP_DESCRIPTORS;
    plain.profile = static_cast<std::uint32_t>(chosen.profile);
    return {corodump_install_v1(&plain), std::generic_category()};
}
/// Ends the agent's threads and gives the signal back. Frames stay tracked.
inline void uninstall() noexcept {
    corodump_uninstall_v1(0);
}

/// A dump's path, or why there is none.
struct dump_result {
    std::error_code error;
    std::string path;
    explicit operator bool() const noexcept { return !error; }
};

/// Writes a dump now and returns its path. Not from a signal handler.
/// Blocks: until the file is whole, at most `timeout`. Errors: ESRCH (no agent), ETIMEDOUT, and
/// what the file system says (ENOSPC, EACCES, ...).
[[nodiscard]] inline dump_result dump_now(
    std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
    char path[4096];
    const int error =
        corodump_dump_v1(path, sizeof path, static_cast<std::uint32_t>(timeout.count()));
    if (error != 0) return {{error, std::generic_category()}, {}};
    return {{}, path};
}

/// Keeps the agent installed while it lives. A refusal is logged by the agent, never thrown.
class agent {
public:
    explicit agent(const options& chosen = {}) noexcept : error_(install(chosen)) {}
    agent(const agent&) = delete;
    agent& operator=(const agent&) = delete;
    ~agent() {
        if (!error_) corodump_uninstall_v1(1);
    }
    [[nodiscard]] std::error_code error() const noexcept { return error_; }

private:
    std::error_code error_;
};

}  // namespace abi_v1
}  // namespace corodump
