// Reads the words of coroutine frames. Frames of the pool are read in place, since their memory is
// never unmapped; all others by safe copy. What was read counts only if the frame's record has not
// changed since: see `unchanged`.
//
// Threads: watchdog only. Signals: safe. Blocks: never.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/model/snapshot.hpp"

namespace corodump::sources {

/// Copies `to.size()` words from `address`; returns how many arrived.
std::size_t read_words(std::uint64_t address, std::span<std::uint64_t> to) noexcept;

/// The same for aligned words of one object of the pool, which ends at `end`.
std::size_t read_pooled_words(std::uint64_t address, std::uint64_t end,
                              std::span<std::uint64_t> to) noexcept;

/// Any bytes, aligned or not; false when not all of them could be read.
bool read_bytes(std::uint64_t address, void* to, std::size_t bytes) noexcept;

/// One word, or 0.
[[nodiscard]] std::uint64_t read_word(std::uint64_t address) noexcept;

/// The frame's record still says what the copy says: same generation, not resumed since.
/// `record_address` as copy_records left it in `definition`.
[[nodiscard]] bool unchanged(const model::frame& copy, std::uint64_t record_address) noexcept;

/// Of a frame that this thread runs, or one in the pool: in place.
void read_own_words(std::uint64_t address, std::span<std::uint64_t> to) noexcept;

}  // namespace corodump::sources
