#include "agent/sources/births.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>

#include "agent/base/time_stamp.hpp"
#include "agent/sources/contexts.hpp"
#include "agent/sources/listeners.hpp"
#include "agent/sources/object_notes.hpp"
#include "agent/sources/pool.hpp"
#include "agent/sources/stack_walk.hpp"

namespace corodump::sources {
namespace {

using base::time_stamp;
using detail::record;
using detail::thread_state;

constexpr auto relaxed = std::memory_order_relaxed;

struct noted_birth {
    std::atomic<std::uint64_t> who;
    std::atomic<std::uint64_t> lives;
};
static_assert(sizeof(noted_birth) == 16);

constexpr unsigned stack_bits = stack_depot::id_bits;
constexpr std::uint64_t stack_mask = (std::uint64_t{1} << stack_bits) - 1;
constexpr unsigned frame_shift = 3;  ///< frames are aligned to 8

struct settings {
    std::atomic<stack_mode> stacks{stack_mode::off};
    std::atomic<std::uint32_t> budget_percent{1};
    std::atomic<std::uint32_t> depth{20};
    std::atomic<bool> on{false};
};
constinit settings chosen;
constinit stack_depot depot;

using birth_notes = object_notes<noted_birth, detail::note_of_birth>;

void count(std::atomic<std::uint64_t>& what) noexcept {
    what.store(what.load(relaxed) + 1, relaxed);
}

[[gnu::noinline]] void find_stack(thread_births& thread) noexcept {
    thread.stack_end = 1;
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    void* lowest = nullptr;
    std::size_t bytes = 0;
    if (pthread_attr_getstack(&attributes, &lowest, &bytes) == 0) {
        thread.stack_begin = reinterpret_cast<std::uintptr_t>(lowest);
        thread.stack_end = thread.stack_begin + bytes;
    }
    pthread_attr_destroy(&attributes);
}

/// On a stack that is not the thread's own (a fiber's, an alternate one) only the caller is known.
std::uint32_t take_stack(thread_births& thread, std::uintptr_t frame) noexcept {
    if (thread.stack_end == 0) [[unlikely]]
        find_stack(thread);
    const bool own = frame >= thread.stack_begin && frame < thread.stack_end;
    const std::uintptr_t end = own ? thread.stack_end : frame + 2 * sizeof(std::uintptr_t);
    std::uintptr_t stack[stack_depot::max_depth];
    const walked found = walk_stack(frame, end, std::span(stack).first(chosen.depth.load(relaxed)));
    count(thread.stacks);
    if (found.depth < 2) [[unlikely]]
        count(thread.short_stacks);
    const std::uint32_t id = depot.keep(std::span(stack).first(found.depth), found.hash);
    if (id == 0) [[unlikely]]
        count(thread.missed);
    return id;
}

/// Time that must lie between two samples, for their cost to be within the budget.
std::uint64_t wanted_time(const thread_births& thread) noexcept {
    return thread.cost * 100 / chosen.budget_percent.load(relaxed);
}

/// As many births as come in the time that is wanted, if they go on coming as they did.
std::uint32_t births_to_wait(const thread_births& thread, std::uint64_t elapsed,
                             std::uint32_t births) noexcept {
    constexpr std::uint64_t most = std::uint64_t{1} << 20U;
    if (elapsed == 0) return births + 1;
    return static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(wanted_time(thread) * births / elapsed, 1, most));
}

/// The clock is read only where a sample seems due, and has the last word then.
[[gnu::noinline]] std::uint32_t sample_stack(thread_births& thread, std::uintptr_t frame,
                                             std::uint32_t tick) noexcept {
    const bool first = thread.sampled_at == 0;
    if (first) find_stack(thread);  // its cost is not a sample's
    const std::uint64_t began = time_stamp();
    const std::uint64_t elapsed = first ? 0 : began - thread.sampled_at;
    const std::uint32_t births = thread.since_sample - thread.until_sample;
    const std::uint32_t in_all = births_to_wait(thread, elapsed, births);
    thread.sampled_tick = tick;
    if (!first && elapsed < wanted_time(thread)) {
        thread.until_sample = in_all > births ? in_all - births : 1;
        thread.since_sample = births + thread.until_sample;
        return 0;
    }
    const std::uint32_t id = take_stack(thread, frame);
    const std::uint64_t cost = time_stamp() - began;
    // One that was interrupted must not silence the thread for long.
    thread.cost =
        thread.cost == 0 ? cost : (thread.cost * 7 + std::min(cost, thread.cost * 16)) / 8;
    thread.sampled_at = began;
    thread.until_sample = thread.since_sample = in_all;
    return id;
}

/// After as many births as the last sample said, and at least once a second.
std::uint32_t maybe_sample(thread_births& thread, std::uintptr_t frame) noexcept {
    constexpr std::uint32_t ticks_in_a_second = 125;
    const auto tick = static_cast<std::uint32_t>(corodump_clock_v1.load(relaxed) >> 32U);
    if (thread.until_sample > 1 && tick - thread.sampled_tick < ticks_in_a_second) [[likely]] {
        --thread.until_sample;
        return 0;
    }
    if (thread.until_sample > 0) --thread.until_sample;
    return sample_stack(thread, frame, tick);
}

/// Release: pairs with find_birth's acquires. `lives` last: who sees it sees what it is of.
[[gnu::always_inline]] inline void note(const thread_state& thread, thread_births& births,
                                        const record* own, std::uint32_t stack) noexcept {
    noted_birth* const at = birth_notes::at(own);
    if (at == nullptr) [[unlikely]]
        return count(births.missed);
    std::uint64_t who = stack;
    // What begin() will make of it.
    std::uint64_t lives = std::uint64_t{own->generation.load(relaxed) + 1} << 32U;
    if (record* const creator = record_of_running(thread.running.load(relaxed))) {
        who |= frame_of(creator) >> frame_shift << stack_bits;
        lives |= creator->generation.load(relaxed);
    }
    count(births.noted);
    at->who.store(who, std::memory_order_release);
    at->lives.store(lives, std::memory_order_release);
}

[[gnu::noinline]] void note_with_stack(const thread_state& thread, thread_births& births,
                                       const record* own, std::uintptr_t frame_pointer) noexcept {
    const bool sampled = chosen.stacks.load(relaxed) == stack_mode::sampled;
    note(thread, births, own,
         sampled ? maybe_sample(births, frame_pointer) : take_stack(births, frame_pointer));
}

}  // namespace

