// Asks every source once and assembles one model::snapshot.
//
//   registry ─> frames ─> frame_index ─> chain_builder ─> roots, sorted ─> overview ─> threads
//     ─> diagnosis
//
// Safe work first: the records are copied before anything else is looked at, threads come last; what
// they all mean is judged from what was gathered, without another look at the process.
//
// Threads: watchdog only. Signals: unsafe. Blocks: add_threads, as threads.hpp says. Errors: a
// smaller snapshot and a warning. Bounds: `max_frames`; the arena (see its refusals); everything
// else as the parts say.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "agent/base/arena.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/snapshot/chains.hpp"
#include "agent/snapshot/creation.hpp"
#include "agent/snapshot/frame_details.hpp"
#include "agent/snapshot/growth_watch.hpp"
#include "agent/snapshot/overview.hpp"
#include "agent/snapshot/resource_section.hpp"
#include "agent/snapshot/stalls.hpp"
#include "agent/snapshot/threads.hpp"
#include "agent/sources/value_reader.hpp"

namespace corodump::snapshot {

struct build_options {
    std::uint64_t max_frames = 2'000'000;
    model::limits limits;
    std::uint64_t max_text_bytes = sources::max_string_bytes;  ///< of one local
    redaction redact;
};

class snapshot_builder {
public:
    static constexpr std::size_t max_warnings = 32;

    snapshot_builder(base::arena& memory, code_names& code) noexcept
        : memory_(memory), code_(code) {}

    /// Fills everything but id, trigger, time, process and modules. What it points at lives in the
    /// arena and in this object, until the next build.
    model::snapshot& build(const build_options& options) noexcept;
    /// Adds the threads, last of all: what can go wrong there must not cost the rest.
    void add_threads(const threads_options& options) noexcept;
    /// Adds the verdicts, from all that is there.
    void conclude() noexcept;
    /// In a forked child: what came before was the parent's.
    void forget() noexcept { growth_.forget(); }
    /// Behind the threads, whose images it uses.
    void add_loops(const stall_ring& stalls) noexcept;
    /// What is tracked and open. Behind the threads, likewise.
    void add_resources(const resource_options& options) noexcept;
    /// Names the stacks that tasks were created on. After the threads: they may lead to images that
    /// were mapped meanwhile.
    void add_creation_stacks() noexcept;
    /// Adds what failed and what has ended.
    void add_failures(const redaction& redact) noexcept;
    /// Adds what the profiler has counted.
    void add_profile() noexcept;
    /// `text` is copied. Beyond max_warnings it is dropped.
    void warn(std::string_view text) noexcept;

private:
    [[nodiscard]] std::uint64_t sort_key(std::uint32_t root) const noexcept;
    void sort_roots(std::uint64_t roots) noexcept;
    void note_losses(const chain_counts& chains) noexcept;
    void add_creation() noexcept;

    base::arena& memory_;
    code_names& code_;
    model::snapshot snapshot_;
    const sources::frame_index* index_ = nullptr;
    frame_details* details_ = nullptr;
    overview* overview_ = nullptr;
    chain_counts chains_;
    growth_watch growth_;
    creation_section* creation_ = nullptr;
    std::span<std::string_view> warnings_;
    std::size_t warnings_used_ = 0;
};

}  // namespace corodump::snapshot
