// What is known of the system calls that threads block in: the name, and whether a signal handler
// installed with SA_RESTART leaves them undisturbed (signal(7), "Interruption of system calls").
//
// Threads: any. Signals: safe. Blocks: may_interrupt asks the kernel about a descriptor, and reads
// no more. Errors: unknown calls have no name and are not interrupted. Bounds: a table.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace corodump::sources {

/// Empty: not in the table.
[[nodiscard]] std::string_view syscall_name(std::int64_t number) noexcept;

/// A thread blocked in this call goes on as before after a handler with SA_RESTART has run. False
/// for whatever can time out: the kernel ends those with EINTR. `arguments` are the call's six.
[[nodiscard]] bool restarts_after_signal(std::int64_t number,
                                         std::span<const std::uint64_t> arguments) noexcept;

}  // namespace corodump::sources
