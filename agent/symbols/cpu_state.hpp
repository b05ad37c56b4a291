// The registers of a stopped thread as DWARF numbers them, and which of them are known.
//
// Made by the thread source, from a signal's ucontext or from /proc/<pid>/task/<tid>/syscall, and
// carried from frame to frame by the unwinder. A register whose value nobody told us is unknown,
// and stays so until a frame is found to have saved it: nothing is computed from a guess.
//
//   x86-64   0 rax  1 rdx  2 rcx  3 rbx  4 rsi  5 rdi  6 rbp  7 rsp  8-15 r8-r15  16 return address
//   aarch64  0-30 x0-x30 (29 frame pointer, 30 link register)  31 sp  32 pc (ours, not DWARF's)
//
// The aarch64 half follows the ABI's document (aadwarf64) and compiles; it has not run on a
// machine.
//
// Threads: any. Signals: safe. Blocks: never. Errors: none. Bounds: register_count.
#pragma once

#include <ucontext.h>

#include <cstdint>
#include <span>

namespace corodump::symbols {

#if defined(__x86_64__)
inline constexpr unsigned register_count = 17;
inline constexpr unsigned pc_register = 16;
inline constexpr unsigned sp_register = 7;
inline constexpr unsigned frame_pointer_register = 6;
/// Those that a call leaves as they were: rbx, rbp, r12-r15 (System V ABI, figure 3.4).
inline constexpr std::uint64_t preserved_registers = 0xf048;
#elif defined(__aarch64__)
inline constexpr unsigned register_count = 33;
inline constexpr unsigned pc_register = 32;
inline constexpr unsigned sp_register = 31;
inline constexpr unsigned frame_pointer_register = 29;
/// x19-x29 (AAPCS64 6.1.1).
inline constexpr std::uint64_t preserved_registers = 0x3ff80000;
#else
#error "corodump unwinds x86-64 and aarch64"
#endif

struct cpu_state {
    std::uint64_t value[register_count] = {};
    std::uint64_t known = 0;  ///< a bit for each register

    [[nodiscard]] bool knows(unsigned index) const noexcept {
        return index < register_count && (known >> index & 1) != 0;
    }
    void set(unsigned index, std::uint64_t to) noexcept {
        value[index] = to;
        known |= std::uint64_t{1} << index;
    }
    void forget(unsigned index) noexcept { known &= ~(std::uint64_t{1} << index); }
    [[nodiscard]] std::uint64_t pc() const noexcept { return value[pc_register]; }
    [[nodiscard]] std::uint64_t sp() const noexcept { return value[sp_register]; }

    /// All registers, as the kernel saved them for a signal handler.
    [[nodiscard]] static cpu_state from_ucontext(const ucontext_t& context) noexcept;
    /// A thread that is inside of a system call: the kernel tells sp, pc and the call's arguments,
    /// which are in registers still (vfork keeps its return address in the first). `arguments`
    /// beyond six are ignored; leave them out where they are not to be trusted.
    [[nodiscard]] static cpu_state from_syscall(
        std::uint64_t sp, std::uint64_t pc, std::span<const std::uint64_t> arguments = {}) noexcept;
};

}  // namespace corodump::symbols
