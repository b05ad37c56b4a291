// What the agent keeps of each object of the pool, beside the slab: an array of entries, made when
// the first of a slab's objects gets one.
//
//   slab header ── notes[which] ──> [entry of object 0][entry of object 1] ...
//
// An entry is zero at first, and again after its slab emptied; it outlives its object otherwise, so
// that whoever keeps one says there which generation of the record it is of.
//
// Threads: any; entries are the keeper's affair. Signals: unsafe, find() is safe. Blocks: never.
// Errors: nullptr, no memory.
#pragma once

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <corodump/detail/abi.hpp>
#include <cstddef>
#include <cstdint>

#include "agent/sources/pool.hpp"
#include "agent/sources/record_frame.hpp"

namespace corodump::sources {

/// The number of an object in its slab: a product instead of a division.
[[nodiscard]] inline std::size_t number_of(const detail::slab_header& slab,
                                           const detail::record* own) noexcept {
    // ceil(2^32 / bytes) of each class, exact within a slab.
    static constexpr auto reciprocals = [] {
        std::array<std::uint64_t, detail::size_classes + 2> made{};
        const auto of = [](std::uint64_t bytes) {
            return ((std::uint64_t{1} << 32U) + bytes - 1) / bytes;
        };
        for (std::size_t i = 1; i < detail::size_classes; ++i)
            made[i] = of(detail::bytes_of_class(i));
        made[detail::size_classes] = of(sizeof(detail::slot));
        return made;  // side records have no notes
    }();
    const std::uint64_t offset = reinterpret_cast<std::uintptr_t>(own) -
                                 reinterpret_cast<std::uintptr_t>(&slab) -
                                 detail::slab_header_bytes;
    return offset * reciprocals[slab.class_index] >> 32U;
}

template <class Entry, detail::slab_note Which>
class object_notes {
public:
    /// Makes the array where there is none. The record lies in the pool, in its frames or slots.
    [[nodiscard]] static Entry* at(const detail::record* own) noexcept {
        detail::slab_header& slab = *slab_of(own);
        auto* entries = static_cast<Entry*>(slab.notes[Which].load(std::memory_order_acquire));
        if (entries == nullptr) [[unlikely]] {
            entries = make(slab);
            if (entries == nullptr) return nullptr;
        }
        return entries + number_of(slab, own);
    }

    /// nullptr: none was made, or the address is not that of a frame's or slot's record.
    [[nodiscard]] static Entry* find(std::uint64_t record_address) noexcept {
        const object_place place = place_of(record_address);
        if (place.slab == nullptr || place.begin != record_address ||
            place.slab->kind == detail::slab_kind::sides)
            return nullptr;
        auto* const entries =
            static_cast<Entry*>(place.slab->notes[Which].load(std::memory_order_acquire));
        return entries == nullptr ? nullptr : entries + place.index;
    }

    /// Gives the memory back when the slab has emptied. Under the pool's lock.
    static void trim(const detail::slab_header& slab) noexcept {
        if (void* const entries = slab.notes[Which].load(std::memory_order_relaxed))
            madvise(entries, bytes_in(slab), MADV_DONTNEED);
    }

private:
    [[nodiscard]] static std::size_t bytes_in(const detail::slab_header& slab) noexcept {
        constexpr std::size_t page_bytes = 4096;
        return (slab.capacity * sizeof(Entry) + page_bytes - 1) & ~(page_bytes - 1);
    }

    /// By whoever is first; a second one's goes back, since nobody has seen it.
    [[nodiscard, gnu::noinline]] static Entry* make(detail::slab_header& slab) noexcept {
        const std::size_t bytes = bytes_in(slab);
        void* const mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED) return nullptr;
        void* there = nullptr;
        if (slab.notes[Which].compare_exchange_strong(there, mapped, std::memory_order_acq_rel))
            return static_cast<Entry*>(mapped);
        munmap(mapped, bytes);
        return static_cast<Entry*>(there);
    }
};

}  // namespace corodump::sources
