#include "agent/sources/registry.hpp"

#include <algorithm>
#include <atomic>

#include "agent/sources/pool.hpp"

namespace corodump::sources {
namespace {

using detail::record;
using detail::slab_header;
using detail::slab_kind;

constexpr unsigned max_attempts = 8;
constexpr std::size_t min_fetch = 1024;   ///< frames before pages are asked for in bulk
constexpr std::size_t max_fetch = 16384;  ///< frames whose pages are asked for at once
constexpr std::size_t prefetch_bytes = 1024;

/// Calls `visit(slab)` for each slab of the kind.
template <class Visit>
void for_each_slab(slab_kind kind, Visit visit) noexcept {
    const std::size_t chunks = chunk_count();
    for (std::size_t c = 0; c < chunks; ++c) {
        for (std::size_t s = 0; s < slabs_in_chunk; ++s) {
            auto* const slab = reinterpret_cast<slab_header*>(chunk_at(c) + s * detail::slab_bytes);
            const auto magic =
                std::atomic_ref<std::uint32_t>(slab->magic).load(std::memory_order_acquire);
            // Slabs of a chunk are made in order: the first one without a header is the end.
            if (magic != detail::slab_magic) break;
            if (slab->version == detail::layout_version && slab->kind == kind) visit(slab);
        }
    }
}

record* record_at(slab_header* slab, std::uint32_t index) noexcept {
    return reinterpret_cast<record*>(reinterpret_cast<char*>(slab) + detail::slab_header_bytes +
                                     static_cast<std::size_t>(index) * slab->object_bytes);
}

/// What `suspended` says: since when, and on which awaiter, or why without one.
void read_suspension(std::uint64_t suspended, std::uint64_t frame, model::frame& to) noexcept {
    const auto low = static_cast<std::uint32_t>(suspended);
    to.awaiter = 0;
    to.suspended_tick = static_cast<std::uint32_t>(suspended >> 32U);
    to.state = low == detail::rests_at_end ? model::task_state::done : model::task_state::pending;
    to.activity = suspended == 0                      ? model::activity::running
                  : low == detail::rests_before_start ? model::activity::not_started
                                                      : model::activity::suspended;
    if (low > detail::rests_at_end)
        to.awaiter =
            frame + static_cast<std::uint32_t>((low & ~1U) - static_cast<std::uint32_t>(frame));
}

/// 1: taken, 0: not live, -1: changed while it was read.
int take(const record& from, std::uint64_t frame, model::frame& to) noexcept {
    constexpr auto relaxed = std::memory_order_relaxed;
    const std::uint32_t generation = from.generation.load(std::memory_order_acquire);
    if ((generation & 1U) == 0) return 0;
    const std::uint32_t sequence = from.sequence.load(std::memory_order_acquire);
    const std::uint64_t suspended = from.suspended.load(std::memory_order_acquire);
    to.address = frame;
    to.generation = generation;
    to.resumes = sequence;
    to.created_tick = from.created_tick.load(relaxed);
    to.thread = static_cast<std::int32_t>(from.thread.load(relaxed));
    to.side = model::no_index;
    to.site = reinterpret_cast<std::uint64_t>(from.site.load(relaxed));
    to.awaitable = reinterpret_cast<std::uint64_t>(from.awaitable.load(relaxed));
    // An acquire load as the last one keeps the re-check behind the reads above.
    to.promise = reinterpret_cast<std::uint64_t>(from.promise.load(std::memory_order_acquire));
    to.definition = reinterpret_cast<std::uint64_t>(&from);
    to.parent = to.first_child = to.next_sibling = model::no_index;
    to.root = to.library = false;
    read_suspension(suspended, frame, to);
    return from.sequence.load(relaxed) == sequence && from.suspended.load(relaxed) == suspended &&
                   from.generation.load(relaxed) == generation
               ? 1
               : -1;
}

int take_patiently(const record& from, std::uint64_t frame, model::frame& to) noexcept {
    int outcome = -1;
    for (unsigned i = 0; i < max_attempts && outcome < 0; ++i) outcome = take(from, frame, to);
    return outcome;
}

/// Appends to the frames, and counts what it could not.
struct collector {
    base::arena& memory;
    std::span<model::frame> room;
    std::size_t used = 0;
    std::size_t fetched = min_fetch;  ///< frames whose pages are there, or are left to faults
    std::uint64_t dropped = 0;
    std::uint64_t torn = 0;

    void add(const record& from, std::uint64_t frame) noexcept {
        if (used == room.size()) {
            dropped += from.generation.load(std::memory_order_relaxed) & 1U;
            return;
        }
        if (used == fetched) fetch();
        const int outcome = take_patiently(from, frame, room[used]);
        if (outcome > 0) ++used;
        if (outcome < 0) ++torn;
    }

    /// As many frames again as there are, so that at most half of the pages are in vain.
    void fetch() noexcept {
        const std::size_t more = std::min({used, max_fetch, room.size() - used});
        memory.fetch_pages(&room[used], more * sizeof(model::frame));
        fetched = used + more;
    }
};

void collect_pooled(slab_header* slab, collector& into) noexcept {
    const std::uint32_t carved =
        std::min(slab->carved.load(std::memory_order_acquire), slab->capacity);
    // Not beyond the slab: a prefetch of what is not mapped is slow. The last ones go without.
    const std::uint32_t ahead = static_cast<std::uint32_t>(prefetch_bytes / slab->object_bytes) + 1;
    for (std::uint32_t i = 0; i < carved; ++i) {
        record* const from = record_at(slab, i);
        if (i + ahead < carved) __builtin_prefetch(record_at(slab, i + ahead));
        into.add(*from, reinterpret_cast<std::uint64_t>(from + 1));
    }
}

void collect_slots(slab_header* slab, collector& into) noexcept {
    const std::uint32_t carved =
        std::min(slab->carved.load(std::memory_order_acquire), slab->capacity);
    for (std::uint32_t i = 0; i < carved; ++i) {
        auto* const from = reinterpret_cast<detail::slot*>(record_at(slab, i));
        const auto frame =
            reinterpret_cast<std::uint64_t>(from->frame.load(std::memory_order_acquire));
        into.add(from->tracked, frame);
    }
}

}  // namespace

std::uint64_t carved_objects() noexcept {
    std::uint64_t sum = 0;
    const auto count = [&](slab_header* slab) {
        sum += slab->carved.load(std::memory_order_relaxed);
    };
    for_each_slab(slab_kind::frames, count);
    for_each_slab(slab_kind::slots, count);
    return sum;
}

copied_frames copy_records(base::arena& memory, std::uint64_t room) noexcept {
    // Frames made meanwhile need room too: a little more than there are now.
    const std::uint64_t now = carved_objects();
    const std::uint64_t wanted = std::min(room, now + now / 16 + 1024);
    collector into{memory, memory.room<model::frame>(wanted)};
    for_each_slab(slab_kind::frames, [&](slab_header* slab) { collect_pooled(slab, into); });
    const std::size_t pooled = into.used;
    for_each_slab(slab_kind::slots, [&](slab_header* slab) { collect_slots(slab, into); });
    const auto outside = static_cast<std::uint32_t>(into.used - pooled);
    return {memory.take(into.room, into.used), into.dropped, into.torn, outside};
}

}  // namespace corodump::sources
