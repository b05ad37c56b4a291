// Watches an event loop of the service's own: how long its callbacks take, how late it is, and,
// while it is still blocked, where.
//
//   corodump::loop_monitor monitor("main");
//   for (;;) {
//       event next = queue.pop();                                 // waiting is no callback
//       corodump::loop_monitor::callback running(monitor);        // or callback_begin() and _end()
//       next.run();
//   }
//
// A callback that lasts longer than the threshold is a stall: the watchdog takes the thread's stack
// while it lasts, logs a line, and keeps it for the next dumps (`loops` and `stalls` there).
// Tracked coroutines are watched without any of this; for Asio see asio_loop_monitor.hpp.
//
// Times come from the agent's clock, which steps every 8 ms: a callback costs no reading of a
// clock, sums are right on average, and shorter callbacks count as below 8 ms. `precise` reads
// CLOCK_MONOTONIC twice for each callback instead.
//
// Threads: any number of threads may run callbacks of one monitor; it outlives them. Signals:
// unsafe. Blocks: never but for a thread's first callback and the constructor, on the agent's own
// lock. Errors: without an agent, or over 256 loops, it does nothing. Bounds: callbacks of one loop
// that run inside of each other count as one; names of 63 bytes.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "detail/loop_abi.hpp"

namespace corodump {
inline namespace abi_v1 {

struct loop_options {
    std::string_view kind = "loop";         ///< what `loops` calls it, up to 15 bytes
    std::chrono::nanoseconds threshold{0};  ///< 0: options::stall_threshold
    bool precise = false;
};

class loop_monitor {
public:
    explicit loop_monitor(std::string_view name, const loop_options& chosen = {}) noexcept
        : id_(corodump_loop_open_v1(name.data(), name.size(), chosen.kind.data(),
                                    chosen.kind.size(),
                                    static_cast<std::uint64_t>(chosen.threshold.count()),
                                    chosen.precise ? std::uint32_t{detail::loop_is_precise} : 0U)) {
    }
    loop_monitor(const loop_monitor&) = delete;
    loop_monitor& operator=(const loop_monitor&) = delete;
    ~loop_monitor() { corodump_loop_close_v1(id_); }

    void callback_begin() const noexcept {
        if (detail::loop_slot* const slot = this_thread()) begin(*slot);
    }
    void callback_end() const noexcept {
        if (detail::loop_slot* const slot = this_thread()) end(*slot);
    }

    /// One callback, from its making to its end, which is on the same thread.
    class callback {
    public:
        explicit callback(const loop_monitor& of) noexcept : slot_(of.this_thread()) {
            if (slot_ != nullptr) [[likely]]
                begin(*slot_);
        }
        callback(const callback&) = delete;
        callback& operator=(const callback&) = delete;
        ~callback() {
            if (slot_ != nullptr) [[likely]]
                end(*slot_);
        }

    private:
        detail::loop_slot* slot_;
    };

    /// In a callback: it is none, and is not counted.
    void callback_cancel() const noexcept {
        if (detail::loop_slot* const slot = this_thread()) cancel(*slot);
    }

    /// A wait of at most `limit`, and then at most one callback, where the loop does both in one
    /// call. Of the callback's time it counts what goes beyond `limit`, unless the callback itself
    /// is one of this monitor's.
    class turn {
    public:
        turn(const loop_monitor& of, std::chrono::nanoseconds limit) noexcept
            : slot_(of.this_thread()) {
            if (slot_ != nullptr)
                corodump_loop_turn_begin_v1(slot_, static_cast<std::uint64_t>(limit.count()));
        }
        turn(const turn&) = delete;
        turn& operator=(const turn&) = delete;
        ~turn() {
            if (slot_ != nullptr) corodump_loop_turn_end_v1(slot_, ran_ ? 1 : 0);
        }
        /// Whether there was a callback; true unless it is told.
        void ran(bool callback) noexcept { ran_ = callback; }

    private:
        detail::loop_slot* slot_;
        bool ran_ = true;
    };

    /// Something that was to run at a certain time ran `delay` later, now, on this thread. With
    /// `next`, the loop is taken for blocked when the next heartbeat is late by the threshold.
    void heartbeat(std::chrono::nanoseconds delay,
                   std::chrono::nanoseconds next = std::chrono::nanoseconds{0}) const noexcept {
        corodump_loop_beat_v1(id_,
                              static_cast<std::uint64_t>(delay.count() < 0 ? 0 : delay.count()),
                              static_cast<std::uint64_t>(next.count() < 0 ? 0 : next.count()));
    }
    /// How many callbacks wait, where the loop knows.
    void queued(std::uint64_t callbacks) const noexcept { corodump_loop_queued_v1(id_, callbacks); }

private:
    [[nodiscard]] detail::loop_slot* this_thread() const noexcept {
        detail::loop_slot* const last = corodump_loop_slot_v1;
        if (last->loop.load(std::memory_order_relaxed) == id_) [[likely]]
            return last;
        return corodump_loop_attach_v1(id_);
    }
    static void begin(detail::loop_slot& slot) noexcept {
        const bool plain = slot.began.load(std::memory_order_relaxed) == 0 &&
                           slot.mode.load(std::memory_order_relaxed) == 0;
        if (!plain) [[unlikely]]
            return corodump_loop_begin_v1(&slot);
        // Release: who sees that it began sees the count of those before it.
        slot.began.store(corodump_clock_v1.load(std::memory_order_relaxed),
                         std::memory_order_release);
    }
    static void end(detail::loop_slot& slot) noexcept {
        constexpr auto relaxed = std::memory_order_relaxed;
        const std::uint64_t moved = slot.began.load(relaxed) ^ corodump_clock_v1.load(relaxed);
        if ((moved | slot.mode.load(relaxed)) != 0) [[unlikely]]
            return corodump_loop_end_v1(&slot);
        slot.count.store(slot.count.load(relaxed) + 1, relaxed);
        slot.began.store(0, std::memory_order_release);
    }

    static void cancel(detail::loop_slot& slot) noexcept {
        constexpr auto relaxed = std::memory_order_relaxed;
        if (const std::uint32_t mode = slot.mode.load(relaxed); mode >= detail::loop_nested_step)
            return slot.mode.store(mode - detail::loop_nested_step, relaxed);
        slot.wait_ns.store(0, relaxed);
        slot.began.store(0, std::memory_order_release);
    }

    std::uint64_t id_;
};

}  // namespace abi_v1
}  // namespace corodump
