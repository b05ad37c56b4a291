#include "agent/sources/frame_index.hpp"

#include <algorithm>
#include <corodump/detail/abi.hpp>

#include "agent/sources/pool.hpp"

namespace corodump::sources {
namespace {

constexpr std::uint64_t unknown_frame_bytes = std::uint64_t{64} * 1024;

std::size_t slab_number(std::uint64_t address) noexcept {
    const std::size_t chunk = chunk_of(address);
    if (chunk == max_chunks) return SIZE_MAX;
    return chunk * slabs_in_chunk + (address - chunk_at(chunk)) / detail::slab_bytes;
}

}  // namespace

frame_index::frame_index(base::arena& memory, std::span<const model::frame> frames,
                         std::uint32_t outside, type_facts& types) noexcept
    : frames_(frames),
      pooled_(static_cast<std::uint32_t>(frames.size()) - outside),
      slabs_(memory.allocate_span<std::span<std::uint32_t>>(chunk_count() * slabs_in_chunk)),
      types_(&types) {
    for (std::uint32_t i = 0; i < pooled_; ++i) {
        const object_place place = place_of(frames[i].address - sizeof(detail::record));
        if (place.slab == nullptr) continue;
        const std::size_t number = slab_number(frames[i].address);
        if (number >= slabs_.size()) continue;
        std::span<std::uint32_t>& objects = slabs_[number];
        if (objects.empty()) {
            objects = memory.allocate_uninitialized<std::uint32_t>(place.slab->capacity);
            std::ranges::fill(objects, model::no_index);
        }
        if (place.index < objects.size()) objects[place.index] = i;
    }
    outside_ = memory.allocate_span<outside_frame>(outside);
    outside_records_ = memory.allocate_span<std::uint64_t>(outside);
    if (outside_.size() != outside || outside_records_.size() != outside) {
        outside_ = {};
        return;
    }
    for (std::uint32_t i = 0; i < outside; ++i) {
        const model::frame& f = frames[pooled_ + i];
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

std::uint32_t frame_index::outside_at(std::uint64_t address) const noexcept {
    const auto after = std::ranges::upper_bound(outside_, address, {}, &outside_frame::address);
    if (after == outside_.begin()) return model::no_index;
    const outside_frame& before = *(after - 1);
    return address - before.address < before.bytes ? before.index : model::no_index;
}

std::uint32_t frame_index::containing(std::uint64_t address) const noexcept {
    const std::size_t number = slab_number(address);
    if (number == SIZE_MAX) return outside_.empty() ? model::no_index : outside_at(address);
    if (number >= slabs_.size() || slabs_[number].empty()) return model::no_index;
    const object_place place = place_of(address);
    if (place.slab == nullptr || place.index >= slabs_[number].size()) return model::no_index;
    const std::uint32_t found = slabs_[number][place.index];
    return found != model::no_index && address >= frames_[found].address ? found : model::no_index;
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
    const std::size_t number = slab_number(record);
    std::uint32_t found = model::no_index;
    if (number != SIZE_MAX && number < slabs_.size() && !slabs_[number].empty()) {
        found = containing(record + sizeof(detail::record));
    } else {
        for (std::uint32_t i = 0; i < outside_records_.size(); ++i)
            if (outside_records_[i] == record) found = pooled_ + i;
    }
    if (found == model::no_index || record_of(found) != record) return model::no_index;
    return frames_[found].generation == generation ? found : model::no_index;
}

}  // namespace corodump::sources
