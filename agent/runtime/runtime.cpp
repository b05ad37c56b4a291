// The only wiring: implements agent.hpp. One agent a process, in static storage that is never
// destroyed, since its threads may run until the process is gone.
#include <sys/auxv.h>
#include <time.h>

#include <cerrno>
#include <corodump/agent.hpp>
#include <cstring>
#include <mutex>
#include <new>
#include <system_error>

#include "agent/base/clock.hpp"
#include "agent/base/config.hpp"
#include "agent/base/log.hpp"
#include "agent/base/result.hpp"
#include "agent/base/text.hpp"
#include "agent/runtime/beacon.hpp"
#include "agent/runtime/dumper.hpp"
#include "agent/runtime/failure_log.hpp"
#include "agent/runtime/stall_monitor.hpp"
#include "agent/sources/births.hpp"
#include "agent/sources/descriptor_watch.hpp"
#include "agent/sources/failures.hpp"
#include "agent/sources/finished.hpp"
#include "agent/sources/listeners.hpp"
#include "agent/sources/loops.hpp"
#include "agent/sources/pool.hpp"
#include "agent/sources/profile.hpp"
#include "agent/sources/resources.hpp"
#include "agent/sources/stack_signal.hpp"
#include "agent/sources/throw_stacks.hpp"
#include "agent/triggers/failure_trigger.hpp"
#include "agent/triggers/process_hooks.hpp"
#include "agent/triggers/signal_trigger.hpp"
#include "agent/triggers/watchdog.hpp"

