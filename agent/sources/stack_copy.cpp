#include "agent/sources/stack_copy.hpp"

#include <algorithm>
#include <cstring>

#include "agent/base/safe_copy.hpp"

namespace corodump::sources {

void stack_copy::take(std::uint64_t sp, std::span<std::byte> into) noexcept {
    std::uint64_t from = sp - red_zone_bytes;
    std::size_t copied = base::safe_copy(into.data(), from, into.size());
    if (copied == 0) {  // the stack's lowest page begins between the two
        from = sp;
        copied = base::safe_copy(into.data(), from, into.size());
    }
    adopt(from, into.first(copied));
}

void stack_copy::adopt(std::uint64_t address, std::span<const std::byte> copied) noexcept {
    address_ = address;
    copied_ = copied;
    page_size_ = 0;
}

symbols::stack_memory::origin stack_copy::read(std::uint64_t address,
                                               std::uint64_t& word) noexcept {
    const std::uint64_t offset = address - address_;
    if (address >= address_ && offset < copied_.size() && copied_.size() - offset >= sizeof word) {
        std::memcpy(&word, copied_.data() + offset, sizeof word);
        return origin::copied;
    }
    return read_live(address, word) ? origin::live : origin::none;
}

bool stack_copy::read_live(std::uint64_t address, std::uint64_t& word) noexcept {
    const std::uint64_t offset = address % page_bytes;
    if (offset > page_bytes - sizeof word) return base::safe_read(word, address);
    if (page_size_ == 0 || page_address_ != address - offset) {
        page_address_ = address - offset;
        page_size_ = base::safe_copy(page_, page_address_, page_bytes);
    }
    if (page_size_ < offset + sizeof word) return false;
    std::memcpy(&word, page_ + offset, sizeof word);
    return true;
}

}  // namespace corodump::sources
