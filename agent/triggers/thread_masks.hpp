// Counts the threads that take the signal although they are not ours: those older than the install,
// which kept their mask, and those that a host unblocked. The dump says how many, since such a
// thread may see EINTR from a plain kill.
//
// Threads: any. Signals: safe (getdents64, openat, read; no malloc, no lock). Blocks: never; about
// 10 us a thread. Errors: `complete` is false when /proc was unreadable or a bound was reached.
// Bounds: max_scanned_threads threads; two descriptors.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace corodump::triggers {

inline constexpr unsigned max_scanned_threads = 4096;

struct unblocked_threads {
    unsigned count = 0;      ///< threads that do not block the signal
    unsigned examined = 0;   ///< threads looked at
    std::int32_t first = 0;  ///< tid of one of them, 0: none
    bool complete = false;
};

/// Leaves out the thread ids in `ours`.
[[nodiscard]] unblocked_threads count_unblocked_threads(
    int signal, std::initializer_list<std::int32_t> ours) noexcept;

}  // namespace corodump::triggers
