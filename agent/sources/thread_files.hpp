// What /proc tells of one thread of this process at a time: the files of /proc/self/task/TID.
//
// The threads section of a dump asks for each thread: is it blocked, in which call, where is its
// stack; and asks again after the stack was copied. No descriptor is kept for longer than one
// thread takes: the host could close it, and use its number again.
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

/// How much processor time the thread has used, to the nanosecond, up to now; -1: it has ended.
[[nodiscard]] std::int64_t cpu_time_of(std::int32_t tid) noexcept;

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
    [[nodiscard]] bool read_status(std::int32_t tid, thread_status& into) const noexcept;
    /// The kernel's function it sleeps in; empty: none, or not told.
    [[nodiscard]] base::fixed_string<max_wait_channel> wait_channel(
        std::int32_t tid) const noexcept;

    /// The `syscall` file, for as long as one thread is looked at.
    [[nodiscard]] base::unique_fd open_call(std::int32_t tid) const noexcept;
    [[nodiscard]] static bool read_call(const base::unique_fd& file, thread_call& into) noexcept;

private:
    [[nodiscard]] base::unique_fd open(std::int32_t tid, std::string_view file) const noexcept;
    [[nodiscard]] std::string_view read(std::int32_t tid, std::string_view file,
                                        std::span<char> into) const noexcept;

    base::unique_fd tasks_;
    int error_ = 0;
};

/// The text of a `syscall` file.
[[nodiscard]] bool parse_call(std::string_view text, thread_call& into) noexcept;

}  // namespace corodump::sources
