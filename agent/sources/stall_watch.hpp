// Looks at each tick whether something lasts too long: a callback of a loop, a heartbeat that does
// not come, a run of a tracked coroutine from resume to suspend.
//
// What is looked at has an identity that changes when it ends (a count, a sequence). One that is
// the same for a threshold of the watch's own clock is a stall, told of once:
//
//   loops    slot       {loop, count}          began is not 0
//            heartbeat  {loop, beats}          the next one is due
//   threads  running    {record, generation and sequence, switches}
//
// The watch's clock goes on by at most max_step_ns from one look to the next: a process that was
// stopped, or a watchdog that was busy with a dump, is no stall. A look costs the host's threads
// nothing: they are not asked, and their hot path knows nothing of it.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never. Errors: none.
// Bounds: max_threads_seen threads and all slots at each look, longest lists first.
#pragma once

#include <cstdint>
#include <span>

#include "agent/sources/loops.hpp"
#include "agent/sources/pool.hpp"

namespace corodump::sources {

struct stall_sign {
    enum class what : std::uint8_t { callback, heartbeat, run };
    what kind = what::callback;
    std::int32_t thread = 0;
    std::uint64_t loop = 0;     ///< 0: a coroutine's run, in no loop that is known
    std::int64_t since_ns = 0;  ///< CLOCK_MONOTONIC, not before it began
    const slot_node* slot = nullptr;
    const thread_node* node = nullptr;  ///< of the thread; null: it has never run a coroutine
    std::uint64_t identity[3] = {};
};

class stall_watch {
public:
    static constexpr std::size_t max_threads_seen = 4096;
    static constexpr std::int64_t max_step_ns = 24'000'000;

    /// `threshold_ns` of coroutines' runs; 0: they are not looked at.
    void begin(std::int64_t threshold_ns) noexcept {
        threshold_ns_ = threshold_ns;
        last_look_ns_ = 0;
    }
    /// Fills in the stalls that are new; returns how many. What finds no room comes next time.
    [[nodiscard]] std::size_t look(std::int64_t now_ns, std::span<stall_sign> fresh) noexcept;
    [[nodiscard]] static bool lasts(const stall_sign& stall) noexcept;
    /// The state of the thread with this id; null: none.
    [[nodiscard]] static const thread_node* node_of(std::int32_t thread) noexcept;

private:
    void look_at_slots(std::int64_t now_ns) noexcept;
    void look_at_heartbeats(std::int64_t now_ns) noexcept;
    void look_at_threads(std::int64_t now_ns) noexcept;
    /// `since_ns`: when it began, at the earliest; never more than one look ago.
    [[nodiscard]] bool lasts_too_long(sighting& seen, const std::uint64_t (&what)[3],
                                      std::int64_t now_ns, std::int64_t since_ns,
                                      std::int64_t threshold_ns) noexcept;
    [[nodiscard]] stall_sign* room() noexcept;

    std::int64_t threshold_ns_ = 0;
    std::int64_t last_look_ns_ = 0;
    std::int64_t observed_ns_ = 0;  ///< the watch's own clock
    std::span<stall_sign> fresh_;
    std::size_t used_ = 0;
};

}  // namespace corodump::sources
