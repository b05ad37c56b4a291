// The service's open resources, as resources.hpp tells of them: who opens and closes, and what the
// watchdog reads.
//
//   one range of address space, reserved once: slab (64 KiB) after slab, 1,024 entries each
//
//   thread's node ── free ──> entry ──> entry          the thread's own, no atomics
//        ├ carve ──> entries of its newest slab that were never used
//        └ returned <── entry <── entry                 closed on other threads: pushed by CAS,
//                                                       all taken at once by the owner
//
// A new slab is one addition to a counter. A thread that ends leaves its node to the next that
// begins; before a new slab is made, what nodes of ended threads have is taken over. Nothing is
// ever unmapped, so the watchdog may read any entry at any time; a copy counts if the entry's
// generation is odd and the same before and after.
//
// Threads: open, close, relabel any; the rest too, without a lock. Signals: unsafe (reading: safe).
// Blocks: never; a new slab asks the kernel. Errors: nullptr, counted as refused.
// Bounds: max_slabs, 16.7 million open resources; max_kinds.
#pragma once

#include <atomic>
#include <corodump/detail/abi.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "agent/base/fixed_string.hpp"
#include "agent/sources/resource_kinds.hpp"

namespace corodump::sources {

inline constexpr std::size_t slab_entries = 1024;
inline constexpr std::size_t max_slabs = 16384;
inline constexpr std::size_t max_label_bytes = 72;

/// One open resource, or the rest of another's long label, which then is even for ever.
struct alignas(64) resource_entry {
    // What the words are of an open resource. In a free one, word[object] links to the next.
    enum word_index : std::uint8_t {
        where,   ///< the site's address (48 bits) │ kind (15) │ bit 63: the label is long
        object,  ///< its address
        owner,   ///< address / 8 of the record that was running (45 bits) │ stack id (19)
        opener,  ///< thread │ the record's generation in the high half
        label,   ///< and two more; where it is long, this one points to the rest of it
    };
    std::atomic<std::uint32_t> generation;   ///< odd: open
    std::atomic<std::uint32_t> opened_tick;  ///< 0: before there was an agent
    std::atomic<std::uint64_t> word[7];
};
static_assert(sizeof(resource_entry) == 64);

/// A consistent copy of an open one.
struct open_resource {
    std::uint32_t kind = 0;
    std::uint32_t generation = 0;
    std::uint32_t opened_tick = 0;
    std::uint32_t thread = 0;
    std::uint64_t object = 0;
    std::uint64_t site = 0;
    std::uint64_t owner_record = 0;  ///< 0: none
    std::uint32_t owner_generation = 0;
    std::uint32_t stack = 0;  ///< for birth_stack; 0: none was taken
    base::fixed_string<max_label_bytes> label;
};
/// False: it is not open, or changed each time it was read.
[[nodiscard]] bool read_resource(const resource_entry& from, open_resource& to) noexcept;

/// What a look at all needs of each: half of a cache line, no label.
struct resource_glance {
    std::uint32_t generation = 0, opened_tick = 0, kind = 0;
    std::uint64_t where = 0;  ///< site and kind
};
[[nodiscard]] bool glance_at(const resource_entry& from, resource_glance& to) noexcept;

/// Slabs handed out; they are never taken back.
[[nodiscard]] std::size_t resource_slabs() noexcept;
/// The slab's 1,024 entries; nullptr: not there yet. `index` < resource_slabs().
[[nodiscard]] const resource_entry* resource_slab(std::size_t index) noexcept;

struct resource_totals {
    std::uint64_t live = 0, peak = 0, opened = 0;
};
[[nodiscard]] resource_totals count_resources(std::uint32_t kind) noexcept;

/// Whether stacks are taken of what is opened. 0 or an errno: no memory for stacks.
int note_resource_stacks(bool wanted) noexcept;

}  // namespace corodump::sources
