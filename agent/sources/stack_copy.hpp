// The stack of a thread as its unwinder sees it: a copy, and live memory beyond.
//
// Filled by the watchdog for a blocked thread, or by a running thread's own signal handler.
//
//   from - red zone    [ copy ........................ ]    live, by safe_copy, one page at a time
//        ^ from                                        ^ end
//
// Threads: one owner. Signals: safe. Blocks: never. Errors: origin::none.
// Bounds: max_bytes of copy; one page of live memory is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/symbols/unwinder.hpp"

namespace corodump::sources {

class stack_copy final : public symbols::stack_memory {
public:
    static constexpr std::size_t max_bytes = std::size_t{64} * 1024;
    /// Below the stack pointer a leaf function may keep what it saved (System V ABI 3.2.2).
    static constexpr std::size_t red_zone_bytes = 128;

    /// Copies from memory what lies from `sp` on, less where that is not mapped.
    void take(std::uint64_t sp, std::span<std::byte> into) noexcept;
    /// A copy that another made; its first byte comes from `address`.
    void adopt(std::uint64_t address, std::span<const std::byte> copied) noexcept;

    origin read(std::uint64_t address, std::uint64_t& word) noexcept override;

    [[nodiscard]] std::size_t copied_bytes() const noexcept { return copied_.size(); }

private:
    static constexpr std::size_t page_bytes = 4096;

    [[nodiscard]] bool read_live(std::uint64_t address, std::uint64_t& word) noexcept;

    std::uint64_t address_ = 0;
    std::span<const std::byte> copied_;
    std::uint64_t page_address_ = 0;
    std::size_t page_size_ = 0;  ///< readable bytes of the page
    std::byte page_[page_bytes];
};

}  // namespace corodump::sources
