// Writes one thread of the dump, and native frames wherever they stand: a thread's stack, or the
// part of it that belongs to a running task.
//
//   {"tid":…,"name":…,"state":…,"syscall":…,"syscall_number":…,"wait_channel":…,
//    "stack":{"source":…,"quality":…[,"reason":…]},"task":…[,"outer_tasks":[…]],"frames":[{frame},
//    …]}
//
// Threads: one owner. Signals: unsafe. Blocks: as long as the sink does.
// Errors:  unknown values become null, or are absent where docs/format.md says so.
// Bounds:  as the model says; the writer's buffer.
#pragma once

#include <span>

#include "agent/format/chain_walk.hpp"
#include "agent/format/json_writer.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::format {

/// An array of frames, as one element; the modules are those of the snapshot.
void write_native_frames(json_writer& out, const model::snapshot& all,
                         std::span<const model::native_frame> frames) noexcept;

/// The native frames of the thread that `frame`, a coroutine, runs on; empty: none are known.
[[nodiscard]] std::span<const model::native_frame> native_frames_of(const model::snapshot& all,
                                                                    std::uint32_t frame) noexcept;

class thread_writer {
public:
    /// All of them outlive the writer.
    thread_writer(json_writer& out, chain_walk& walk, const model::snapshot& all) noexcept
        : out_(out), walk_(walk), all_(all) {}

    /// As one element.
    void write(const model::thread& thread) noexcept;

private:
    void write_stack(const model::thread& thread) noexcept;
    void write_tasks(std::span<const model::resumed> resuming) noexcept;
    void write_task(std::uint32_t frame) noexcept;

    json_writer& out_;
    chain_walk& walk_;
    const model::snapshot& all_;
};

}  // namespace corodump::format
