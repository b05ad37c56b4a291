// Writes a model::snapshot as format 1 (docs/format.md), members in that page's order, each task a
// line of its own.
//
// The watchdog calls it once per dump, when the snapshot is assembled and the file is open. It is
// the one place that knows how format 1 looks; what a value means is the model's business.
//
//   workspace: [ output buffer │ fragment cache: places rendered once per dump ]
//   snapshot ── sections here, tasks by task_writer ──> json_writer ──> byte_sink
//
// Threads: watchdog only.
// Signals: unsafe.
// Blocks:  as long as the sink and snapshot.details do.
// Errors:  `written::whole` is false when the sink refused a write or the workspace is too small;
//          the writer then stops within a frame, and the sink's file is to be thrown away.
// Bounds:  the workspace, whatever the size of the dump; 6 KB of stack; `max_*` entries per array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/format/json_writer.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::format {

struct written {
    bool whole = false;
    std::uint64_t bytes = 0;
    std::uint64_t tasks = 0;
    std::uint64_t left_out = 0;  ///< tasks beyond the snapshot's limits; the dump says so
    /// Frames left out of chains; model::counts::cut was to say so already.
    std::uint64_t cut_frames = 0;
    /// Labels, locals and owners left out, over 64 of a kind in one place.
    std::uint64_t omitted = 0;
};

class dump_writer {
public:
    static constexpr std::size_t min_workspace_bytes = std::size_t{96} * 1024;
    /// Enough for the places of a large service; more makes nothing faster.
    static constexpr std::size_t good_workspace_bytes = std::size_t{1024} * 1024;
    static constexpr std::size_t max_groups = 1024;
    static constexpr std::size_t max_entries = 64;  ///< of each small array

    /// `workspace` and `sink` outlive the writer.
    dump_writer(std::span<std::byte> workspace, byte_sink& sink) noexcept
        : workspace_(workspace), sink_(sink) {}

    /// May be called again; nothing of one dump reaches the next.
    [[nodiscard]] written write(const model::snapshot& all) noexcept;

private:
    std::span<std::byte> workspace_;
    byte_sink& sink_;
};

}  // namespace corodump::format
