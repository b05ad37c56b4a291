// What /proc tells of one thread of this process at a time: the files of /proc/self/task/TID.
//
// The threads section of a dump asks for each thread: is it blocked, in which call, where is its
// stack; and asks again after the stack was copied. Each question is open, read, close: a
// descriptor kept could be closed by the host, and its number used again.
//
// Threads: any, one owner per object. Signals: safe (system calls only). Blocks: never.
// Errors: false; the thread has gone, or the kernel does not say. Bounds: two descriptors at a
// time, 4 KB of stack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "agent/base/fd.hpp"
#include "agent/base/fixed_string.hpp"

namespace corodump::sources {

struct thread_names {
    base::fixed_string<31> name;
    char state = '?';
};

/// What the kernel says a thread is in (proc_pid_syscall(5)).
struct thread_call {
    enum class kind : std::uint8_t {
        running,  ///< it runs or waits for a processor
        blocked,  ///< in the kernel, but not in a call: a page fault
        in_call,
    };
    kind what = kind::running;
    std::int64_t number = -1;
    std::uint64_t arguments[6] = {};
    std::uint64_t sp = 0;
    std::uint64_t pc = 0;

    friend bool operator==(const thread_call&, const thread_call&) = default;
};

/// How much it has run so far.
struct thread_runs {
    std::uint64_t on_cpu_ns = 0;
    std::uint64_t slices = 0;

    friend bool operator==(const thread_runs&, const thread_runs&) = default;
};

struct thread_status {
    std::uint64_t blocked_signals = 0;  ///< one bit each, signal 1 is bit 0
    std::uint64_t voluntary_switches = 0;
};

class thread_files {
public:
    static constexpr std::size_t max_wait_channel = 63;

    thread_files() noexcept;
    /// The process's threads, as far as they fit; `left_out` counts the others.
    [[nodiscard]] std::size_t list(std::span<std::int32_t> tids, std::uint64_t& left_out) noexcept;
    /// 0, or why there is no list.
    [[nodiscard]] int error() const noexcept { return error_; }

    [[nodiscard]] bool read_names(std::int32_t tid, thread_names& into) const noexcept;
    [[nodiscard]] bool read_call(std::int32_t tid, thread_call& into) const noexcept;
    [[nodiscard]] bool read_runs(std::int32_t tid, thread_runs& into) const noexcept;
    [[nodiscard]] bool read_status(std::int32_t tid, thread_status& into) const noexcept;
    /// The kernel's function it sleeps in; empty: none, or not told.
    [[nodiscard]] base::fixed_string<max_wait_channel> wait_channel(
        std::int32_t tid) const noexcept;

private:
    [[nodiscard]] std::string_view read(std::int32_t tid, std::string_view file,
                                        std::span<char> into) const noexcept;

    base::unique_fd tasks_;
    int error_ = 0;
};

/// The text of a `syscall` file.
[[nodiscard]] bool parse_call(std::string_view text, thread_call& into) noexcept;

}  // namespace corodump::sources
