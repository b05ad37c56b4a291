// The contract between loop_monitor.hpp, which is compiled into services, and the agent's library:
// what a loop's threads write while they run callbacks, and what the watchdog reads of it.
//
//   loop (id) ──< slot, one for each of its threads: began, count, ...   the thread writes
//                                                      └── the watchdog reads at its tick
//
// A slot belongs to one thread and one loop at a time, so no counter is shared between threads.
// Slots lie in memory of the agent's that is never unmapped: the watchdog reads them at any time.
//
// Threads: a slot is written by its thread; corodump_loop_* as each says. Signals: unsafe.
// Blocks: begin and end never; open, close and attach on a lock of the agent's own.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "abi.hpp"

namespace corodump {
inline namespace abi_v1 {
namespace detail {

enum loop_flags : std::uint32_t { loop_is_precise = 1 };
/// `loop_slot::mode` counts the callbacks around the innermost in steps of it.
inline constexpr std::uint32_t loop_nested_step = 2;

struct alignas(64) loop_slot {
    /// Bounds of 15.625 us times a power of two, so that one of them is the tick's 8 ms.
    static constexpr unsigned histogram_size = 22;

    std::atomic<std::uint64_t> loop;  ///< its id, never used twice; ~0: nobody's
    /// 0: in no callback; else the clock when it began: corodump_clock_v1, or ns where precise.
    std::atomic<std::uint64_t> began;
    std::atomic<std::uint64_t> count;  ///< callbacks that have ended
    std::atomic<std::uint32_t> mode;   ///< loop_flags, and loop_nested_step times the depth
    std::atomic<std::int32_t> thread;  ///< 0: it has ended
    /// Not 0: `began` is in ns, and up to so many ns from there on are waiting.
    std::atomic<std::uint64_t> wait_ns;
    // From here on only of callbacks that saw the clock move.
    std::atomic<std::uint64_t> sum_ns;
    std::atomic<std::uint64_t> longest_ns;
    std::atomic<std::uint64_t> over_threshold;
    std::atomic<std::uint64_t> stalled;  ///< `count` + 1 while the watchdog saw this one stall
    std::atomic<std::uint64_t> histogram[histogram_size];  ///< without those below one tick
};

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump

extern "C" {
/// The slot that this thread used last; of a thread that has none, one that is nobody's.
extern CORODUMP_API __thread corodump::detail::loop_slot* corodump_loop_slot_v1
    __attribute__((tls_model("initial-exec")));

/// A new loop's id; 0: there are too many. `threshold_ns` 0: the agent's. Texts are cut.
CORODUMP_API std::uint64_t corodump_loop_open_v1(const char* name, std::size_t name_bytes,
                                                 const char* kind, std::size_t kind_bytes,
                                                 std::uint64_t threshold_ns,
                                                 std::uint32_t flags) noexcept;
/// None of its threads may be in a callback.
CORODUMP_API void corodump_loop_close_v1(std::uint64_t loop) noexcept;
/// This thread's slot for the loop, made on first use; nullptr: no such loop, or no memory.
CORODUMP_API corodump::detail::loop_slot* corodump_loop_attach_v1(std::uint64_t loop) noexcept;
/// begin and end where the inline path does not do: nested, precise, or the clock has moved.
CORODUMP_API void corodump_loop_begin_v1(corodump::detail::loop_slot* slot) noexcept;
CORODUMP_API void corodump_loop_end_v1(corodump::detail::loop_slot* slot) noexcept;
/// A wait of at most `wait_ns` and then perhaps one callback, which cannot be told apart from it.
CORODUMP_API void corodump_loop_turn_begin_v1(corodump::detail::loop_slot* slot,
                                              std::uint64_t wait_ns) noexcept;
CORODUMP_API void corodump_loop_turn_end_v1(corodump::detail::loop_slot* slot, int ran) noexcept;
/// A heartbeat ran, `delay_ns` late; the next is due `next_ns` from now, 0: unknown.
CORODUMP_API void corodump_loop_beat_v1(std::uint64_t loop, std::uint64_t delay_ns,
                                        std::uint64_t next_ns) noexcept;
CORODUMP_API void corodump_loop_queued_v1(std::uint64_t loop, std::uint64_t queued) noexcept;
}
