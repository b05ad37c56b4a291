// Loops and stalls for a dump: the counts of all slots added up by loop, and the ring of stalls.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never. Errors: less of it, where the arena is
// full. Bounds: max_loops, max_slots, max_stalls.
#pragma once

#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/model/loops.hpp"
#include "agent/snapshot/code_names.hpp"
#include "agent/snapshot/stalls.hpp"
#include "agent/sources/frame_index.hpp"

namespace corodump::snapshot {

class loop_section {
public:
    /// All of them outlive what is made; `index` may be null.
    loop_section(base::arena& memory, code_names& code, const sources::frame_index* index) noexcept
        : memory_(memory), code_(code), index_(index) {}

    /// Null: there is nothing to say.
    [[nodiscard]] const model::loops* make(const stall_ring& stalls) noexcept;

private:
    struct counted;
    void add_slot(const sources::slot_node& node, std::span<counted> loops,
                  std::int64_t now_ns) noexcept;
    void describe(const counted& from, model::loop& into) noexcept;
    void describe(const stall_record& from, model::stall& into) noexcept;
    [[nodiscard]] std::span<const model::native_frame> frames_of(const stall_record& from) noexcept;
    [[nodiscard]] std::uint32_t frame_inside(std::int32_t thread) const noexcept;

    base::arena& memory_;
    code_names& code_;
    const sources::frame_index* index_;
};

}  // namespace corodump::snapshot
