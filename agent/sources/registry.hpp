// Copies the live records out of the pool, without a lock, while the host goes on.
//
// A record is taken when its generation is odd and neither generation nor sequence nor suspension
// changed while it was copied; one that keeps changing is counted as torn and left out.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never.
// Bounds: `room` frames; what does not fit is counted as dropped.
#pragma once

#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::sources {

struct copied_frames {
    std::span<model::frame> frames;
    std::uint64_t dropped = 0;
    std::uint64_t torn = 0;
    std::uint32_t outside = 0;  ///< how many frames, at the end, have a slot
};

/// Frames of the pool in the order of their addresses within each slab, then those with slots.
/// In each frame: `site`, `awaitable`, `promise` are the record's pointers; `awaiter` the tracked
/// awaiter's full address (0 unless suspended); `definition` the record's address; state and
/// activity as the record says, which does not tell done from failed.
[[nodiscard]] copied_frames copy_records(base::arena& memory, std::uint64_t room) noexcept;

/// Live frames at most, for sizing: objects ever carved less nothing.
[[nodiscard]] std::uint64_t carved_objects() noexcept;

}  // namespace corodump::sources
