// A host process that a chaos test starts, signals and takes the measure of: a fork of the test
// that runs a function, or a program. It has a directory of its own for dumps, and a deadline: when
// that passes it is killed by its pid and the test fails.
//
//     test                                   host
//       say() ------------- stdin ------------> hear()
//       await_line() <----- stdout ------------ tell()
//       errors() <--------- stderr             (the agent's log lines)
//       await_dump() <----- inotify ----------- CORODUMP_DIR
//
// Nothing here sleeps: one poll waits for all of these and for the host's end.
//
// Threads: the test's only one, so that fork is safe. Errors: what does not come until the deadline
// or the host's end fails the test, with the host's stderr, and is returned empty.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/chaos/host_side.hpp"
#include "tests/integration/support_dump.hpp"
#include "tests/sanitizers.hpp"

namespace chaos {

/// CORODUMP_CHAOS=long makes the long rounds: 10,000 signals, 500 kills, 1,000 dumps. A sanitizer
/// makes a quarter of the quick ones, each of which takes it ten times as long.
[[nodiscard]] bool is_long() noexcept;
[[nodiscard]] inline int rounds(int quick, int full) noexcept {
#if CORODUMP_TEST_SANITIZED
    quick = (quick + 3) / 4;
#endif
    return is_long() ? full : quick;
}

struct setup {
    std::vector<std::pair<std::string, std::string>> environment;  ///< besides CORODUMP_DIR
    std::vector<std::string> preload;                              ///< programs only
    std::vector<std::pair<int, rlim_t>> limits;                    ///< RLIMIT_*: soft and hard
    std::string directory;  ///< of dumps; empty: a private one is made
    std::chrono::seconds deadline{60};
};

struct command_result {
    int status = 0;  ///< exit status, or minus the signal
    std::string output;
    std::string errors;
};

class host {
public:
    /// Forks; the host exits with 0 when `body` returns. Static destructors do not run.
    explicit host(const std::function<void()>& body, const setup& with = {});
    /// Starts a program of tests/chaos/hosts or any absolute path.
    host(const std::string& program, const std::vector<std::string>& arguments,
         const setup& with = {});
    host(const host&) = delete;
    host& operator=(const host&) = delete;
    ~host();  ///< kills what still runs, of the host's process group too, and removes its files

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// Where dumps go.
    [[nodiscard]] const std::string& directory() const noexcept { return directory_; }

    void say(std::string_view line);
    [[nodiscard]] std::string await_line();
    /// Fails the test unless the host's next line is this one.
    void await(std::string_view line);
    void await_ready() { await("ready"); }

    void signal(int number) const;
    /// The path of the next dump that appears, in the order of their sequence numbers.
    [[nodiscard]] std::string await_dump();
    [[nodiscard]] support::dump signal_and_await_dump(int number);
    [[nodiscard]] support::dump signal_and_await_dump();

    /// What the host wrote to stderr until now.
    [[nodiscard]] const std::string& errors();
    /// Waits until stderr has the text; returns the line it stands in.
    [[nodiscard]] std::string await_error(std::string_view text);
    /// Waits for the end: exit status, or minus the signal that killed it.
    [[nodiscard]] int wait();
    [[nodiscard]] bool is_alive();
    /// Fails the test unless the host still answers: it must be in hear(), and tell "pong" to
    /// "ping".
    void expect_answers();
    /// Has the host's probe run, and fails the test unless it blocks on a lock: proof that the lock
    /// is held which the agent is to do without.
    void expect_probe_blocks();
    /// What /proc/<pid>/task/<tid>/<file> says.
    [[nodiscard]] std::string of_thread(long tid, std::string_view file) const;
    [[nodiscard]] std::string of_process(std::string_view file) const;
    /// The thread's state letter, and the system call it is in.
    [[nodiscard]] bool is_thread_in(long tid, long system_call, char state) const;
    /// Lines the host told that nobody awaited.
    [[nodiscard]] const std::string& untaken_lines();

private:
    struct pipes;
    void prepare(const setup& with);
    void become_child(pipes& ends, const setup& with);
    void begin(pipes& ends);
    /// Waits for any event. False when the deadline has passed or the host is gone and drained.
    bool pump();
    bool pump_until(const std::function<bool()>& reached, std::string_view what);
    void look_for_dumps();
    void reap();

    pid_t pid_ = -1;
    int pidfd_ = -1;
    int to_host_ = -1;
    int lines_ = -1;
    int errors_ = -1;
    int watch_ = -1;
    std::string root_;
    std::string directory_;
    std::string pending_lines_;
    std::string error_text_;
    std::set<std::string> seen_;
    std::vector<std::string> fresh_;
    std::chrono::steady_clock::time_point deadline_;
    bool ended_ = false;
    int status_ = 0;
};

/// The path of a program of tests/chaos/hosts.
[[nodiscard]] std::string program(std::string_view name);
/// The dump as JSON; fails the test where it is none.
[[nodiscard]] nlohmann::json parse(const std::string& path);
/// Names of the files in a directory, sorted.
[[nodiscard]] std::vector<std::string> files_in(const std::string& directory);
/// Runs a program to its end, killed at the deadline: the corodump command, for one.
[[nodiscard]] command_result run(const std::vector<std::string>& command,
                                 std::chrono::seconds deadline = std::chrono::seconds(60));

}  // namespace chaos
