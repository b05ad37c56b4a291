// How long an x86-64 instruction is, and what it does to the stack pointer.
//
// Used by the prologue decoder. It knows no operands but those that concern rsp, and no
// instructions by name: lengths follow from the opcode maps (Intel SDM volume 2, appendix A).
//
// Threads: any. Signals: safe. Blocks: never. Errors: effect::unknown, length 0. Bounds: 15 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace corodump::symbols {

inline constexpr std::size_t max_instruction_bytes = 15;

struct x86_instruction {
    enum class effect : std::uint8_t {
        none,        ///< rsp stays
        push,        ///< of the register `operand` (DWARF's number)
        push_other,  ///< of something else
        pop,
        lower,         ///< rsp -= operand (a negative one: rsp += …)
        from_frame,    ///< rsp = rbp + operand
        leave,         ///< rsp = rbp, pop
        set_frame,     ///< rbp = rsp
        writes_stack,  ///< any other write to rsp
        call,          ///< comes back with rsp as it was
        branch,        ///< conditional
        jump,          ///< does not go on behind it: jmp, ret, ud2 …
        unknown,       ///< not understood
    };

    effect what = effect::unknown;
    std::uint8_t length = 0;
    std::int64_t operand = 0;
};

/// `bytes` may begin with more than the instruction, or hold less of it: unknown then.
[[nodiscard]] x86_instruction decode_x86(std::span<const std::uint8_t> bytes) noexcept;

}  // namespace corodump::symbols
