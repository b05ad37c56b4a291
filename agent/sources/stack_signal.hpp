// Asks threads that run for their registers and a copy of their stack, by a real-time signal of our
// own.
//
// Installed with the agent, used by the threads section for threads that no other way can see. The
// signal carries a ticket (stack_slots.hpp); the handler answers the ticket that still waits, and
// does nothing for any other. A host that handles the signal itself is left alone.
//
// Threads: install and uninstall from one thread at a time, the rest from the watchdog only.
// Signals: unsafe. Blocks: wait, up to its limit. Errors: errno values, as each function says.
// Bounds: stack_slot_count requests at once; 4 MiB of address space, given back after each dump.
#pragma once

#include <cstddef>
#include <cstdint>

#include "agent/sources/stack_slots.hpp"

namespace corodump::sources {

/// 0; EBUSY: the host has a handler for it; EINVAL: no signal that can be caught; ENOMEM.
[[nodiscard]] int install_stack_signal(int signal) noexcept;
/// Gives the action back, unless a signal may still be under way to a thread: then the handler
/// stays, and does nothing.
void uninstall_stack_signal() noexcept;
/// In a forked child: nothing is under way to its threads.
void forget_stack_signals() noexcept;

class stack_requester {
public:
    enum class answer : std::uint8_t { waiting, given, ended };

    /// The signal; 0 where it is off, or the host has taken it over since.
    [[nodiscard]] static int usable_signal() noexcept;
    [[nodiscard]] static bool taken_over() noexcept;

    struct request {
        std::size_t slot = stack_slot_count;
        std::uint64_t ticket = 0;
    };
    /// 0; EBUSY: all slots are in use; ESRCH: no such thread; EAGAIN: over RLIMIT_SIGPENDING.
    [[nodiscard]] static int ask(std::int32_t tid, request& into) noexcept;
    /// `ended`: the thread is gone.
    [[nodiscard]] static answer look(std::int32_t tid, const request& of) noexcept;
    /// What a given answer says; valid until the request is closed.
    [[nodiscard]] static const stack_slot& given(const request& of) noexcept;
    /// Frees the slot; a handler that has claimed it keeps it until it is through.
    static void close(const request& of) noexcept;
    /// Until there is an answer more than `seen`, at most `limit_ns`. Returns how many there are.
    static std::uint32_t wait(std::uint32_t seen, std::int64_t limit_ns) noexcept;
    /// Gives the slots' pages back.
    static void trim() noexcept;
};

}  // namespace corodump::sources
