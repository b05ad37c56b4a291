// Runs the call frame program of one function, row by row.
//
// Used by the unwind tables for one row, and by the prologue decoder, which walks a function's code
// and its rows side by side: each advance goes on where the last one stopped.
//
//   CIE program ─> initial rules ─┬─> FDE program ── advance_loc ──> row of [begin, …)
//                                 │                ── advance_loc ──> row of […, …)
//                                 └── restore                      …
//
// Nothing outside the bytes of the two entries is read: the fuzzer runs this as it is.
//
// Threads: one owner. Signals: unsafe (8 KB of stack). Blocks: never. Errors: false; an opcode that
// is not known, a register of the CFA that is none, remembering too deep. Bounds: the programs'
// bytes; max_remembered.
#pragma once

#include <cstdint>

#include "agent/symbols/dwarf_cursor.hpp"
#include "agent/symbols/eh_frame.hpp"
#include "agent/symbols/unwind_row.hpp"

namespace corodump::symbols {

/// Compilers nest none; hand-written assembly was seen to nest two.
inline constexpr unsigned max_remembered = 8;

class cfi_program {
public:
    /// The entries' bytes must outlive this object.
    explicit cfi_program(const function_entry& function) noexcept;

    /// To the row that holds `address`, which must not lie before the last one, and must be in the
    /// function. False for good once something was not understood.
    [[nodiscard]] bool advance_to(std::uint64_t address) noexcept;

    [[nodiscard]] const cfa_rule& cfa() const noexcept { return now_.cfa; }
    /// The rule of one register.
    [[nodiscard]] register_rule rule(unsigned index) const noexcept { return now_.rules[index]; }
    /// The current row in the form that is cached.
    void copy_row(unwind_row& into) const noexcept;

private:
    struct state {
        cfa_rule cfa;
        bool signed_return = false;
        register_rule rules[register_count];
    };

    [[nodiscard]] bool run(dwarf_cursor& at, std::uint64_t until) noexcept;
    void step(dwarf_cursor& at, std::uint8_t opcode) noexcept;
    void define_cfa(dwarf_cursor& at, std::uint8_t opcode) noexcept;
    void set_rule(dwarf_cursor& at, std::uint8_t opcode) noexcept;
    void move(dwarf_cursor& at, std::uint64_t units) noexcept;
    void move_to(dwarf_cursor& at, std::uint64_t address) noexcept;
    void set_base(dwarf_cursor& at, std::uint64_t index) noexcept;
    void set(std::uint64_t index, rule_kind kind, std::int64_t value,
             std::uint64_t size = 0) noexcept;
    void restore(std::uint64_t index) noexcept;
    void remember(dwarf_cursor& at) noexcept;
    void recall(dwarf_cursor& at) noexcept;
    [[nodiscard]] std::int64_t scaled(std::int64_t units) const noexcept;

    const function_entry* function_;
    dwarf_cursor at_;
    std::uint64_t location_;
    std::uint64_t next_;  // where the next row begins; location_ while there is none
    bool good_ = true;
    bool in_cie_ = true;
    unsigned remembered_ = 0;
    state now_;
    state initial_;
    state stack_[max_remembered];
};

}  // namespace corodump::symbols
