// Goes through the slots of the pool: frames that lie elsewhere are found by nothing but these.
//
// Threads: any; slots come and go meanwhile. Signals: safe. Blocks: never. Errors: none.
// Bounds: 16,384 slots.
#pragma once

#include <algorithm>
#include <corodump/detail/abi.hpp>
#include <cstddef>
#include <cstdint>

#include "agent/sources/pool.hpp"

namespace corodump::sources {

/// Calls `visit` for each slot that has been used, live or not, until it returns true. Returns
/// whether it did.
template <class Visit>
bool each_slot(Visit visit) noexcept {
    constexpr std::size_t most = 16384;
    std::size_t looked = 0;
    for (std::size_t c = 0; c < chunk_count(); ++c) {
        for (std::size_t s = 0; s < slabs_in_chunk; ++s) {
            const std::uintptr_t at = chunk_at(c) + s * detail::slab_bytes;
            const auto* const slab = reinterpret_cast<const detail::slab_header*>(at);
            const object_place first = place_of(at + detail::slab_header_bytes);
            if (first.slab == nullptr || slab->kind != detail::slab_kind::slots) continue;
            const std::uint32_t carved =
                std::min(slab->carved.load(std::memory_order_acquire), slab->capacity);
            for (std::uint32_t i = 0; i < carved; ++i) {
                if (++looked > most) return false;
                if (visit(*reinterpret_cast<const detail::slot*>(
                        first.begin + std::uintptr_t{i} * slab->object_bytes)))
                    return true;
            }
        }
    }
    return false;
}

}  // namespace corodump::sources
