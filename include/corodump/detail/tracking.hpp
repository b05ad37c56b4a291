// The hot path: what a tracked promise and its awaiters write into the record.
//
//   begin ─> [suspend ─> resume]* ─> suspend (final) ─> end
//
// Threads: the thread that runs the coroutine. Signals: unsafe. Blocks: never. Errors: none; what
// cannot be tracked writes into a sink that no dump reads.
#pragma once

#include <bit>
#include <coroutine>
#include <source_location>

#include "abi.hpp"
#include "failure.hpp"

namespace corodump {
inline namespace abi_v1 {
namespace detail {

/// The address of a source_location's static data: one word, where the object is one word.
[[nodiscard]] inline const void* site_of(std::source_location where) noexcept {
    static_assert(sizeof(where) == sizeof(const void*));
    return std::bit_cast<const void*>(where);
}

/// Only after begin().
[[gnu::always_inline]] inline record* record_of(void* frame, const frame_tag& tag) noexcept {
    const std::uintptr_t word = tag.word.load(std::memory_order_relaxed);
    if ((word & tag_slot) != 0) [[unlikely]] {
        // A branch, not a conditional move: the record's address must not wait for the word.
        asm volatile("");
        return &reinterpret_cast<slot*>(word & ~tag_mask)->tracked;
    }
    return reinterpret_cast<record*>(static_cast<char*>(frame) - sizeof(record));
}

/// Gives a frame that is not known to be the pool's a slot, and points the tag at it.
[[gnu::noinline, gnu::visibility("hidden")]] inline record* begin_outside(
    const void* frame, frame_tag& tag, const void* definition) noexcept {
    if (corodump_pooled_v1(frame)) {
        tag.word.store(reinterpret_cast<std::uintptr_t>(definition), std::memory_order_relaxed);
        return reinterpret_cast<record*>(const_cast<char*>(static_cast<const char*>(frame)) -
                                         sizeof(record));
    }
    slot* const own = corodump_slot_v1(frame);
    if (own == nullptr) {
        tag.word.store(reinterpret_cast<std::uintptr_t>(&corodump_sink_v1) | tag_slot,
                       std::memory_order_relaxed);
        return &corodump_sink_v1.tracked;
    }
    own->definition.store(definition, std::memory_order_relaxed);
    tag.word.store(reinterpret_cast<std::uintptr_t>(own) | tag_slot, std::memory_order_relaxed);
    return &own->tracked;
}

/// Makes the frame's record live. `last_frame` is the proof that our allocation made this frame: a
/// frame that the compiler placed elsewhere (clang elides allocations) has no record before it.
[[gnu::visibility("hidden")]] inline record* begin(void* frame, frame_tag& tag,
                                                   const promise_info& promise,
                                                   const void* definition) noexcept {
    const thread_state* thread = corodump_thread_v1;
    record* own = nullptr;
    if (thread->last_frame == frame && definition != nullptr) [[likely]] {
        tag.word.store(reinterpret_cast<std::uintptr_t>(definition), std::memory_order_relaxed);
        own = reinterpret_cast<record*>(static_cast<char*>(frame) - sizeof(record));
    } else {
        own = begin_outside(frame, tag, definition);
        thread = corodump_thread_v1;  // its state may just have been made
    }
    constexpr auto relaxed = std::memory_order_relaxed;
    own->promise.store(&promise, relaxed);
    own->site.store(definition, relaxed);
    own->awaitable.store(nullptr, relaxed);
    own->sequence.store(0, relaxed);
    own->suspended.store(0, relaxed);
    own->created_tick.store(static_cast<std::uint32_t>(corodump_clock_v1.load(relaxed) >> 32U),
                            relaxed);
    own->thread.store(thread->tid, relaxed);
    // Pairs with the watchdog's acquire of the generation: a live record is a whole one.
    own->generation.store(own->generation.load(relaxed) + 1, std::memory_order_release);
    return own;
}

/// The end of a record with a slot or side record, which one that failed always has.
[[gnu::noinline, gnu::visibility("hidden")]] inline void end_tagged(record* own,
                                                                    std::uintptr_t word) noexcept {
    const awaitable_info* const last = own->awaitable.load(std::memory_order_relaxed);
    if (last != nullptr && last->kind == awaits_failure) note_loss(own);
    corodump_untag_v1(word);
}

/// Ends the record. A coroutine that is destroyed while it runs leaves its thread's stack of
/// running coroutines here. `entry_body`: see corodump_ended_v1.
template <bool IsEntry = false>
[[gnu::visibility("hidden")]] inline void end(void* frame, frame_tag& tag,
                                              const void* entry_body = nullptr) noexcept {
    constexpr auto relaxed = std::memory_order_relaxed;
    // No word: the promise was destroyed before begin(). The sink belongs to no frame.
    const std::uintptr_t word = tag.word.load(relaxed);
    if (word == 0) [[unlikely]]
        return;
    record* const own = record_of(frame, tag);
    if (own == &corodump_sink_v1.tracked) [[unlikely]]
        return;
    if constexpr (IsEntry) {
        corodump_ended_v1(own, entry_body);
    } else {
        if ((corodump_switches_v1.load(relaxed) & switch_ends) != 0) [[unlikely]]
            corodump_ended_v1(own, entry_body);
    }
    if (own->suspended.load(relaxed) == 0) corodump_leave_v1(own);
    own->generation.store(own->generation.load(relaxed) + 1, std::memory_order_release);
    if ((word & tag_mask) != 0) [[unlikely]]
        end_tagged(own, word);
}

/// This thread is inside of the coroutine now. One that another one resumes takes the slow path.
[[gnu::always_inline]] inline void enter(thread_state* thread, record* own) noexcept {
    if (thread->running.load(std::memory_order_relaxed) == 0) [[likely]]
        thread->running.store(reinterpret_cast<std::uintptr_t>(own), std::memory_order_relaxed);
    else
        corodump_enter_v1(own);
}

[[gnu::always_inline]] inline void leave(record* own) noexcept {
    thread_state* const thread = corodump_thread_v1;
    if (thread->running.load(std::memory_order_relaxed) == reinterpret_cast<std::uintptr_t>(own))
        [[likely]]
        thread->running.store(0, std::memory_order_relaxed);
    else
        corodump_leave_v1(own);
}

/// Before await_ready: where the coroutine may come to wait.
[[gnu::always_inline]] inline void about_to_await(record* own, const void* site) noexcept {
    // Release keeps it behind the last resume's stores, for the watchdog's re-check.
    own->site.store(site, std::memory_order_release);
}

/// Before the library's await_suspend: afterwards the frame may be gone, or run elsewhere.
[[gnu::always_inline]] inline void suspend(record* own, const awaitable_info& what,
                                           const void* awaiter) noexcept {
    leave(own);
    own->awaitable.store(&what, std::memory_order_relaxed);
    const std::uint64_t clock = corodump_clock_v1.load(std::memory_order_relaxed);
    // The awaiter is aligned to 8: its low bit is the clock's.
    const auto low = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(awaiter));
    own->suspended.store(clock + low, std::memory_order_release);
}

/// As suspend(), where no thread is inside of the coroutine and it has no awaiter. `since`: the
/// clock, or 1 where the time is not worth its reading.
[[gnu::always_inline]] inline void rest(record* own, rest_code code, std::uint64_t since) noexcept {
    own->suspended.store(since + (code - rests), std::memory_order_release);
}

/// In await_resume: nothing when the awaiter was ready and the coroutine never suspended.
[[gnu::always_inline]] inline void resume(record* own) noexcept {
    constexpr auto relaxed = std::memory_order_relaxed;
    if (own->suspended.load(relaxed) == 0) return;
    thread_state* const thread = corodump_thread_v1;
    own->sequence.store(own->sequence.load(relaxed) + 1, relaxed);
    own->suspended.store(0, std::memory_order_release);
    // A compare is cheaper than a store, and most coroutines stay on their thread.
    if (const std::uint32_t tid = thread->tid; own->thread.load(relaxed) != tid) [[unlikely]]
        own->thread.store(tid, relaxed);
    enter(thread, own);
}

/// The first run of a coroutine that starts without suspending.
[[gnu::always_inline]] inline void start(record* own) noexcept {
    thread_state* const thread = corodump_thread_v1;
    enter(thread, own);
}

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
