// What the watchdog and the handler of the stack signal share: one slot for each thread that is
// asked to copy its own stack.
//
// A slot's word says whose turn it is. Each request has a ticket of its own, so a handler that
// comes late, or a signal that is not ours, finds no slot that waits for it:
//
//            ask                   handler                  handler, when all is copied
//   free ──────────> asked ───────────────────> claimed ───────────────────────────────> answered
//    ^  <───────────── │ give up (CAS)             │ (given up: stays claimed, so unused,       │
//    │                                             │  until the handler is through)             │
//    └─────────────────────────────────── taken over by the watchdog ─────────────────────────┘
//
// The memory is never unmapped: a handler may be stopped at any place for any time.
//
// Threads: words are atomic; the rest belongs to whom the word says. Signals: safe.
#pragma once

#include <signal.h>
#include <sys/ucontext.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "agent/sources/stack_copy.hpp"

namespace corodump::sources {

enum class slot_phase : std::uint64_t { free = 0, asked = 1, claimed = 2, answered = 3 };

[[nodiscard]] constexpr std::uint64_t slot_word(std::uint64_t ticket, slot_phase phase) noexcept {
    return ticket << 2U | static_cast<std::uint64_t>(phase);
}
[[nodiscard]] constexpr slot_phase phase_of(std::uint64_t word) noexcept {
    return static_cast<slot_phase>(word & 3U);
}

struct stack_slot {
    std::atomic<std::uint64_t> word{0};
    mcontext_t registers;
    std::uint64_t from;      ///< address of the first copied byte
    std::uint64_t bytes;     ///< 0: nothing could be copied
    const void* thread;      ///< the thread's detail::thread_state
    std::uintptr_t running;  ///< its `running`
    alignas(64) std::byte stack[stack_copy::max_bytes];
};

inline constexpr std::size_t stack_slot_count = 64;
inline constexpr unsigned slot_index_bits = 8;  ///< of the signal's value; the rest is the ticket

struct stack_slots {
    std::atomic<stack_slot*> slots{nullptr};
    /// Counts the answers: the watchdog sleeps on it.
    std::atomic<std::uint32_t> answers{0};
    /// Handlers that have run, against the signals sent: the difference may still be pending.
    std::atomic<std::uint64_t> received{0};
};
inline constinit stack_slots stack_requests;

}  // namespace corodump::sources

extern "C" void corodump_handle_stack_signal(int signal, siginfo_t* info, void* context);
