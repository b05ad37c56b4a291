// From an address to the live frame it means: the frame itself, its promise, or its inside.
//
// For frames of the pool the slab tells the object's number in O(1); those with slots are searched
// in an array sorted by address.
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
    /// The live frame that `word` names: the frame's or its promise's address.
    [[nodiscard]] std::uint32_t named(std::uint64_t word) const noexcept;
    /// Where the frame's record lies.
    [[nodiscard]] std::uint64_t record_of(std::uint32_t index) const noexcept;
    /// The live frame with this record and generation, or model::no_index.
    [[nodiscard]] std::uint32_t of_record(std::uint64_t record,
                                          std::uint32_t generation) const noexcept;

private:
    [[nodiscard]] std::uint32_t outside_at(std::uint64_t address) const noexcept;

    struct outside_frame {
        std::uint64_t address;
        std::uint64_t bytes;
        std::uint64_t record;
        std::uint32_t index;
    };

    std::span<const model::frame> frames_;
    std::uint32_t pooled_ = 0;
    std::span<std::span<std::uint32_t>> slabs_;  ///< by chunk and slab: frame of each object
    std::span<outside_frame> outside_;           ///< sorted by address
    std::span<std::uint64_t> outside_records_;   ///< by index - pooled_
    type_facts* types_;
};

}  // namespace corodump::sources
