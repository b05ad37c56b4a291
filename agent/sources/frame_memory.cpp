#include "agent/sources/frame_memory.hpp"

#include <corodump/detail/abi.hpp>

#include "agent/base/safe_copy.hpp"
#include "agent/sources/pool.hpp"

namespace corodump::sources {
namespace {

// The host writes these words meanwhile; the caller checks the record afterwards. The sanitizers
// are told to look away here and only here: the race is the design, and its outcome is verified.
__attribute__((no_sanitize("address", "thread", "undefined"))) void copy_in_place(
    std::uint64_t address, std::uint64_t* to, std::size_t count) noexcept {
    const auto* const from = reinterpret_cast<const volatile std::uint64_t*>(address);
    for (std::size_t i = 0; i < count; ++i) to[i] = from[i];
}

__attribute__((no_sanitize("address", "thread", "undefined"))) void copy_bytes_in_place(
    std::uint64_t address, unsigned char* to, std::size_t count) noexcept {
    const auto* const from = reinterpret_cast<const volatile unsigned char*>(address);
    for (std::size_t i = 0; i < count; ++i) to[i] = from[i];
}

}  // namespace

bool read_bytes(std::uint64_t address, void* to, std::size_t bytes) noexcept {
    const object_place place = place_of(address);
    if (place.slab == nullptr || address + bytes > place.begin + place.slab->object_bytes)
        return base::safe_copy(to, address, bytes) == bytes;
    copy_bytes_in_place(address, static_cast<unsigned char*>(to), bytes);
    return true;
}

std::size_t read_words(std::uint64_t address, std::span<std::uint64_t> to) noexcept {
    const object_place place = place_of(address);
    if (place.slab == nullptr || (address & 7U) != 0)
        return base::safe_copy(to.data(), address, to.size_bytes()) / sizeof(std::uint64_t);
    return read_pooled_words(address, place.begin + place.slab->object_bytes, to);
}

std::size_t read_pooled_words(std::uint64_t address, std::uint64_t end,
                              std::span<std::uint64_t> to) noexcept {
    const std::size_t fits = static_cast<std::size_t>(end - address) / sizeof(std::uint64_t);
    const std::size_t count = to.size() < fits ? to.size() : fits;
    copy_in_place(address, to.data(), count);
    return count;
}

void read_own_words(std::uint64_t address, std::span<std::uint64_t> to) noexcept {
    copy_in_place(address, to.data(), to.size());
}

std::uint64_t read_word(std::uint64_t address) noexcept {
    std::uint64_t word = 0;
    return read_words(address, {&word, 1}) == 1 ? word : 0;
}

bool unchanged(const model::frame& copy, std::uint64_t record_address) noexcept {
    const auto* const now = reinterpret_cast<const detail::record*>(record_address);
    return now->generation.load(std::memory_order_acquire) == copy.generation &&
           now->sequence.load(std::memory_order_acquire) == copy.resumes;
}

}  // namespace corodump::sources
