// How many hold an exception object, by the header that the C++ runtime keeps before it.
//
// The Itanium C++ ABI has no such function, and its header's layout is the runtime's own; but those
// of libstdc++ and libc++abi have not changed for as long as they know exception_ptr, and each says
// whose it is in the exception's class. On 64-bit machines, before the object:
//
//   -128 libstdc++: int references          -120 libc++abi: size_t references
//    -32 class: "GNUCC++\0" or "CLNGC++\0", as a number
//
// Threads: whoever holds a reference itself. Signals: safe. Blocks: never. Errors: 0, not known.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace corodump::sources {

[[nodiscard]] inline std::uint32_t exception_references(const void* exception) noexcept {
    static_assert(sizeof(void*) == 8);
    constexpr std::uint64_t gnu = 0x474e5543432b2b00U;
    constexpr std::uint64_t llvm = 0x434c4e47432b2b00U;
    if (exception == nullptr) return 0;
    const auto object = reinterpret_cast<std::uintptr_t>(exception);
    const std::uint64_t owner = *reinterpret_cast<const std::uint64_t*>(object - 32);
    if (owner == gnu)
        return static_cast<std::uint32_t>(
            __atomic_load_n(reinterpret_cast<const int*>(object - 128), __ATOMIC_RELAXED));
    if (owner == llvm)
        return static_cast<std::uint32_t>(
            __atomic_load_n(reinterpret_cast<const std::size_t*>(object - 120), __ATOMIC_RELAXED));
    return 0;
}

}  // namespace corodump::sources
