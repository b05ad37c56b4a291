// Read-only memory of the images, copied a page at a time and kept for the length of a dump.
//
// Used by the unwind tables and the prologue decoder. A binary search over .eh_frame_hdr reads 15
// words at 15 places, a system call for each is 15 us; most of those places are on pages that the
// last search has read already. Nothing is ever loaded from the image itself: it may be dlclosed
// while we look, and then a page is merely missing.
//
//   address ─> slot = page number modulo slots ─┬─ tag equal: copy out of the slot
//                                               └─ else safe_copy of that page first
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: false, nothing usable in `into`.
// Bounds: one system call for each page that is not held; image_pages pages of arena.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"

namespace corodump::symbols {

inline constexpr std::size_t image_pages = 256;

class image_memory {
public:
    /// An arena that is full makes every read fail.
    explicit image_memory(base::arena& memory) noexcept;

    /// All of it or nothing.
    [[nodiscard]] bool read(std::uint64_t address, void* into, std::size_t size) noexcept;
    /// As many as there are, from the front.
    [[nodiscard]] std::size_t read_some(std::uint64_t address,
                                        std::span<std::uint8_t> into) noexcept;

private:
    [[nodiscard]] const std::uint8_t* page(std::uint64_t number) noexcept;

    std::span<std::uint64_t> tags_;  // page number + 1; 0: empty
    std::span<std::uint8_t> bytes_;
};

}  // namespace corodump::symbols