void note_birth(const record* own, std::uintptr_t frame_pointer) noexcept {
    if (hears_births(listener::contexts)) inherit_context(own);
    if (!hears_births(listener::creations)) return;
    thread_state* const thread = corodump_thread_v1;
    // Threads without a state share one whose tid is 0, and which must not be written.
    if (thread->tid == 0) return;
    static_assert(offsetof(thread_node, state) == 0);
    thread_births& births = reinterpret_cast<thread_node*>(thread)->births;
    if (chosen.stacks.load(relaxed) != stack_mode::off)
        return note_with_stack(*thread, births, own, frame_pointer);
    note(*thread, births, own, 0);
}

int reserve_stacks() noexcept {
    int error = 0;
    for (std::size_t bytes = stack_depot::max_bytes; bytes >= stack_depot::max_bytes / 16;
         bytes /= 4) {
        error = depot.reserve(bytes);
        if (error == 0) break;
    }
    return error;
}

std::uint32_t keep_stack(thread_births& thread, std::uintptr_t frame_pointer) noexcept {
    return take_stack(thread, frame_pointer);
}

int configure_births(const birth_options& options) noexcept {
    stack_mode stacks = options.stacks;
    const int error = stacks != stack_mode::off ? reserve_stacks() : 0;
    if (error != 0) stacks = stack_mode::off;
    chosen.stacks.store(stacks, relaxed);
    chosen.budget_percent.store(std::clamp(options.budget_percent, 1U, 100U), relaxed);
    chosen.depth.store(
        std::clamp<std::uint32_t>(options.depth, 1U, std::uint32_t{stack_depot::max_depth}),
        relaxed);
    const bool on = options.creators || stacks != stack_mode::off;
    chosen.on.store(on, relaxed);
    // Its release: who sees the switch in corodump_born_v1 sees the depot's memory.
    if (on)
        listen_to_births(listener::creations, true);
    else
        stop_births();
    return error;
}

void stop_births() noexcept {
    listen_to_births(listener::creations, false);
    chosen.stacks.store(stack_mode::off, relaxed);
    chosen.on.store(false, relaxed);
}

birth_options births_configured() noexcept {
    return {.creators = chosen.on.load(relaxed),
            .stacks = chosen.stacks.load(relaxed),
            .budget_percent = chosen.budget_percent.load(relaxed),
            .depth = chosen.depth.load(relaxed)};
}

bool find_birth(std::uint64_t record_address, std::uint32_t generation, birth& found) noexcept {
    const auto* const own = reinterpret_cast<const record*>(record_address);
    const noted_birth* const noted = birth_notes::find(record_address);
    if (noted == nullptr) return false;
    // Acquire: pairs with note()'s releases. `lives` was stored last, so `who` is of the same birth
    // or of a later one; if of a later one, then the record's generation, which changed before
    // that, is seen to have changed.
    const std::uint64_t lives = noted->lives.load(std::memory_order_acquire);
    const std::uint64_t who = noted->who.load(std::memory_order_acquire);
    if (static_cast<std::uint32_t>(lives >> 32U) != generation ||
        own->generation.load(relaxed) != generation)
        return false;
    found = {.creator = who >> stack_bits << frame_shift,
             .creator_generation = static_cast<std::uint32_t>(lives),
             .stack = static_cast<std::uint32_t>(who & stack_mask)};
    return true;
}

std::span<const std::uintptr_t> birth_stack(std::uint32_t id) noexcept {
    return depot.stack_of(id);
}

birth_totals count_births() noexcept {
    constexpr std::size_t max_threads = 65536;
    birth_totals sum;
    std::size_t seen = 0;
    for (const thread_node* node = first_thread(); node != nullptr && seen < max_threads;
         node = node->next, ++seen) {
        sum.noted += node->births.noted.load(relaxed);
        sum.stacks += node->births.stacks.load(relaxed);
        sum.short_stacks += node->births.short_stacks.load(relaxed);
        sum.missed += node->births.missed.load(relaxed);
    }
    sum.distinct = depot.stacks();
    sum.depot_bytes = depot.used_bytes();
    return sum;
}

void trim_births(const detail::slab_header& slab) noexcept {
    birth_notes::trim(slab);
}

}  // namespace corodump::sources

// The frame pointer is this function's own, so that the first address is that of the code which
// made the coroutine.
extern "C" void* corodump_born_v1(void* frame) noexcept {
    // Not the pool's: it gets a slot, and is noted then.
    if (frame == nullptr || corodump_thread_v1->last_frame != frame) return frame;
    corodump::sources::note_birth(static_cast<corodump::detail::record*>(frame) - 1,
                                  reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
    return frame;
}
