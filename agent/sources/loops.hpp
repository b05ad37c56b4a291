// The loops that the service has monitors for: who they are, and what their threads wrote.
//
//   loops[256] ── id ──< slot_node (one for each thread of the loop), in blocks, never unmapped
//
// Written through the C functions of loop_abi.hpp by the host's threads; read by the watchdog
// without a lock. A slot is given to another thread of the same loop when its thread has ended, and
// its counts go on; to another loop only when its loop is closed.
//
// Threads: the C functions any; the rest the watchdog. Signals: unsafe. Blocks: open, close and
// attach on a lock of their own, which the watchdog never takes. Errors: no id, no slot.
// Bounds: max_loops, max_slots.
#pragma once

#include <atomic>
#include <corodump/detail/loop_abi.hpp>
#include <cstddef>
#include <cstdint>

#include "agent/base/fixed_string.hpp"

namespace corodump::sources {

inline constexpr std::size_t max_loops = 256;
inline constexpr std::size_t max_slots = 16384;
inline constexpr std::uint64_t no_loop = ~std::uint64_t{0};
inline constexpr std::int64_t loop_tick_ns = 8'000'000;

/// What the watchdog remembers of something that ought to change: a callback, a coroutine's run.
struct sighting {
    std::uint64_t what[3] = {};    ///< all 0: there was nothing
    std::int64_t observed_ns = 0;  ///< on the watch's own clock (stall_watch.hpp)
    std::int64_t since_ns = 0;     ///< CLOCK_MONOTONIC
    bool reported = false;
};

struct slot_node {
    detail::loop_slot slot;
    slot_node* next_of_thread = nullptr;  ///< the thread's own
    sighting seen;                        ///< the watchdog's own
};

struct loop_entry {
    static constexpr std::size_t max_name = 63;
    static constexpr std::size_t max_kind = 15;

    std::atomic<std::uint64_t> id;  ///< 0: free. The rest changes only while it is
    std::atomic<std::uint64_t> name[(max_name + 1) / 8];
    std::atomic<std::uint64_t> kind[(max_kind + 1) / 8];
    std::atomic<std::uint64_t> threshold_ns;  ///< 0: the agent's
    std::atomic<std::uint32_t> flags;
    std::atomic<std::uint64_t> beats;
    std::atomic<std::uint64_t> last_delay_ns;
    std::atomic<std::uint64_t> longest_delay_ns;
    std::atomic<std::int64_t> next_beat_ns;  ///< CLOCK_MONOTONIC; 0: unknown
    std::atomic<std::int32_t> beat_thread;
    std::atomic<std::uint64_t> queued;  ///< the number and 1; 0: unknown
    sighting overdue;                   ///< the watchdog's own
};

/// `index` < max_loops.
[[nodiscard]] loop_entry& loop_at(std::size_t index) noexcept;
/// Null: it was closed.
[[nodiscard]] loop_entry* find_loop(std::uint64_t id) noexcept;
/// Empty where the loop was closed meanwhile.
[[nodiscard]] base::fixed_string<loop_entry::max_name> name_of_loop(const loop_entry& loop,
                                                                    std::uint64_t id) noexcept;
[[nodiscard]] base::fixed_string<loop_entry::max_kind> kind_of_loop(const loop_entry& loop,
                                                                    std::uint64_t id) noexcept;

[[nodiscard]] std::size_t slot_count() noexcept;
/// `index` < slot_count().
[[nodiscard]] slot_node& slot_at(std::size_t index) noexcept;

/// In a histogram of 15.625 us times powers of two.
[[nodiscard]] unsigned bucket_of(std::uint64_t duration_ns) noexcept;

/// The watchdog was away: callbacks that lasted over that time get only what lies outside of it.
void note_clock_jump(std::uint32_t from_tick, std::uint32_t to_tick) noexcept;
/// What the agent's threshold is; 0: stalls are not looked for.
void set_default_threshold(std::uint64_t ns) noexcept;
[[nodiscard]] std::uint64_t threshold_of(const loop_entry& loop) noexcept;

/// As the inline begin and end, for callbacks that the agent itself sees.
void begin_callback(detail::loop_slot& slot) noexcept;
void end_callback(detail::loop_slot& slot) noexcept;

}  // namespace corodump::sources
