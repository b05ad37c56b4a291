// Exceptions that leave coroutines: the last 256, with who awaited whom at that moment.
//
//   host's thread, in the handler ── corodump_failed_v1 ──> ring of facts   (never changes)
//            await_resume threw   ── corodump_observed_v1 ─> state of the slot
//            the frame ends       ── corodump_lost_v1 ─────> state of the slot ──> user's handler
//                                                             └──> watchdog's tick: one log line
//
// One exception that passes through several coroutines is one failure, whose chain is that of the
// first: it is known by its object's address while some coroutine has it (`holder`), and by the
// coroutine that got it before it fails itself (`observer`: it awaited, or it resumed the one that
// threw on). An address alone would be that of a later exception as well.
//
// Threads: the C functions by any; the rest by the watchdog. Signals: unsafe. Blocks: the pool's
// own lock for the failed frame's side record. Errors: a failure that is dropped is counted.
// Bounds: 256 failures of 64 frames, 127 bytes of a type's name, 511 of a message.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "agent/base/fact_ring.hpp"
#include "agent/sources/await_walk.hpp"

namespace corodump::sources {

struct failure_step {
    std::uint64_t site, definition;
};

struct failure_facts {
    static constexpr std::size_t max_labels = detail::side_record::max_labels;

    std::int64_t time_unix_ns;
    std::uint64_t task_address;
    std::uint64_t library;  ///< bit i: chain[i] is a library's
    std::uint32_t task_generation;
    std::uint32_t throw_stack;  ///< for frames_of_throw; 0: none
    std::uint32_t chain_length;
    std::uint32_t label_count;
    std::uint32_t has_message;
    std::uint32_t reserved;
    failure_step chain[max_awaiters];  ///< innermost first
    char type[128];                    ///< mangled, terminated as all text here
    char message[512];
    char name[88];
    struct {
        char name[32];
        char value[96];
    } labels[max_labels];
};

enum class failure_state : std::uint32_t {
    open,      ///< nobody had it yet, and its task is there still
    observed,  ///< somebody had it
    lost,      ///< its task is gone; to be logged
    told,      ///< logged
};

struct failure_slot {
    std::atomic<const void*> exception;
    std::atomic<const detail::record*> holder;
    std::atomic<const detail::record*> observer;
    std::atomic<std::uint32_t> holder_generation;
    std::atomic<std::uint32_t> observer_generation;
    std::atomic<std::uint32_t>
        references;  ///< to the exception before the promise had it; 0: unknown
    std::atomic<std::uint64_t> identity;  ///< of type and message
    std::atomic<bool> awaited;            ///< the holder
    std::atomic<failure_state> state;
};

using failure_ring = base::fact_ring<failure_facts, 256>;
[[nodiscard]] const failure_ring& failures() noexcept;
/// Of the failure `number`; only with a read() of the same after it.
[[nodiscard]] failure_state state_of_failure(std::uint64_t number) noexcept;

/// Whether failures are noted at all.
void note_failures(bool wanted) noexcept;

/// Calls `tell(facts)` for each failure that was lost and not told yet, at most `limit`, and says
/// how many more there are. Nothing to do is one load.
using tell_failure = void (*)(const failure_facts& what) noexcept;
std::uint64_t tell_lost_failures(tell_failure tell, std::uint64_t limit) noexcept;

}  // namespace corodump::sources
