#include "agent/sources/finished.hpp"

#include <algorithm>
#include <cstring>

#include "agent/sources/await_walk.hpp"
#include "agent/sources/contexts.hpp"
#include "agent/sources/descriptions.hpp"
#include "agent/sources/failures.hpp"
#include "agent/sources/frame_memory.hpp"
#include "agent/sources/listeners.hpp"
#include "agent/sources/record_frame.hpp"
#include "agent/sources/sides.hpp"

namespace corodump::sources {
namespace {

constinit finished_ring ring;
std::atomic<ends_noted> noted{ends_noted::none};

bool left_by_exception(const detail::record* own) noexcept {
    const detail::awaitable_info* const last = own->awaitable.load(std::memory_order_relaxed);
    return last != nullptr && last->kind == detail::awaits_failure;
}

/// One that has not reached its final suspend point, and is not running off its end.
bool is_cut_off(const detail::record* own, std::uint64_t frame) noexcept {
    const std::uint64_t suspended = own->suspended.load(std::memory_order_relaxed);
    if (suspended == 0 || static_cast<std::uint32_t>(suspended) == detail::rests_at_end)
        return false;
    return read_word(frame) != 0;  // the resume pointer is null at final suspend
}

finished_outcome outcome_of(const detail::record* own, const walked_frame& frame,
                            const side_facts& side) noexcept {
    if (side.task_cancelled || is_cut_off(own, frame.address)) return finished_outcome::cancelled;
    if (side.task_failed || left_by_exception(own)) return finished_outcome::failed;
    return finished_outcome::done;
}

/// The task that this thread is inside of, other than the one that ends.
void take_culprit(const detail::record* own, finished_facts& to) noexcept {
    const detail::record* const running = corodump_current_v1();
    if (running == nullptr || running == own || is_sink(running)) return;
    walked_frame chain[max_awaiters];
    const std::size_t length = walk_up(running, chain);
    if (length == 0) return;
    to.by_address = chain[length - 1].address;
    to.by_generation = chain[length - 1].generation;
}

bool is_entry(const detail::record* own) noexcept {
    return (own->promise.load(std::memory_order_relaxed)->flags & detail::promise_is_entry) != 0;
}

/// Nobody awaits it. Of a library's entry that is known, unless its handler leads to another task.
bool is_task(const detail::record* own, walked_frame& frame) noexcept {
    constexpr auto mask = detail::promise_is_entry | detail::promise_may_be_joined;
    if (!look_at_held(own, frame)) return false;
    if ((frame.flags & mask) == detail::promise_is_entry) return true;
    walked_frame frames[2];
    return walk_up(own, frames) == 1;
}

void note_end(const detail::record* own, const void* body) noexcept {
    walked_frame frame;
    if (!is_task(own, frame)) return;
    char buffer[sizeof(detail::side_record)];
    const side_facts side = read_side(frame.side, frame.generation, buffer);
    finished_facts facts{};
    facts.outcome = outcome_of(own, frame, side);
    facts.address = frame.address;
    facts.generation = frame.generation;
    facts.definition = body != nullptr ? reinterpret_cast<std::uint64_t>(body) : frame.definition;
    facts.created_tick = own->created_tick.load(std::memory_order_relaxed);
    facts.ended_tick =
        static_cast<std::uint32_t>(corodump_clock_v1.load(std::memory_order_relaxed) >> 32U);
    side.name.copy(facts.name, sizeof facts.name - 1);
    if (facts.outcome == finished_outcome::cancelled) take_culprit(own, facts);
    ring.put(facts);
}

}  // namespace

const finished_ring& finished_tasks() noexcept {
    return ring;
}

void note_ends(ends_noted which) noexcept {
    noted.store(which, std::memory_order_release);
    listen_to_ends(listener::finished, which == ends_noted::all);
}

}  // namespace corodump::sources

extern "C" {

void corodump_ended_v1(corodump::detail::record* own, const void* body) noexcept {
    namespace sources = corodump::sources;
    sources::end_context(own);
    const sources::ends_noted which = sources::noted.load(std::memory_order_acquire);
    if (which == sources::ends_noted::none) return;
    // Others may listen to all ends where only those of entries are noted here.
    if (which == sources::ends_noted::entries && !sources::is_entry(own)) return;
    sources::note_end(own, body);
}

const void* corodump_definition_v1(const void* promise) noexcept {
    namespace sources = corodump::sources;
    if (sources::noted.load(std::memory_order_acquire) != sources::ends_noted::none) {
        sources::walked_frame frame;
        const corodump::detail::record* const found =
            sources::record_held(reinterpret_cast<std::uint64_t>(promise));
        if (found != nullptr && sources::look_at_held(found, frame) &&
            (frame.flags & corodump::detail::promise_is_library) == 0 &&
            (frame.definition & corodump::model::code_key) == 0)
            return reinterpret_cast<const void*>(frame.definition);
    }
    return nullptr;
}
}
