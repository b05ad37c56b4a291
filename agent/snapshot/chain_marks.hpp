// What the parts of chain_builder note in the frames while chains are built: chain_evidence.cpp what
// the frames' memory says, chains.cpp what follows from it.
//
// A frame's link members hold evidence meanwhile:
//   parent        what is decided so far
//   first_child   the first frame that a word of the promise names ("up")
//   next_sibling  the frame it seems to be joined by
// and its marks say how sure that is.
//
// Threads: watchdog only. Signals: safe. Blocks: never.
#pragma once

#include <cstddef>
#include <cstdint>

#include "agent/model/snapshot.hpp"

namespace corodump::snapshot {

enum mark : std::uint8_t {
    has_child_in_awaiter = 1,  // "down" evidence from this frame
    found_down = 2,            // this frame was found in its parent's awaiter
    by_state = 4,              // it seems to be joined through state that both point at
    joined = 8,                // the edge to the parent is a join
    certain = 16,              // the parent is known by the adapter: no other evidence counts
    ambiguous = 32,            // several words of the promise name different frames
};

inline constexpr std::size_t max_head_words = 64;   ///< of a frame, up to the end of its promise
inline constexpr std::size_t max_state_words = 24;  ///< of what lies on the heap

inline void set(model::frame& f, std::uint8_t bits) noexcept {
    f.marks = static_cast<std::uint8_t>((f.marks | bits) & 63U);
}
inline bool has(const model::frame& f, std::uint8_t bits) noexcept {
    return (f.marks & bits) != 0;
}

inline bool waits(const model::frame& f) noexcept {
    return f.activity == model::activity::suspended && f.awaiter != 0;
}

}  // namespace corodump::snapshot
