// The threads of a dump: who they are, what they block in, their native stacks, and which coroutine
// each of them is inside of.
//
// The last and riskiest part of a snapshot, so it has a deadline of its own, and whatever does not
// come in time is missing with a reason. For each thread, in this order:
//
//   blocked            /proc tells sp and pc ─> stack copied without a signal ─> unwound (no_signal)
//   runs, or cut short asked by a signal to copy registers and stack ─> unwound (signal)
//
// Images are read before and after: a stack that leads into one which was unmapped in between is
// cut there, since its tables and names may be those of another image by now.
//
// Threads: watchdog only. Signals: unsafe. Blocks: until `threads_options::deadline_ns`.
// Errors: threads without a stack, warnings. Bounds: max_threads, max_native_frames for each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/snapshot/code_names.hpp"
#include "agent/snapshot/native_names.hpp"
#include "agent/snapshot/running_threads.hpp"
#include "agent/snapshot/stack_taker.hpp"
#include "agent/sources/frame_index.hpp"
#include "agent/sources/thread_files.hpp"

namespace corodump::snapshot {

inline constexpr std::size_t max_threads = 4096;

struct threads_taken {
    std::span<const model::thread> threads;
    std::uint64_t left_out = 0;
    std::uint64_t late = 0;   ///< threads without a stack, since the deadline had come
    int error = 0;            ///< why there is no list
    bool taken_over = false;  ///< the host handles the signal for stacks now
    std::int64_t copying_ns = 0;
    std::int64_t unwinding_ns = 0;
    std::int64_t naming_ns = 0;
};

class thread_section {
public:
    /// All of them outlive what is taken. `frames` are the snapshot's, which `index` finds;
    /// `index` may be null: then no thread is inside of a coroutine.
    thread_section(base::arena& memory, code_names& code, std::span<const model::frame> frames,
                   const sources::frame_index* index) noexcept
        : memory_(memory), code_(code), frames_(frames), index_(index), names_(memory, code) {}

    [[nodiscard]] threads_taken take(const threads_options& options) noexcept;

private:
    void take_stacks(const threads_options& options, threads_taken& into) noexcept;
    void describe(const thread_stack& from, model::thread& into) noexcept;
    void describe_stack(const thread_stack& from, model::thread& into) noexcept;
    [[nodiscard]] std::size_t still_mapped(const taken_stack& stack) const noexcept;
    [[nodiscard]] std::uint32_t depth_of(std::uint32_t coroutine, const model::thread& thread,
                                         std::uint32_t from) noexcept;
    void find_coroutines(const taken_stack& from, model::thread& into) noexcept;

    base::arena& memory_;
    code_names& code_;
    std::span<const model::frame> frames_;
    const sources::frame_index* index_;
    sources::thread_files files_;
    native_names names_;
    std::span<thread_stack> stacks_;
    std::span<model::thread> threads_;
    stack_taker* taker_ = nullptr;
    symbols::module_map after_;
};

}  // namespace corodump::snapshot
