#include "agent/format/fragment_cache.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace corodump::format {
namespace {

/// Slots are an eighth of the memory: a place takes some hundred bytes as text, a slot 24.
constexpr std::size_t slot_share = 8;
constexpr std::size_t text_alignment = 32;  // the step of put_padded

}  // namespace

fragment_cache::fragment_cache(std::span<std::byte> memory) noexcept {
    void* start = memory.data();
    std::size_t size = memory.size();
    if (std::align(text_alignment, text_alignment, start, size) == nullptr) return;
    const std::size_t wanted = size / slot_share / sizeof(slot);
    if (wanted == 0) return;
    const std::size_t count = std::bit_floor(wanted);
    slots_ = static_cast<slot*>(start);
    slot_mask_ = count - 1;
    std::uninitialized_default_construct_n(slots_, count);
    texts_ = static_cast<char*>(start) + count * sizeof(slot);
    text_bytes_ = size - count * sizeof(slot);
}

void fragment_cache::insert(const place_key& key, std::string_view text, bool library) noexcept {
    const std::size_t padded = (text.size() + text_alignment - 1) / text_alignment * text_alignment;
    if (text.empty() || text.size() > max_fragment_bytes || padded > text_bytes_ - used_bytes_)
        return;
    std::size_t at = hash(key);
    for (unsigned probe = 0; probe < max_probes; ++probe, ++at) {
        slot& candidate = slots_[at & slot_mask_];
        if (candidate.size != 0) continue;
        std::memcpy(texts_ + used_bytes_, text.data(), text.size());
        candidate = {key, static_cast<std::uint32_t>(used_bytes_),
                     static_cast<std::uint16_t>(text.size()), library};
        used_bytes_ += padded;
        return;
    }
}

}  // namespace corodump::format
