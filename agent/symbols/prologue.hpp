// Computes a frame pointer that is not known from the stack pointer, which is.
//
// Called by the unwinder for a thread in a system call, of which the kernel tells sp and pc only,
// when the tables say `CFA = rbp + 16`. How far rsp lies below is in the code, not in the tables:
//
//   push %rbp │ mov %rsp,%rbp │ push %r15 … push %rbx │ sub $88,%rsp │ body │ lea/add, pops, ret
//   depth 8     16              16 + 8 for each         + 88           const  ignored
//
// The whole function is decoded, and anything else is refused: a push that the tables do not name,
// any other write to rsp in the body (alloca, variable arrays, aligned stacks, arguments that are
// pushed), a second prologue, a function in parts, an instruction that is not understood. Whoever
// refuses too much cuts a stack short; whoever refuses too little makes one up.
//
// On aarch64 nothing is inferred: frame pointer and sp are both saved, and the tables use sp.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: nothing. Bounds: one pass over a
// function of at most max_decoded_bytes; the answer is kept in the row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "agent/symbols/unwind_row.hpp"
#include "agent/symbols/unwind_tables.hpp"

namespace corodump::symbols {

inline constexpr std::uint64_t max_decoded_bytes = std::uint64_t{1} << 16;

/// CFA minus sp at the instruction that holds `address`, which is a call unless `interrupted`.
/// `row` is that address's row.
[[nodiscard]] std::optional<std::uint64_t> infer_frame_depth(unwind_tables& tables, unwind_row& row,
                                                             std::uint64_t address,
                                                             bool interrupted) noexcept;

/// Whether a return address can be one: it lies in an image's code, behind a call, and has tables.
[[nodiscard]] bool follows_call(unwind_tables& tables, std::uint64_t return_address) noexcept;

}  // namespace corodump::symbols
