// The agent's few log lines, on stderr, through spdlog. The one place that knows spdlog;
// built without it (CORODUMP_WITH_SPDLOG) the same lines are written directly.
//
// Whoever holds the other end of the host's stderr may have stopped reading, and neither the
// watchdog nor a starting service may hang for that. So a line goes out only where it fits at once;
// the rest is dropped, and the next line that passes says how many were. The host's stderr is never
// switched to O_NONBLOCK: that flag belongs to the open file description, which it shares with
// others.
//
// Lines longer than 1,024 bytes are cut. After prepare_log(), a line of ordinary length takes no
// memory from malloc and no lock, so the watchdog can log while the host holds them all.
//
// Threads: any. Signals: unsafe. Blocks: never on pipes, sockets and terminals; a regular file
// blocks as its disk does. Errors: dropped lines are counted. Bounds: one write of at most 1,024
// bytes.
#pragma once

#include <cstdint>
#include <string_view>

namespace corodump::base {

enum class log_level : std::uint8_t { info, warning, error };

/// Makes the logger. Called when the agent starts; without it the first log() does it.
void prepare_log() noexcept;

/// Writes "<RFC 3339 time> corodump <level>: <message>".
void log(log_level level, std::string_view message) noexcept;

/// The same without spdlog: for the watchdog between dumps, which must not so much as touch a
/// thread-local of the library's for the first time, since that may call malloc.
void log_at_tick(log_level level, std::string_view message) noexcept;

/// Lines dropped so far and not yet told.
[[nodiscard]] std::uint64_t dropped_log_lines() noexcept;

/// Writes to `descriptor` only what it takes at once, all or nothing; false when it would have
/// blocked or failed. Raises neither SIGPIPE nor SIGTTOU. At most PIPE_BUF bytes.
[[nodiscard]] bool write_unblocked(int descriptor, std::string_view bytes) noexcept;

}  // namespace corodump::base
