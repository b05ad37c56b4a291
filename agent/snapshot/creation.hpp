// The creations of a dump: for each task who created it, and the stacks that tasks were created on.
//
//   take, right after the chains:
//     roots ── own frame ── births ─┬─> creator's frame ──> its task
//                                   └─> stack ids, counted, most tasks first
//   name, after the threads:
//     stack ids ── depot ──> addresses ──> native frames
//
// Threads: watchdog only. Signals: unsafe. Blocks: name, on the file system of the images.
// Errors: less, and counted. Bounds: max_stacks stacks are shown; a dump's deadline ends the
// naming.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/model/creation.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/snapshot/code_names.hpp"
#include "agent/sources/births.hpp"
#include "agent/sources/frame_index.hpp"

namespace corodump::snapshot {

inline constexpr std::size_t max_creation_stacks = 512;

class creation_section {
public:
    /// `all` has its frames and roots; they and `index` outlive this.
    creation_section(base::arena& memory, const model::snapshot& all,
                     const sources::frame_index& index) noexcept
        : memory_(memory), all_(all), index_(index) {}

    /// False: nothing is traced, or there is no memory for it.
    [[nodiscard]] bool take() noexcept;
    /// Gives the stacks their frames. `deadline_ns`: CLOCK_MONOTONIC, 0: none.
    void name(code_names& code, std::int64_t deadline_ns) noexcept;

    [[nodiscard]] const model::creation& result() const noexcept { return made_; }

private:
    void describe() noexcept;
    [[nodiscard]] model::birth birth_of(std::uint32_t root) const noexcept;
    [[nodiscard]] bool find(std::uint32_t frame, sources::birth& found) const noexcept;
    [[nodiscard]] std::uint32_t creator_frame(const sources::birth& of) const noexcept;
    [[nodiscard]] std::uint32_t own_frame(std::uint32_t root) const noexcept;
    [[nodiscard]] std::uint32_t root_of(std::uint32_t frame) const noexcept;
    void count_stacks() noexcept;

    base::arena& memory_;
    const model::snapshot& all_;
    const sources::frame_index& index_;
    model::creation made_;
    std::span<model::birth> births_;
    std::span<model::creation_stack> stacks_;
};

}  // namespace corodump::snapshot
