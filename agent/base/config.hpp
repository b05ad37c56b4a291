// The agent's options as the environment gives them.
//
// Read once when the agent starts, on the installing thread. A bad value costs the default and one
// sentence in `problems`, which the runtime logs: an option must never keep a service from
// starting. The environment of a set-user-id program comes from somebody with less right, so there
// it counts for nothing (AT_SECURE, getauxval(3)).
//
// Threads: parsing, the installing thread; afterwards read-only from any. Signals: `matches` is
// safe, the rest is not. Blocks: never. Errors: `problems`. Bounds: 64 patterns.
#pragma once

#include <csignal>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace corodump::base {

/// Names of values that are not to be shown. Dump-path safe once made.
class redaction {
public:
    /// password, passwd, token, secret, key, auth, cookie, credential
    [[nodiscard]] static redaction standard();
    /// Comma-separated. A pattern matches anywhere in a name, whatever the case; `*` in it stands
    /// for any characters. "none" alone redacts nothing. With more than 64 patterns every name
    /// matches: those left out might be the ones that matter.
    [[nodiscard]] static redaction parse(std::string_view list);

    [[nodiscard]] bool matches(std::string_view name) const noexcept;
    [[nodiscard]] bool empty() const noexcept { return patterns_.empty(); }
    [[nodiscard]] bool hides_all_for_want_of_room() const noexcept { return overflown_; }
    [[nodiscard]] const std::vector<std::string>& patterns() const noexcept { return patterns_; }

private:
    std::vector<std::string> patterns_;  ///< lower case
    bool overflown_ = false;
};

/// SIGRTMAX-2: the lowest real-time signals are what programs choose for themselves.
[[nodiscard]] inline int default_stack_signal() noexcept {
    return SIGRTMAX - 2;
}

enum class stack_tracing : std::uint8_t { off, sampled, all };
/// Of which tasks the ends are noted.
enum class finished_tasks : std::uint8_t { off, entries, all };

/// Whether the profiler starts with the agent, and what it measures.
enum class profiling : std::uint8_t { none, counts, wall, cpu };

struct config {
    std::string directory = "/tmp";
    int signal = SIGUSR1;
    /// By which running threads are asked for their stacks; 0: never.
    int stack_signal = default_stack_signal();
    /// Also threads in calls that a signal ends early, where nothing else shows the whole stack.
    bool signal_blocked = false;
    std::uint64_t max_tasks = 1'000'000;
    std::uint64_t max_frames = 2'000'000;
    std::uint64_t max_bytes = std::uint64_t{1} << 30U;
    std::uint64_t max_depth = 256;
    std::uint64_t max_text_bytes = 1024;
    std::uint64_t deadline_ms = 5000;
    std::uint64_t interval_ms = 200;
    std::uint64_t max_files = 16;
    std::uint64_t stall_threshold_ms = 50;  ///< 0: stalls are not looked for
    std::uint64_t stall_dump_interval_ms = 60'000;
    bool dump_on_stall = false;
    bool count_callbacks = false;
    bool failures = true;
    finished_tasks finished = finished_tasks::entries;
    bool throw_stacks = true;  ///< where corodump::throws is linked
    bool dump_on_terminate = true;
    bool dump_on_fatal = false;
    std::uint64_t failure_wait_ms = 2000;
    redaction redact = redaction::standard();
    bool creators = false;
    stack_tracing creation_stacks = stack_tracing::off;
    std::uint64_t creation_budget_percent = 1;
    std::uint64_t creation_depth = 20;
    std::uint64_t resource_max_age_ms = 0;  ///< 0: none is leaked, unless its tracker says so
    bool resource_stacks = false;
    std::uint64_t task_max_age_ms = 0;  ///< 0: none is too old
    bool descriptors = false;
    std::uint64_t descriptor_max_age_ms = 0;  ///< likewise
    profiling profile = profiling::none;
    bool off = false;
};

struct parsed_config {
    config values;
    std::vector<std::string> problems;
};

/// From and to which a number of the options is taken. One that lies outside is a mistake.
struct number_range {
    std::uint64_t least;
    std::uint64_t most;
    [[nodiscard]] constexpr bool holds(std::uint64_t number) const noexcept {
        return number >= least && number <= most;
    }
};
inline constexpr number_range tasks_range{1, 1'000'000'000};
inline constexpr number_range frames_range{1, 1'000'000'000};
inline constexpr number_range files_range{1, 1'000'000};
inline constexpr number_range bytes_range{std::uint64_t{64} * 1024, std::uint64_t{1} << 50U};
inline constexpr number_range depth_range{4, 256};
inline constexpr number_range text_range{8, 1024};
inline constexpr number_range deadline_range{10, 600'000};
inline constexpr number_range interval_range{1, 600'000};
inline constexpr number_range stall_range{16, 600'000};
inline constexpr number_range stall_interval_range{1, 86'400'000};
inline constexpr number_range percent_range{1, 100};
inline constexpr number_range creation_depth_range{1, 32};
inline constexpr number_range failure_wait_range{10, 60'000};
/// A tick's 8 ms to ten years.
inline constexpr number_range max_age_range{8, 315'360'000'000};

/// Shaped like getenv: null when unset.
using environment_reader = const char* (*)(const char* name);

/// Applies the variables CORODUMP_* of the README's table over `defaults`. An empty value counts as
/// unset.
[[nodiscard]] parsed_config parse_config(environment_reader get, const config& defaults = {});

/// The same from the process's environment; only the defaults where AT_SECURE is set.
[[nodiscard]] parsed_config config_from_environment(const config& defaults = {});

/// A signal by name (SIGUSR2, usr2, RTMIN+3, SIGRTMAX-1) or number; 0 when it is none.
[[nodiscard]] int parse_signal(std::string_view name) noexcept;

/// True for signals a dump may be bound to: those that neither the kernel nor an ordinary service
/// needs for something else. USR1, USR2, QUIT, WINCH, URG, PWR and the real-time signals.
[[nodiscard]] bool is_usable_signal(int signal) noexcept;

}  // namespace corodump::base
