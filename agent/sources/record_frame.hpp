// From a record to its frame, which lies right behind it, or where its slot says.
//
// Threads: any. Signals: safe. Blocks: never. Errors: of the sink, which belongs to no frame, 0.
#pragma once

#include <corodump/detail/abi.hpp>
#include <cstdint>

namespace corodump::sources {

/// Of a record that lies in the pool.
[[nodiscard]] inline detail::slab_header* slab_of(const detail::record* own) noexcept {
    return reinterpret_cast<detail::slab_header*>(reinterpret_cast<std::uintptr_t>(own) &
                                                  ~(detail::slab_bytes - 1));
}

[[nodiscard]] inline bool is_sink(const detail::record* own) noexcept {
    return own == &corodump_sink_v1.tracked;
}

/// nullptr: a pooled frame's record, or the sink.
[[nodiscard]] inline detail::slot* slot_of(detail::record* own) noexcept {
    const bool outside = !is_sink(own) && slab_of(own)->kind == detail::slab_kind::slots;
    return outside ? reinterpret_cast<detail::slot*>(own) : nullptr;
}
[[nodiscard]] inline const detail::slot* slot_of(const detail::record* own) noexcept {
    return slot_of(const_cast<detail::record*>(own));
}

[[nodiscard]] inline std::uint64_t frame_of(const detail::record* own) noexcept {
    if (is_sink(own)) return 0;
    if (const detail::slot* const outside = slot_of(own)) [[unlikely]]
        return reinterpret_cast<std::uint64_t>(outside->frame.load(std::memory_order_acquire));
    return reinterpret_cast<std::uint64_t>(own + 1);
}

}  // namespace corodump::sources
