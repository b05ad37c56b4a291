// The stack of the calling thread by its frame pointers: for those who need one in some 20 ns.
//
//   frame pointer ─> [caller's frame pointer][return address]
//                     └────────────> [its caller's][return address] ...
//
// Reads only between `from` and `end`, upwards: memory of the thread's own stack that is in use.
// Code without frame pointers has something else in the register; then the chain ends early, or
// leaves out or adds frames, all within these bounds.
//
// Threads: the thread whose stack it is. Signals: safe. Blocks: never. Bounds: the size of `into`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace corodump::sources {

struct walked {
    std::size_t depth = 0;
    std::uint64_t hash = 0;  ///< of the addresses

    void add(std::uintptr_t address, std::span<std::uintptr_t> into) noexcept {
        into[depth++] = address;
        // Slower to compute than to wait for the next load, and well spread where it matters: in
        // the high bits.
        hash = (hash ^ address) * 0x9e3779b97f4a7c15U;
    }
};

/// Return addresses, innermost first. A sanitizer would take what lies around locals for a mistake.
__attribute__((no_sanitize("address", "undefined"))) inline walked walk_stack(
    std::uintptr_t from, std::uintptr_t end, std::span<std::uintptr_t> into) noexcept {
    constexpr std::size_t pair_bytes = 2 * sizeof(std::uintptr_t);
    walked result;
    while (result.depth < into.size() && end - from >= pair_bytes && from < end &&
           from % sizeof(std::uintptr_t) == 0) {
        const auto* const pair = reinterpret_cast<const std::uintptr_t*>(from);
        const std::uintptr_t next = pair[0];
        const std::uintptr_t address = pair[1];
        if (address == 0) break;
        result.add(address, into);
        if (next <= from) break;
        from = next;
    }
    return result;
}

}  // namespace corodump::sources
