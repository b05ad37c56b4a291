// Who awaits a coroutine at this moment, read on the thread that runs it: at a failure, or at an
// end.
//
// snapshot/chains weighs all frames at once; here only one frame is known, and what its promise
// names. Its parent is the frame whose promise or frame its known place names, else the one live,
// suspended frame that a word of its promise names; of several, the one whose awaiter names it
// back.
//
// The frame itself stands still, the caller runs it. The others may not, where a word means
// something else: pooled memory is read in place, all other by safe copy, and nothing is written.
//
// Threads: any. Signals: safe. Blocks: never. Errors: a shorter chain.
// Bounds: max_awaiters frames; 64 words of a promise, 32 of an awaiter; 16,384 slots looked
// through.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/model/snapshot.hpp"
#include "agent/sources/layout.hpp"

namespace corodump::sources {

inline constexpr std::size_t max_awaiters = 64;

struct walked_frame {
    const detail::record* record = nullptr;
    std::uint64_t address = 0;
    std::uint32_t generation = 0;
    std::uint16_t flags = 0;                 ///< promise_flags
    std::uint32_t side = model::no_index;    ///< for read_side
    std::uint64_t site = 0, definition = 0;  ///< keys, as in model::frame
};

/// The frame of the record and those above it, innermost first. Returns how many. `own` is live.
std::size_t walk_up(const detail::record* own, std::span<walked_frame> into) noexcept;

/// The record of the frame that awaits this one; nullptr: none. `own` is live.
[[nodiscard]] const detail::record* find_awaiting(const detail::record* own) noexcept;

/// Only the frame itself; false where its promise type cannot be read.
bool look_at(const detail::record* own, walked_frame& into) noexcept;

/// The same for a frame that the caller holds, or whose code it is called from: its type's image is
/// loaded, and read in place.
bool look_at_held(const detail::record* own, walked_frame& into) noexcept;

/// The record of the frame, held likewise, whose promise is at this address; nullptr: not tracked.
[[nodiscard]] const detail::record* record_held(std::uint64_t promise) noexcept;

/// The record of the live frame that `word` is the address of, or its promise's; nullptr: none.
[[nodiscard]] const detail::record* record_named(std::uint64_t word) noexcept;

/// Whether the promise of the record's frame holds `word`.
[[nodiscard]] bool promise_holds(const detail::record* own, std::uint64_t word) noexcept;

}  // namespace corodump::sources
