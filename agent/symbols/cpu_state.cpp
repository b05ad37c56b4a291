#include "agent/symbols/cpu_state.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>

namespace corodump::symbols {
namespace {

#if defined(__x86_64__)
// In the order of DWARF's numbers.
constexpr int context_order[register_count] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                               REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                               REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
// rdi, rsi, rdx, r10, r8, r9 (syscall(2)).
constexpr unsigned argument_order[] = {5, 4, 1, 10, 8, 9};
#else
constexpr unsigned argument_order[] = {0, 1, 2, 3, 4, 5};
#endif

}  // namespace

cpu_state cpu_state::from_ucontext(const ucontext_t& context) noexcept {
    cpu_state made;
#if defined(__x86_64__)
    for (unsigned i = 0; i < register_count; ++i) {
        made.set(i, static_cast<std::uint64_t>(context.uc_mcontext.gregs[context_order[i]]));
    }
#else
    for (unsigned i = 0; i < 31; ++i) made.set(i, context.uc_mcontext.regs[i]);
    made.set(sp_register, context.uc_mcontext.sp);
    made.set(pc_register, context.uc_mcontext.pc);
#endif
    return made;
}

cpu_state cpu_state::from_syscall(std::uint64_t sp, std::uint64_t pc,
                                  std::span<const std::uint64_t> arguments) noexcept {
    cpu_state made;
    made.set(sp_register, sp);
    made.set(pc_register, pc);
    const std::size_t count = std::min(arguments.size(), std::size(argument_order));
    for (std::size_t i = 0; i < count; ++i) made.set(argument_order[i], arguments[i]);
#if defined(__aarch64__)
    made.forget(0);  // the result is written there
#endif
    return made;
}

}  // namespace corodump::symbols