namespace corodump::runtime {
namespace {

constexpr std::int64_t tick_ns = 8'000'000;
constexpr std::size_t max_directory_bytes = 400;  // the beacon and the outcome hold whole paths

struct agent_parts {
    base::config config;
    dumper dumps;
    stall_monitor stalls;
    sources::descriptor_watch descriptors;
    std::uint32_t last_tick = 0;
    std::uint64_t runs_loop = 0;  ///< 0: runs of coroutines are not counted
    beacon_page beacon;
    std::int64_t clock_began_ns = 0;
    bool profiles = false;  ///< started with the agent: it ends with it
    bool hooked = false;
    bool prepared = false;
};

constinit triggers::watchdog watch;
std::mutex install_mutex;
bool installed = false;
alignas(agent_parts) unsigned char parts_memory[sizeof(agent_parts)];
bool parts_made = false;

agent_parts& parts() noexcept {
    return *std::launder(reinterpret_cast<agent_parts*>(parts_memory));
}

/// From the clock, not by counting: a watchdog that was late catches up.
void advance_tick(void*) noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    const std::int64_t ns = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
    const auto tick = static_cast<std::uint32_t>((ns - parts().clock_began_ns) / tick_ns) + 1U;
    constexpr std::uint32_t late_ticks = 3;
    if (tick - parts().last_tick >= late_ticks) sources::note_clock_jump(parts().last_tick, tick);
    parts().last_tick = tick;
    // 0 means "no clock yet": skipped when the count wraps, after 397 days.
    corodump_clock_v1.store(std::uint64_t{tick == 0 ? 1 : tick} << 32U | 1U,
                            std::memory_order_relaxed);
}

/// In a child of a fork nothing is told of on the way: what it logs with is its parent's.
void tick(void*) noexcept {
    advance_tick(nullptr);
    if (triggers::is_orphaned()) return;
    log_lost_failures(parts().config.redact);
    if (sources::runs_are_heard()) sources::mark_threads();
    parts().descriptors.look(base::monotonic_ns());
    if (parts().stalls.tick(parts().dumps)) watch.wish(triggers::request_kind::stall);
}

/// A directory that fills up although a limit was set is something to know.
void append_retention(base::text& line, const base::retention_result& result) noexcept {
    if (result.error != 0)
        line.append("; old dumps were not looked at: ").append(base::error_text(result.error));
    else if (!result.complete)
        line.append("; ").decimal(result.kept).append(" dumps are kept: not all could be removed");
}

void log_outcome(const triggers::dump_outcome& outcome, std::int64_t microseconds) noexcept {
    char buffer[1024];
    base::text line(buffer);
    if (outcome.error == 0) {
        const std::uint64_t tasks = parts().dumps.last_task_count();
        line.append("dumped ")
            .decimal(tasks)
            .append(tasks == 1 ? " task to " : " tasks to ")
            .append(outcome.path);
        line.append(" in ");
        line.fixed(static_cast<double>(microseconds) / 1000.0, 1).append(" ms");
        append_retention(line, parts().dumps.last_retention());
        return base::log(base::log_level::info, line.view());
    }
    line.append("no dump: ").append(outcome.text).append(" in ");
    line.append(parts().config.directory).append(": ");
    line.append(base::error_text(outcome.error));
    base::log(base::log_level::error, line.view());
}

std::int64_t monotonic_us() noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

void dump(void*, const triggers::dump_request& request, triggers::dump_outcome& outcome) noexcept {
    advance_tick(nullptr);
    parts().stalls.update();
    parts().dumps.dump(request, outcome);
    parts().beacon.show_outcome(outcome.error, outcome.path, outcome.text, request.requests);
    if (!request.restricted) log_outcome(outcome, monotonic_us() - request.requested_ns / 1000);
}

void after_fork_in_child(void*) noexcept {
    parts().beacon.disown();
    parts().dumps.forget();
    parts().stalls.forget();
    sources::forget_stack_signals();
    triggers::forget_failures();
}

/// A forked child that makes coroutines is a service again, and gets its threads back.
void revive() noexcept {
    if (!triggers::is_orphaned()) return;
    if (triggers::revive_after_fork() == 0)
        parts().beacon.show_threads(triggers::signal_thread_tid(), watch.tid());
}

void log_problem(std::string_view problem) noexcept {
    base::log(base::log_level::warning, problem);
}

/// 0 leaves the default.
void take_number(std::uint64_t given, base::number_range range, const char* name,
                 std::uint64_t& into) {
    if (range.holds(given)) into = given;
    if (given == 0 || range.holds(given)) return;
    log_problem(std::string("options::") + name + " must be from " + std::to_string(range.least) +
                " to " + std::to_string(range.most) + ": the default is used");
}

int refused(int error, std::string_view why) noexcept {
    log_problem(why);
    return error;
}

void take_failure_options(const corodump_options_v1& options, base::config& defaults) {
    const auto choose = [&](unsigned shift, bool& into) {
        const unsigned choice = options.failure_flags >> shift & 3U;
        if (choice != 0) into = choice == 2;
    };
    choose(0, defaults.failures);
    choose(2, defaults.dump_on_terminate);
    choose(4, defaults.dump_on_fatal);
    choose(6, defaults.throw_stacks);
    const base::finished_tasks ends[] = {defaults.finished, base::finished_tasks::off,
                                         base::finished_tasks::entries, base::finished_tasks::all};
    defaults.finished = ends[options.failure_flags >> 8U & 3U];
    take_number(options.failure_wait_ms, base::failure_wait_range, "failure_wait",
                defaults.failure_wait_ms);
}

void take_resource_options(const corodump_options_v1& options, base::config& defaults) {
    take_number(options.resource_max_age_ms, base::max_age_range, "resource_max_age",
                defaults.resource_max_age_ms);
    take_number(options.task_max_age_ms, base::max_age_range, "task_max_age",
                defaults.task_max_age_ms);
    take_number(options.descriptor_max_age_ms, base::max_age_range, "descriptor_max_age",
                defaults.descriptor_max_age_ms);
    defaults.resource_stacks = (options.resource_flags & CORODUMP_RESOURCE_STACKS) != 0;
    defaults.descriptors = (options.resource_flags & CORODUMP_DESCRIPTORS) != 0;
}

base::config defaults_from(const corodump_options_v1& options) {
    base::config defaults;
    if (options.directory != nullptr) {
        const std::string_view given = options.directory;
        if (given.starts_with('/') && given.size() <= max_directory_bytes)
            defaults.directory = given;
        else
            log_problem(
                "options::directory is not an absolute path of at most 400 bytes: /tmp is used");
    }
    if (options.signal != 0) {
        if (base::is_usable_signal(options.signal))
            defaults.signal = options.signal;
        else
            log_problem("options::signal cannot serve: SIGUSR1 is used");
    }
    const unsigned stack_signal = options.flags & 0xffU;
    if (stack_signal == CORODUMP_NO_STACK_SIGNAL)
        defaults.stack_signal = 0;
    else if (base::is_usable_signal(static_cast<int>(stack_signal)))
        defaults.stack_signal = static_cast<int>(stack_signal);
    else if (stack_signal != 0)
        log_problem("options::stack_signal cannot serve: SIGRTMAX-2 is used");
    defaults.signal_blocked = (options.flags & CORODUMP_SIGNAL_BLOCKED) != 0;
    take_number(options.max_tasks, base::tasks_range, "max_tasks", defaults.max_tasks);
    take_number(options.max_files, base::files_range, "max_files", defaults.max_files);
    take_number(options.max_frames, base::frames_range, "max_frames", defaults.max_frames);
    take_number(options.max_bytes, base::bytes_range, "max_bytes", defaults.max_bytes);
    take_number(options.max_depth, base::depth_range, "max_depth", defaults.max_depth);
    take_number(options.max_text_bytes, base::text_range, "max_text_bytes",
                defaults.max_text_bytes);
    take_number(options.deadline_ms, base::deadline_range, "deadline", defaults.deadline_ms);
    take_number(options.interval_ms, base::interval_range, "interval", defaults.interval_ms);
    take_number(options.stall_dump_interval_ms, base::stall_interval_range, "stall_dump_interval",
                defaults.stall_dump_interval_ms);
    if (options.stall_threshold_ms == CORODUMP_NO_STALLS)
        defaults.stall_threshold_ms = 0;
    else
        take_number(options.stall_threshold_ms, base::stall_range, "stall_threshold",
                    defaults.stall_threshold_ms);
    defaults.dump_on_stall = (options.flags & CORODUMP_DUMP_ON_STALL) != 0;
    defaults.count_callbacks = (options.flags & CORODUMP_COUNT_CALLBACKS) != 0;
    take_number(options.creation_budget_percent, base::percent_range, "creation_budget_percent",
                defaults.creation_budget_percent);
    take_number(options.creation_depth, base::creation_depth_range, "creation_depth",
                defaults.creation_depth);
    defaults.creators = options.creators != 0;
    if (options.creation_stacks <= static_cast<std::uint32_t>(base::stack_tracing::all))
        defaults.creation_stacks = static_cast<base::stack_tracing>(options.creation_stacks);
    else
        log_problem("options::creation_stacks is not known to this agent: off");
    take_failure_options(options, defaults);
    take_resource_options(options, defaults);
    if (options.profile <= static_cast<std::uint32_t>(base::profiling::cpu))
        defaults.profile = static_cast<base::profiling>(options.profile);
    else
        log_problem("options::profile is not known to this agent: none is started");
    if (options.redact != nullptr) defaults.redact = base::redaction::parse(options.redact);
    return defaults;
}

void install_stack_signal() noexcept {
    const int signal = parts().config.stack_signal;
    if (signal == 0) return;
    const int error =
        signal == parts().config.signal ? EBUSY : sources::install_stack_signal(signal);
    if (error == EBUSY)
        log_problem("the host handles the signal for stacks: running threads show none");
    else if (error != 0)
        log_problem("the signal for stacks cannot be caught: running threads show none");
}

/// One loop for the runs of all tracked coroutines, by the threads they run on.
void count_runs(bool wanted) noexcept {
    constexpr std::string_view name = "coroutines";
    std::uint64_t& loop = parts().runs_loop;
    if (wanted && loop == 0)
        loop = corodump_loop_open_v1(name.data(), name.size(), name.data(), name.size(), 0, 0);
    if (loop != 0) sources::count_runs(wanted ? loop : 0);
}

void trace_creations() noexcept {
    static_assert(static_cast<int>(base::stack_tracing::sampled) ==
                      static_cast<int>(sources::stack_mode::sampled) &&
                  static_cast<int>(base::stack_tracing::all) ==
                      static_cast<int>(sources::stack_mode::all));
    const base::config& config = parts().config;
    const int error = sources::configure_births(
        {.creators = config.creators,
         .stacks = static_cast<sources::stack_mode>(config.creation_stacks),
         .budget_percent = static_cast<std::uint32_t>(config.creation_budget_percent),
         .depth = static_cast<std::uint32_t>(config.creation_depth)});
    if (error != 0) log_problem("no memory for creation stacks: none are taken");
}

/// Before the threads are made: the first look at the descriptors is this thread's.
void track_resources() noexcept {
    const base::config& config = parts().config;
    sources::set_resource_max_age(config.resource_max_age_ms * 1'000'000);
    if (sources::note_resource_stacks(config.resource_stacks) != 0)
        log_problem("no memory for the stacks that resources are opened on: none are taken");
    parts().descriptors.end();
    if (config.descriptors && parts().descriptors.begin(base::monotonic_ns()) != 0)
        log_problem("no memory to watch descriptors: they are not watched");
    parts().dumps.show_descriptors(parts().descriptors);
}

/// What the service started before its agent goes on.
void begin_profile() noexcept {
    sources::prepare_profile();
    using sources::profile_clock;
    const profile_clock clocks[] = {profile_clock::off, profile_clock::off, profile_clock::wall,
                                    profile_clock::cpu};
    const base::profiling wanted = parts().config.profile;
    if (wanted == base::profiling::none) return;
    parts().profiles = sources::start_profile(clocks[static_cast<unsigned>(wanted)]) == 0;
}

/// On a thread of the host's that makes coroutines.
void on_slow_path() noexcept {
    revive();
    triggers::ensure_alternate_stack();
}

void note_failures() noexcept {
    const base::config& config = parts().config;
    sources::note_failures(config.failures);
    sources::note_throws(config.failures && config.throw_stacks);
    sources::note_ends(config.finished == base::finished_tasks::all ? sources::ends_noted::all
                       : config.finished == base::finished_tasks::entries
                           ? sources::ends_noted::entries
                           : sources::ends_noted::none);
    triggers::failure_options options;
    options.watch = &watch;
    options.on_terminate = config.dump_on_terminate;
    options.on_fatal_signals = config.dump_on_fatal;
    options.wait = std::chrono::milliseconds(config.failure_wait_ms);
    if (triggers::install_failure_trigger(options) != 0)
        log_problem("not all fatal signals can be caught: some will not dump");
}

int start_threads() noexcept {
    triggers::watchdog_options options;
    options.tick = tick;
    options.dump = dump;
    options.tick_interval = std::chrono::nanoseconds(tick_ns);
    options.signal_interval = std::chrono::milliseconds(parts().config.interval_ms);
    const int watchdog_error = watch.start(options);
    if (watchdog_error != 0) log_problem("no thread could be made: SIGUSR1 will not dump");
    if (!parts().hooked &&
        triggers::install_process_hooks({&watch, nullptr, after_fork_in_child}) == 0)
        parts().hooked = true;
    triggers::signal_options signal;
    signal.signal = parts().config.signal;
    if (parts().beacon.page() != nullptr) signal.requests_mirror = &parts().beacon.page()->requests;
    const int signal_error = triggers::install_signal(signal);
    if (signal_error == EAGAIN && watchdog_error == 0)
        log_problem("no signal thread could be made: the watchdog takes the signal at its tick");
    else if (signal_error != 0 && signal_error != EAGAIN)
        log_problem("the signal cannot be caught: only dump_now will dump");
    parts().beacon.show_threads(triggers::signal_thread_tid(), watch.tid());
    return watchdog_error;
}

int refused_for_another() noexcept {
    return refused(EALREADY,
                   "another copy of the agent's library runs in this process: this copy stays "
                   "inactive");
}

/// Shows the beacon; false where another copy of the library shows its own, and keeps it.
bool raise_beacon() noexcept {
    if (parts().beacon.page() != nullptr) return true;
    if (parts().beacon.raise(parts().config.signal, parts().config.directory) != 0)
        log_problem("no beacon page could be mapped: corodump trigger will not find this agent");
    if (parts().beacon.settle()) return true;
    parts().beacon.lower();
    return false;
}

int prepare_dumps() noexcept {
    if (parts().prepared) return 0;
    const int error = parts().dumps.prepare(parts().config);
    if (error != 0) {
        parts().beacon.lower();
        return refused(error, "no memory for dumps: no agent");
    }
    if (parts().stalls.prepare(parts().dumps) != 0)
        log_problem("no memory for stalls: they are not looked for");
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    parts().clock_began_ns = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
    parts().prepared = true;
    return 0;
}

int install_parts(const corodump_options_v1& options) {
    base::prepare_log();
    if (beacon_page::another_is_raised(parts_made ? parts().beacon.page() : nullptr))
        return refused_for_another();
    const base::config defaults = defaults_from(options);
    base::parsed_config parsed = base::config_from_environment(defaults);
    if (parsed.values.off) return ECANCELED;
    for (const std::string& problem : parsed.problems) log_problem(problem);
    if (!parts_made) new (parts_memory) agent_parts{};
    parts_made = true;
    parts().config = std::move(parsed.values);
    if (!raise_beacon()) return refused_for_another();
    if (const int error = prepare_dumps(); error != 0) return error;
    advance_tick(nullptr);
    install_stack_signal();
    parts().stalls.begin(parts().config);
    count_runs(parts().config.count_callbacks);
    track_resources();
    const int error = start_threads();
    if (error == 0) trace_creations();
    if (error == 0) begin_profile();
    sources::set_slow_path_hook(on_slow_path);
    if (error == 0) note_failures();
    return error;
}

}  // namespace
}  // namespace corodump::runtime

