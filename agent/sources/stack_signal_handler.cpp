// The handler of the stack signal, alone in its object: tests/contract/signal_handler_test.py holds
// what it calls against a list. It runs on a thread of the host's that was in the midst of
// anything, so it copies what it was asked for, wakes the watchdog, and leaves no trace.
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <corodump/detail/abi.hpp>

#include "agent/sources/stack_slots.hpp"

namespace corodump::sources {
namespace {

std::uint64_t stack_pointer(const mcontext_t& registers) noexcept {
#if defined(__x86_64__)
    return static_cast<std::uint64_t>(registers.gregs[REG_RSP]);
#else
    return registers.sp;
#endif
}

/// By the kernel, which stops where the stack's mapping ends; a loop of loads would fault there.
/// Where it refuses, the watchdog reads the stack as it is by then, and says so.
void copy_stack(stack_slot& slot, std::uint64_t from) noexcept {
    const iovec local{slot.stack, sizeof slot.stack};
    const iovec remote{reinterpret_cast<void*>(from), sizeof slot.stack};
    const long self = ::syscall(SYS_gettid);
    const long copied = ::syscall(SYS_process_vm_readv, self, &local, 1UL, &remote, 1UL, 0UL);
    slot.from = from;
    slot.bytes = copied > 0 ? static_cast<std::uint64_t>(copied) : 0;
}

void fill(stack_slot& slot, const ucontext_t& context) noexcept {
    slot.registers = context.uc_mcontext;
    const std::uint64_t sp = stack_pointer(context.uc_mcontext);
    copy_stack(slot, sp - stack_copy::red_zone_bytes);
    if (slot.bytes == 0) copy_stack(slot, sp);
    const detail::thread_state* const thread = corodump_thread_v1;
    slot.thread = thread;
    slot.running = thread->running.load(std::memory_order_relaxed);
}

/// The slot that waits for this signal, now ours; null where none does.
stack_slot* claim(const siginfo_t& info, std::uint64_t& ticket) noexcept {
    stack_slot* const slots = stack_requests.slots.load(std::memory_order_acquire);
    if (info.si_code != SI_QUEUE || slots == nullptr) return nullptr;
    const auto value = reinterpret_cast<std::uintptr_t>(info.si_value.sival_ptr);
    const std::uint64_t index = value & ((1U << slot_index_bits) - 1);
    if (index >= stack_slot_count) return nullptr;
    ticket = value >> slot_index_bits;
    std::uint64_t expected = slot_word(ticket, slot_phase::asked);
    const bool ours = slots[index].word.compare_exchange_strong(
        expected, slot_word(ticket, slot_phase::claimed), std::memory_order_acq_rel);
    return ours ? &slots[index] : nullptr;
}

}  // namespace

extern "C" void corodump_handle_stack_signal(int, siginfo_t* info, void* context) {
    const int saved_errno = errno;
    std::uint64_t ticket = 0;
    if (stack_slot* const slot = claim(*info, ticket)) {
        fill(*slot, *static_cast<const ucontext_t*>(context));
        slot->word.store(slot_word(ticket, slot_phase::answered), std::memory_order_release);
        stack_requests.answers.fetch_add(1, std::memory_order_release);
        ::syscall(SYS_futex, &stack_requests.answers, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
    if (info->si_code == SI_QUEUE) stack_requests.received.fetch_add(1, std::memory_order_release);
    errno = saved_errno;
}

}  // namespace corodump::sources
