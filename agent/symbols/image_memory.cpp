#include "agent/symbols/image_memory.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/base/safe_copy.hpp"

namespace corodump::symbols {
namespace {

// The smallest page of any Linux: a copy within it is whole or fails.
constexpr std::size_t page_bytes = 4096;

}  // namespace

image_memory::image_memory(base::arena& memory) noexcept
    : tags_(memory.allocate_span<std::uint64_t>(image_pages)),
      bytes_(memory.allocate_uninitialized<std::uint8_t>(image_pages * page_bytes)) {
    if (bytes_.empty()) tags_ = {};
}

const std::uint8_t* image_memory::page(std::uint64_t number) noexcept {
    if (tags_.empty()) return nullptr;
    const std::size_t slot = static_cast<std::size_t>(number % image_pages);
    std::uint8_t* const bytes = bytes_.data() + slot * page_bytes;
    if (tags_[slot] == number + 1) return bytes;
    tags_[slot] = 0;
    if (base::safe_copy(bytes, number * page_bytes, page_bytes) != page_bytes) return nullptr;
    tags_[slot] = number + 1;
    return bytes;
}

std::size_t image_memory::read_some(std::uint64_t address, std::span<std::uint8_t> into) noexcept {
    std::size_t done = 0;
    while (done < into.size()) {
        std::uint64_t at = 0;
        if (__builtin_add_overflow(address, done, &at)) break;
        const std::uint8_t* const bytes = page(at / page_bytes);
        if (bytes == nullptr) break;
        const std::size_t offset = static_cast<std::size_t>(at % page_bytes);
        const std::size_t part = std::min(into.size() - done, page_bytes - offset);
        std::memcpy(into.data() + done, bytes + offset, part);
        done += part;
    }
    return done;
}

bool image_memory::read(std::uint64_t address, void* into, std::size_t size) noexcept {
    return read_some(address, std::span(static_cast<std::uint8_t*>(into), size)) == size;
}

}  // namespace corodump::symbols
