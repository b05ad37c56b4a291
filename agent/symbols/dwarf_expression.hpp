// Evaluates the DWARF expressions of unwind tables.
//
// Called by the unwinder where a row has one: PLT stubs (is the return address pushed already?),
// signal trampolines (registers in the kernel's frame), functions that align their stack.
//
// Threads: any. Signals: unsafe. Blocks: never. Errors: the end that it means for the stack; the
// value is not to be used. Bounds: max_expression_bytes, max_expression_steps, a stack of
// max_expression_depth.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "agent/symbols/cpu_state.hpp"
#include "agent/symbols/unwinder.hpp"

namespace corodump::symbols {

inline constexpr std::size_t max_expression_bytes = 256;
inline constexpr unsigned max_expression_steps = 256;
inline constexpr unsigned max_expression_depth = 32;

/// A value of the caller's, or why there is none.
struct found_value {
    std::uint64_t value = 0;
    unwind_end why = unwind_end::no_cfi;
    bool known = false;
    bool live = false;  ///< depends on live memory
};

/// `pushed` is on the stack at the beginning: the CFA, for a register's rule.
[[nodiscard]] found_value evaluate_expression(std::span<const std::uint8_t> bytes,
                                              const cpu_state& registers, stack_memory& memory,
                                              std::optional<std::uint64_t> pushed) noexcept;

}  // namespace corodump::symbols
