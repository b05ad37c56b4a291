// Keeps the dump directory from filling up: after each dump, all but the newest files go.
//
// The policy is narrow, because the directory is /tmp and may be shared. A file is removed only if
//   - its name is exactly corodump-<comm>-<pid>-<UTC time>-<sequence>.json with *our* comm, so that
//     a service keeps its limit over restarts and never touches another service's dumps,
//   - it is a regular file (not a link, a FIFO or a directory), and
//   - it belongs to our effective user.
// Oldest goes first, by the time and the sequence in its name: the clock of the file system can be
// reset by whoever copies files. The dump that was just written stays, whatever its time: after the
// wall clock was set back it has the lowest. Those whose time has not come yet are then from before
// that, and go first. Dot-files that a killed process left behind on a file system
// without O_TMPFILE go too, an hour after their last change.
//
// Threads: watchdog only. Signals: safe (getdents64 into a fixed buffer; no malloc, no lock).
// Blocks:  as long as the file system does.
// Errors:  retention_result::error; what could not be removed is skipped.
// Bounds:  max_entries directory entries per pass, max_passes passes of at most batch_files files;
//          `complete` is false when one of them was reached. Two descriptors.
#pragma once

#include <cstdint>
#include <string_view>

namespace corodump::base {

struct retention_result {
    int error = 0;  ///< errno value when the directory could not be read
    unsigned removed = 0;
    unsigned kept = 0;
    bool complete = true;
};

struct retention_bounds {
    static constexpr unsigned batch_files = 64;
    static constexpr unsigned max_passes = 64;
    static constexpr unsigned max_entries = 1'000'000;
};

/// What apply_retention is to know of the present.
struct retention_moment {
    std::string_view just_written;  ///< a file name, never removed
    std::int64_t utc_seconds = 0;   ///< since 1970; 0: no name is from the future
};

/// Leaves at most `max_files` dumps of `comm` (as given to final_name) in `directory`; 0 keeps all.
[[nodiscard]] retention_result apply_retention(const char* directory, std::string_view comm,
                                               unsigned max_files,
                                               const retention_moment& now = {}) noexcept;

/// A dump's name taken apart. `time` is 20261122105912 for 20261122T105912Z.
struct parsed_dump_name {
    bool matches = false;
    std::uint64_t time = 0;
    std::uint64_t sequence = 0;
    std::uint64_t pid = 0;
};

/// `sanitised_comm` as it stands in the name. Anything but the exact pattern does not match.
[[nodiscard]] parsed_dump_name parse_dump_name(std::string_view name,
                                               std::string_view sanitised_comm) noexcept;

}  // namespace corodump::base
