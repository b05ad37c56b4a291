// The threads of a dump: who they are, what they block in, their native stacks, and which coroutine
// each of them is inside of.
//
// The last and riskiest part of a snapshot, so it has a deadline of its own, and whatever does not
// come in time is missing with a reason. For each thread, in this order:
//
//   blocked     /proc tells sp and pc ─> stack copied without a signal ─> unwound     (no_signal)
//   runs, or    asked by a signal to copy registers and stack ─> unwound                 (signal)
//   cut short
//
// Threads: watchdog only. Signals: unsafe. Blocks: up to `threads_options::deadline_ns`.
// Errors: threads without a stack, warnings. Bounds: max_threads, max_native_frames for each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/snapshot/code_names.hpp"
#include "agent/sources/frame_index.hpp"
#include "agent/sources/thread_files.hpp"

namespace corodump::snapshot {

inline constexpr std::size_t max_threads = 4096;

struct threads_options {
    std::int64_t deadline_ns = 1'000'000'000;  ///< for the whole section
    std::int32_t watchdog_tid = 0;             ///< these two are not asked for a stack
    std::int32_t signal_tid = 0;
};

struct threads_taken {
    std::span<const model::thread> threads;
    std::uint64_t left_out = 0;
    int error = 0;  ///< why there is no list
};

class thread_section {
public:
    /// All of them outlive what is taken.
    thread_section(base::arena& memory, code_names& code) noexcept : memory_(memory), code_(code) {}

    [[nodiscard]] threads_taken take(const threads_options& options) noexcept;

private:
    void describe(std::int32_t tid, model::thread& into) noexcept;

    base::arena& memory_;
    code_names& code_;
    sources::thread_files files_;
};

}  // namespace corodump::snapshot
