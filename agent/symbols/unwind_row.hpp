// What the tables say of one pc: where the caller's registers are.
//
// Made by the CFI program, kept in the unwind tables' cache, applied by the unwinder. DWARF 5, 6.4,
// calls it a row of the table.
//
// Threads, Signals: plain data. Bounds: one rule for each register.
#pragma once

#include <cstdint>

#include "agent/symbols/cpu_state.hpp"

namespace corodump::symbols {

enum class rule_kind : std::uint8_t {
    unspecified,  ///< no rule: the same value where a call preserves the register
    undefined,    ///< lost; of the return address: there is no caller
    same_value,
    at_offset,      ///< in memory at CFA + value
    is_offset,      ///< CFA + value itself
    in_register,    ///< in the register numbered value
    at_expression,  ///< in memory where the expression says
    is_expression,  ///< the expression's result
};

/// An expression's bytes stay in the image: `value` is their address, `size` their number.
struct register_rule {
    std::int64_t value = 0;
    std::uint32_t size = 0;
    rule_kind kind = rule_kind::unspecified;
    std::uint8_t target = 0;  ///< the register it is for
};

struct cfa_rule {
    std::int64_t value = 0;  ///< offset, or an expression's address
    std::uint32_t size = 0;  ///< of the expression
    std::uint8_t base = 0;   ///< register
    bool expression = false;
    bool valid = false;
};

/// CFA minus sp at this pc as the function's code tells it, where the tables do not.
struct frame_depth {
    enum class answer : std::uint8_t { unasked, refused, found };
    answer state = answer::unasked;
    std::uint32_t bytes = 0;
};

struct unwind_row {
    cfa_rule cfa;
    register_rule return_address;
    bool signal_frame = false;
    bool signed_return = false;  ///< aarch64: the return address carries an authentication code
    std::uint8_t count = 0;      ///< rules of all registers but the return address
    frame_depth depth = {};
    register_rule rules[register_count];
};

}  // namespace corodump::symbols
