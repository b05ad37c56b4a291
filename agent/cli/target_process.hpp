// Another process, as `corodump trigger` sees it: held by a pidfd, read through /proc.
//
// A pid may be given to another process at any time. The pidfd is opened first and asked
// afterwards: while it says that the process lives, everything that was read under /proc/<pid> was
// of that one.
//
// Threads: one owner. Signals: unsafe. Blocks: never longer than the time-out of wait_for_death.
// Errors: trigger_error, thrown, caught in run_trigger. Bounds: /proc files of 64 MiB.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/exit_code.hpp"

namespace corodump::cli {

/// What ends a trigger: one line, and the exit code it means.
struct trigger_error : std::runtime_error {
    trigger_error(exit_code what, const std::string& text) : std::runtime_error(text), code(what) {}
    exit_code code;
};

/// What a signal would do to a process, by its /proc/<pid>/status.
enum class disposition : std::uint8_t { fatal, ignored, handled };

struct process_status {
    char state = '?';  ///< as the kernel prints it: R S D Z T t X
    pid_t thread_group = 0;
    std::vector<pid_t> namespace_pids;  ///< outermost first; empty on old kernels
    std::uint64_t ignored = 0, caught = 0;
    std::string name;

    [[nodiscard]] bool stopped() const { return state == 'T' || state == 't'; }
    [[nodiscard]] bool zombie() const { return state == 'Z' || state == 'X'; }
    [[nodiscard]] disposition on(int signal) const;
    /// The pid as the process itself sees it.
    [[nodiscard]] pid_t own_pid(pid_t outer) const {
        return namespace_pids.empty() ? outer : namespace_pids.back();
    }
};

[[nodiscard]] process_status parse_status(std::string_view text);

struct memory_range {
    std::uint64_t start = 0, end = 0;
};
/// The readable mappings of the agent's beacon in the text of a maps file.
[[nodiscard]] std::vector<memory_range> beacon_mappings(std::string_view maps);

class target_process {
public:
    explicit target_process(pid_t pid);
    target_process(const target_process&) = delete;
    target_process& operator=(const target_process&) = delete;
    ~target_process();

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] process_status status() const;
    [[nodiscard]] std::vector<memory_range> beacons() const;
    /// Copies memory of the process. False where the range is not there.
    [[nodiscard]] bool read_memory(std::uint64_t address, void* into, std::size_t size) const;

    /// The thread that the process knows as `inner`, by our own pid namespace; or the one of that
    /// name.
    [[nodiscard]] std::optional<pid_t> find_thread(pid_t inner, std::string_view name) const;
    /// Signals one thread, with SI_QUEUE and our pid, after asking the pidfd.
    void signal_thread(pid_t thread, int signal) const;
    void signal_process(int signal) const;

    [[nodiscard]] bool alive() const { return !wait_for_death(std::chrono::milliseconds(0)); }
    /// Waits at most that long; true when the process has ended.
    [[nodiscard]] bool wait_for_death(std::chrono::milliseconds at_most) const;

    /// Says so, as trigger_error.
    [[noreturn]] void ended() const;

    /// A path of the process as it is reached from here.
    [[nodiscard]] std::string path_from_here(const std::string& path) const;

private:
    [[nodiscard]] std::string directory() const { return "/proc/" + std::to_string(pid_); }
    [[nodiscard]] std::string read_file(const std::string& name) const;
    [[noreturn]] void refuse_memory(int error) const;

    pid_t pid_;
    int pidfd_;
};

}  // namespace corodump::cli
