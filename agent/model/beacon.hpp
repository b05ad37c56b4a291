// What an agent shows of itself to `corodump trigger`, which reads it from outside the process.
//
// The agent maps one page from a memfd named "corodump-beacon", so that /proc/<pid>/maps shows
// "/memfd:corodump-beacon (deleted)". The mapping is private (a forked child does not speak for its
// parent) and its descriptor is closed again (the host may close every descriptor it does not
// know).
//
//   sender                           agent
//     read requests, answered          handler:  ++requests
//     signal to signal_tid             watchdog: dump ... last_path, last_error_text
//     wait for answered > requests               answered = the requests seen before the snapshot
//
// Threads: written by the watchdog, `requests` by the signal handler; read by other processes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace corodump::model {

inline constexpr char beacon_mapping_name[] = "corodump-beacon";
inline constexpr char watchdog_thread_name[] = "corodump-watch";
inline constexpr char signal_thread_name[] = "corodump-signal";

struct beacon {
    static constexpr std::uint32_t current_version = 1;

    char magic[8];  ///< "corodump", not terminated
    std::uint32_t version;
    std::uint32_t size_bytes;
    std::int32_t pid;  ///< as the process itself sees it
    std::int32_t signal;
    std::int32_t signal_tid;
    std::int32_t watchdog_tid;
    std::atomic<std::uint64_t> requests;  ///< signals the handler has taken
    std::atomic<std::uint64_t> answered;  ///< requests whose dump ended, well or not
    std::atomic<std::uint64_t> dumps;     ///< files written
    /// Odd while the fields below change: a reader that sees it odd, or changed, reads again.
    std::atomic<std::uint64_t> revision;
    std::int32_t last_error;  ///< errno of the last dump, 0 when it was written
    /// 0 while the agent that raised it may still give way to another copy of the library.
    std::atomic<std::int32_t> settled;
    char directory[512];
    char last_path[512];
    char last_error_text[256];
};

static_assert(sizeof(beacon) <= 4096, "the beacon is one page");
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace corodump::model
