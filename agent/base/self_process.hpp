// What the kernel says about this process, for the `process` object of a dump.
//
// Asked once per dump by the snapshot. What the kernel would not tell stays empty or -1. Where main
// may have left by pthread_exit, /proc/self names a zombie without memory or files, so those facts
// come from /proc/thread-self.
//
// Threads: any, one owner per object. Signals: unsafe. Blocks: never (only /proc is read). Errors:
// unknown fields. Bounds: a few reads of at most 4 KB; counting descriptors stops at max_open_fds.
#pragma once

#include <cstdint>

#include "agent/base/fixed_string.hpp"

namespace corodump::base {

/// Before Linux 6.2 open descriptors must be listed to be counted: some 0.2 us each.
inline constexpr std::int64_t max_open_fds = 1'000'000;

/// 5 KB: not for small stacks.
struct process_facts {
    int pid = 0;
    std::int64_t uid = -1;
    fixed_string<63> comm;   ///< of the process, not of the calling thread
    fixed_string<4096> exe;  ///< ends in " (deleted)" where the file is gone
    fixed_string<64> hostname;
    fixed_string<512> cgroup;       ///< path in the v2 hierarchy, else in the first that is listed
    std::int64_t start_ticks = -1;  ///< since boot, in units of the kernel's clock tick
    std::int64_t start_time_unix_ns = -1;
    double uptime_seconds = -1;
    std::int64_t threads = -1;
    std::int64_t rss_bytes = -1;
    std::int64_t open_fds = -1;
    std::int64_t fd_limit = -1;  ///< soft limit; -1 also when there is none
};

void read_process_facts(process_facts& into) noexcept;

}  // namespace corodump::base