using namespace corodump::runtime;  // NOLINT(google-build-using-namespace): the C entry points
                                    // below

extern "C" {

int corodump_install_v1(const corodump_options_v1* options) noexcept {
    const std::lock_guard lock(install_mutex);
    // A set-user-id program: who runs it must not choose where files appear.
    if (getauxval(AT_SECURE) != 0)
        return refused(ECANCELED, "the program runs with another's rights (AT_SECURE): no agent");
    if (installed) return refused(EALREADY, "an agent runs already: a second one was refused");
    // A service that was built with earlier headers gives fewer members, one with later ones more.
    constexpr std::size_t least_bytes = offsetof(corodump_options_v1, max_frames);
    if (options == nullptr || options->size_bytes < least_bytes)
        return refused(EINVAL, "the options are not of a version that this agent knows: no agent");
    corodump_options_v1 known{};
    std::memcpy(&known, options, std::min<std::size_t>(options->size_bytes, sizeof known));
    try {
        const int error = install_parts(known);
        installed = error == 0;
        return error;
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    } catch (...) {
        return EINVAL;
    }
}

void corodump_uninstall_v1(int leaving) noexcept {
    const std::lock_guard lock(install_mutex);
    if (!installed) return;
    installed = false;
    using corodump::triggers::afterwards;
    const int error = corodump::triggers::uninstall_signal(leaving != 0 ? afterwards::harmless
                                                                        : afterwards::restore);
    if (error == EBUSY) log_problem("the signal's handler is not the agent's any more: left alone");
    corodump::triggers::uninstall_failure_trigger();
    corodump::sources::note_failures(false);
    corodump::sources::note_throws(false);
    corodump::sources::note_ends(corodump::sources::ends_noted::none);
    static_cast<void>(watch.stop(std::chrono::seconds(10)));
    corodump::sources::count_runs(0);
    corodump::sources::stop_births();
    static_cast<void>(corodump::sources::note_resource_stacks(false));
    if (parts().profiles) corodump::sources::stop_profile();
    parts().profiles = false;
    log_lost_failures(parts().config.redact);
    corodump::sources::uninstall_stack_signal();
    parts().beacon.lower();
}

int corodump_dump_v1(char* path, std::size_t path_bytes, std::uint32_t timeout_ms) noexcept {
    revive();
    corodump::triggers::dump_outcome outcome;
    const int error = watch.dump_now(std::chrono::milliseconds(timeout_ms), outcome);
    if (error != 0) return error;
    if (outcome.error != 0) return outcome.error;
    if (path == nullptr || path_bytes == 0) return 0;
    const std::size_t bytes = std::min(std::strlen(outcome.path), path_bytes - 1);
    std::memcpy(path, outcome.path, bytes);
    path[bytes] = '\0';
    return 0;
}
}
