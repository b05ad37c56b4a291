// From an address to the live frame it means: the frame itself, its promise, or its inside.
//
// For frames of the pool the slab tells the object's number in O(1); those with slots are searched
// in an array sorted by address. Most words that are asked for name nothing, so what lies outside
// of all chunks is refused first, and what a slab's header says is kept here: a slab never changes
// its kind or the size of its objects.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never.
// Bounds: 4 bytes for each object of a used slab; a query is O(1), O(log n) with slots.
#pragma once

#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/sources/type_facts.hpp"

namespace corodump::sources {

class frame_index {
public:
    /// `frames` as copy_records returned them; the last `outside` have slots.
    frame_index(base::arena& memory, std::span<const model::frame> frames, std::uint32_t outside,
                type_facts& types) noexcept;

    /// The live frame whose memory `address` lies in, or model::no_index.
    [[nodiscard]] std::uint32_t containing(std::uint64_t address) const noexcept;
    /// The end of the pool's object that `address` lies in, where there are live frames in its
    /// slab; 0: none.
    [[nodiscard]] std::uint64_t object_end(std::uint64_t address) const noexcept;
    /// As sources::read_words, without a look at the slab's header where there are live frames.
    std::size_t read_words(std::uint64_t address, std::span<std::uint64_t> to) const noexcept;
    /// One word, or 0.
    [[nodiscard]] std::uint64_t read_word(std::uint64_t address) const noexcept;
    /// The live frame that `word` names: the frame's or its promise's address.
    [[nodiscard]] std::uint32_t named(std::uint64_t word) const noexcept;
    /// Where the frame's record lies.
    [[nodiscard]] std::uint64_t record_of(std::uint32_t index) const noexcept;
    /// The live frame with this record and generation, or model::no_index.
    [[nodiscard]] std::uint32_t of_record(std::uint64_t record,
                                          std::uint32_t generation) const noexcept;

private:
    struct slab_entry {
        std::span<std::uint32_t> objects;  ///< empty: no live frames; the frame of each object
        std::uint32_t object_bytes;
        std::uint32_t reciprocal;  ///< of object_bytes, times 2^32, rounded up
    };

    void add_pooled(base::arena& memory, std::uint32_t index, slab_entry& to) noexcept;
    void add_outside(base::arena& memory, std::uint32_t outside) noexcept;
    [[nodiscard]] std::uint32_t outside_at(std::uint64_t address) const noexcept;
    [[nodiscard]] slab_entry* slab_at(std::uint64_t address) const noexcept;
    /// Not less than the number of objects where `address` lies in none.
    [[nodiscard]] static std::size_t object_number(const slab_entry& slab,
                                                   std::uint64_t address) noexcept;

    struct outside_frame {
        std::uint64_t address;
        std::uint64_t bytes;
        std::uint64_t record;
        std::uint32_t index;
    };

    std::span<const model::frame> frames_;
    std::uint32_t pooled_ = 0;
    std::span<slab_entry> slabs_;  ///< by chunk and slab
    std::uint64_t lowest_ = 0;     ///< address of a chunk
    std::uint64_t reach_ = 0;      ///< from it to the end of the highest one
    mutable std::uint64_t last_chunk_ = 0;
    mutable std::size_t last_slabs_ = 0;        ///< where its slabs begin
    std::span<outside_frame> outside_;          ///< sorted by address
    std::span<std::uint64_t> outside_records_;  ///< by index - pooled_
    type_facts* types_;
};

}  // namespace corodump::sources
