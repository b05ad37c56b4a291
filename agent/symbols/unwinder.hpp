// The stack of a stopped thread, from its registers and its memory, by the compiler's own tables.
//
// Called by the thread source on the watchdog, with registers and a copy of the stack that were
// taken of another thread. libunwind does the same under locks and with malloc; this takes neither.
//
//   registers ──┐                          ┌── pc, live, inferred, interrupted
//   stack   ────┼─> row of pc ─> CFA ─> the caller's registers ─> row of its pc ─> …
//   tables  ────┘
//
// One rule stands above all: a stack may end early and say why, it may never look complete and be
// wrong. So a value that depends on an unknown register is unknown, and where the CFA does, the
// stack ends there; with one exception. Where the CFA is `rbp + 16` and only rbp is unknown (the
// usual state of a thread in a system call), rbp is computed from the known rsp by decoding the
// function (prologue.hpp), and believed if the return address found there lies behind a call, in a
// known image, and has tables of its own; every frame beyond is marked as inferred. Scanning the
// stack for words that look like frames was rejected: it was wrong in 70 of 70 hard cases.
//
// The end is `complete` only where the tables say that there is no caller (an undefined return
// address: clone3, _start), or where return address and frame pointer are both 0, which is how
// thread starts without tables mark it (System V ABI 3.4.1).
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: unwound::end, with the frames so far.
// Bounds: into.size() frames; each CFA above the last one, but for signal frames; no recursion.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/symbols/cpu_state.hpp"

namespace corodump::symbols {

class unwind_tables;

/// Where the unwinder gets the words of a stack.
class stack_memory {
public:
    enum class origin : std::uint8_t {
        none,    ///< unreadable
        copied,  ///< from the copy that belongs to the registers
        live,    ///< from memory, which may have changed since
    };
    /// `word` is written unless none comes back. Addresses need not be aligned or on the stack.
    virtual origin read(std::uint64_t address, std::uint64_t& word) noexcept = 0;

protected:
    ~stack_memory() = default;
};

struct native_frame {
    std::uint64_t pc = 0;
    bool live = false;      ///< found with the help of live memory
    bool inferred = false;  ///< lies beyond an inferred frame pointer
    /// The pc is exact and no return address: the first frame, one that a signal interrupted, and a
    /// signal's trampoline. Symbolise the pc; of all others, pc - 1.
    bool interrupted = false;
};

enum class unwind_end : std::uint8_t {
    complete,
    no_cfi,            ///< the last frame's pc has no tables, or none that can be understood
    unknown_register,  ///< the caller depends on a register that is not known
    unreadable,        ///< the caller's place on the stack cannot be read
    no_progress,       ///< the caller's frame does not lie above: a broken stack
    bound,             ///< there is no room for more frames
};

struct unwound {
    std::size_t frames = 0;
    unwind_end end = unwind_end::no_cfi;
    bool inferred = false;  ///< as of the last frame
    bool live = false;
};

class unwinder {
public:
    explicit unwinder(unwind_tables& tables) noexcept : tables_(&tables) {}

    /// `from` must know pc and sp.
    [[nodiscard]] unwound unwind(const cpu_state& from, stack_memory& memory,
                                 std::span<native_frame> into) noexcept;

private:
    unwind_tables* tables_;
};

}  // namespace corodump::symbols
