#include "agent/sources/frame_index.hpp"

#include <algorithm>
#include <corodump/detail/abi.hpp>

#include "agent/sources/frame_memory.hpp"
#include "agent/sources/pool.hpp"

namespace corodump::sources {
namespace {

constexpr std::uint64_t unknown_frame_bytes = std::uint64_t{64} * 1024;

constexpr std::uint64_t slab_mask = detail::slab_bytes - 1;

}  // namespace

frame_index::frame_index(base::arena& memory, std::span<const model::frame> frames,
                         std::uint32_t outside, type_facts& types) noexcept
    : frames_(frames),
      pooled_(static_cast<std::uint32_t>(frames.size()) - outside),
      slabs_(memory.allocate_zeroed<slab_entry>(chunk_count() * slabs_in_chunk)),
      types_(&types) {
    std::uint64_t highest = 0;
    lowest_ = UINT64_MAX;
    for (std::size_t i = 0; i < slabs_.size() / slabs_in_chunk; ++i) {
        lowest_ = std::min<std::uint64_t>(lowest_, chunk_at(i));
        highest = std::max<std::uint64_t>(highest, chunk_at(i));
    }
    reach_ = slabs_.empty() ? 0 : highest + chunk_bytes - lowest_;
    // Frames of one slab stand in a row.
    std::uint64_t begin = 0;
    slab_entry* slab = nullptr;
    for (std::uint32_t i = 0; i < pooled_; ++i) {
        const std::uint64_t record = frames[i].address - sizeof(detail::record);
        if (slab == nullptr || record - begin >= detail::slab_bytes) {
            begin = record & ~slab_mask;
            slab = slab_at(record);
        }
        if (slab != nullptr) add_pooled(memory, i, *slab);
    }
    add_outside(memory, outside);
}

void frame_index::add_pooled(base::arena& memory, std::uint32_t index, slab_entry& to) noexcept {
    const std::uint64_t record = frames_[index].address - sizeof(detail::record);
    if (to.objects.empty()) {
        const object_place place = place_of(record);
        if (place.slab == nullptr) return;
        to.object_bytes = place.slab->object_bytes;
        to.reciprocal = static_cast<std::uint32_t>(
            ((std::uint64_t{1} << 32U) + to.object_bytes - 1) / to.object_bytes);
        to.objects = memory.allocate_uninitialized<std::uint32_t>(place.slab->capacity);
        std::ranges::fill(to.objects, model::no_index);
    }
    const std::size_t at = object_number(to, record);
    if (at < to.objects.size()) to.objects[at] = index;
}

void frame_index::add_outside(base::arena& memory, std::uint32_t outside) noexcept {
    outside_ = memory.allocate_span<outside_frame>(outside);
    outside_records_ = memory.allocate_span<std::uint64_t>(outside);
    if (outside_.size() != outside || outside_records_.size() != outside) {
        outside_ = {};
        return;
    }
    for (std::uint32_t i = 0; i < outside; ++i) {
        const model::frame& f = frames_[pooled_ + i];
        const auto* const from = reinterpret_cast<const detail::slot*>(f.definition);
        const std::uint64_t bytes = from->frame_bytes.load(std::memory_order_relaxed);
        outside_[i] = {f.address, bytes, f.definition, pooled_ + i};
        outside_records_[i] = f.definition;
    }
    std::ranges::sort(outside_, {}, &outside_frame::address);
    // A frame of unknown length ends where the next begins.
    for (std::size_t i = 0; i < outside_.size(); ++i) {
        if (outside_[i].bytes != 0) continue;
        outside_[i].bytes = unknown_frame_bytes;
        if (i + 1 < outside_.size())
            outside_[i].bytes =
                std::min(unknown_frame_bytes, outside_[i + 1].address - outside_[i].address);
    }
}

/// nullptr: in no chunk of the pool.
frame_index::slab_entry* frame_index::slab_at(std::uint64_t address) const noexcept {
    if (address - lowest_ >= reach_) return nullptr;
    const std::uint64_t chunk = address & ~std::uint64_t{chunk_bytes - 1};
    if (chunk != last_chunk_) {
        const std::size_t number = chunk_of(chunk);
        if (number >= slabs_.size() / slabs_in_chunk) return nullptr;
        last_chunk_ = chunk;
        last_slabs_ = number * slabs_in_chunk;
    }
    return &slabs_[last_slabs_ + (address - chunk) / detail::slab_bytes];
}

std::size_t frame_index::object_number(const slab_entry& slab, std::uint64_t address) noexcept {
    const std::uint64_t offset = address & slab_mask;
    if (offset < detail::slab_header_bytes) return SIZE_MAX;
    // Exact: offsets have 16 bits, and object_bytes 13.
    return static_cast<std::size_t>((offset - detail::slab_header_bytes) * slab.reciprocal >> 32U);
}

std::uint64_t frame_index::object_end(std::uint64_t address) const noexcept {
    const slab_entry* const slab = slab_at(address);
    if (slab == nullptr || slab->objects.empty()) return 0;
    const std::size_t number = object_number(*slab, address);
    if (number >= slab->objects.size()) return 0;
    return (address & ~slab_mask) + detail::slab_header_bytes + (number + 1) * slab->object_bytes;
}

std::size_t frame_index::read_words(std::uint64_t address,
                                    std::span<std::uint64_t> to) const noexcept {
    const std::uint64_t end = (address & 7U) == 0 ? object_end(address) : 0;
    return end != 0 ? read_pooled_words(address, end, to) : sources::read_words(address, to);
}

std::uint64_t frame_index::read_word(std::uint64_t address) const noexcept {
    std::uint64_t word = 0;
    return read_words(address, {&word, 1}) == 1 ? word : 0;
}

std::uint32_t frame_index::outside_at(std::uint64_t address) const noexcept {
    const auto after = std::ranges::upper_bound(outside_, address, {}, &outside_frame::address);
    if (after == outside_.begin()) return model::no_index;
    const outside_frame& before = *(after - 1);
    return address - before.address < before.bytes ? before.index : model::no_index;
}

std::uint32_t frame_index::containing(std::uint64_t address) const noexcept {
    const slab_entry* const slab = slab_at(address);
    if (slab == nullptr) return outside_.empty() ? model::no_index : outside_at(address);
    if (slab->objects.empty()) return model::no_index;
    const std::size_t number = object_number(*slab, address);
    if (number >= slab->objects.size()) return model::no_index;
    // In front of the frame lies its record.
    const std::uint64_t begin = detail::slab_header_bytes + number * slab->object_bytes;
    return (address & slab_mask) - begin >= sizeof(detail::record) ? slab->objects[number]
                                                                   : model::no_index;
}

std::uint32_t frame_index::named(std::uint64_t word) const noexcept {
    if ((word & 7U) != 0 || word < 4096) return model::no_index;
    const std::uint32_t found = containing(word);
    if (found == model::no_index) return found;
    const std::uint64_t distance = word - frames_[found].address;
    if (distance == 0) return found;
    return distance == types_->promise(frames_[found].promise).promise_offset ? found
                                                                              : model::no_index;
}

std::uint64_t frame_index::record_of(std::uint32_t index) const noexcept {
    if (index < pooled_) return frames_[index].address - sizeof(detail::record);
    const std::uint32_t at = index - pooled_;
    return at < outside_records_.size() ? outside_records_[at] : 0;
}

std::uint32_t frame_index::of_record(std::uint64_t record,
                                     std::uint32_t generation) const noexcept {
    const slab_entry* const slab = slab_at(record);
    std::uint32_t found = model::no_index;
    if (slab != nullptr && !slab->objects.empty()) {
        found = containing(record + sizeof(detail::record));
    } else {
        for (std::uint32_t i = 0; i < outside_records_.size(); ++i)
            if (outside_records_[i] == record) found = pooled_ + i;
    }
    if (found == model::no_index || record_of(found) != record) return model::no_index;
    return frames_[found].generation == generation ? found : model::no_index;
}

}  // namespace corodump::sources
