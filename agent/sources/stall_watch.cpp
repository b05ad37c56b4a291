#include "agent/sources/stall_watch.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "agent/sources/record_frame.hpp"

namespace corodump::sources {
namespace {

constexpr auto acquire = std::memory_order_acquire;
constexpr auto relaxed = std::memory_order_relaxed;
using identity_type = std::uint64_t[3];

void set(identity_type& to, std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept {
    to[0] = a;
    to[1] = b;
    to[2] = c;
}

bool same(const identity_type& a, const identity_type& b) noexcept {
    return std::equal(std::begin(a), std::end(a), std::begin(b));
}

/// Of the callback that the slot's thread is in; all 0: in none, or it may be waiting. The count
/// was stored before `began`, by callback_end's release. `since_ns`: where it is known.
void identify(const detail::loop_slot& slot, std::int64_t now_ns, identity_type& into,
              std::int64_t& since_ns) noexcept {
    const std::uint64_t began = slot.began.load(acquire);
    const std::uint64_t wait_ns = slot.wait_ns.load(acquire);
    const std::uint64_t loop = slot.loop.load(relaxed);
    set(into, 0, 0, 0);
    if (began == 0 || loop == no_loop) return;
    if (wait_ns != 0) {
        since_ns = static_cast<std::int64_t>(began + wait_ns);
        if (since_ns > now_ns || slot.began.load(relaxed) != began) return;
    } else if ((slot.mode.load(relaxed) & detail::loop_is_precise) != 0) {
        since_ns = std::min(static_cast<std::int64_t>(began), now_ns);
    }
    set(into, loop, slot.count.load(relaxed) + 1, wait_ns == 0 ? 0 : began);
}

/// Of the innermost coroutine that the thread is inside of.
void identify(const thread_node& node, identity_type& into) noexcept {
    const detail::record* const record = record_of_running(node.state.running.load(acquire));
    set(into, 0, 0, 0);
    if (record == nullptr || is_sink(record)) return;
    const std::uint64_t generation = record->generation.load(acquire);
    if (generation % 2 == 0) return;
    set(into, reinterpret_cast<std::uintptr_t>(record),
        generation << 32U | record->sequence.load(relaxed), node.switches.load(relaxed) + 1);
}

void identify(const loop_entry& loop, identity_type& into) noexcept {
    set(into, loop.id.load(acquire), loop.beats.load(acquire) + 1, 1);
}

bool has_ended(std::int32_t thread) noexcept {
    return ::syscall(SYS_tgkill, ::getpid(), thread, 0) != 0;
}

std::int32_t thread_of(const thread_node& node) noexcept {
    auto& word = const_cast<std::uint32_t&>(node.state.tid);
    return static_cast<std::int32_t>(std::atomic_ref<std::uint32_t>(word).load(relaxed));
}

}  // namespace

const thread_node* stall_watch::node_of(std::int32_t thread) noexcept {
    std::size_t seen = 0;
    const thread_node* node = first_thread();
    while (node != nullptr && seen++ < max_threads_seen && thread_of(*node) != thread)
        node = node->next;
    return node != nullptr && thread_of(*node) == thread ? node : nullptr;
}

stall_sign* stall_watch::room() noexcept {
    return used_ < fresh_.size() ? &(fresh_[used_++] = {}) : nullptr;
}

std::size_t stall_watch::look(std::int64_t now_ns, std::span<stall_sign> fresh) noexcept {
    const std::int64_t step_ns = last_look_ns_ == 0 ? 0 : now_ns - last_look_ns_;
    observed_ns_ += std::min(step_ns, max_step_ns);
    last_look_ns_ = now_ns;
    fresh_ = fresh;
    used_ = 0;
    look_at_slots(now_ns);
    look_at_heartbeats(now_ns);
    if (threshold_ns_ != 0) look_at_threads(now_ns);
    return used_;
}

bool stall_watch::lasts_too_long(sighting& seen, const identity_type& what, std::int64_t now_ns,
                                 std::int64_t since_ns, std::int64_t threshold_ns) noexcept {
    if (!same(seen.what, what)) {
        std::copy(std::begin(what), std::end(what), std::begin(seen.what));
        seen.observed_ns = observed_ns_ - std::min(now_ns - since_ns, loop_tick_ns);
        seen.since_ns = since_ns;
        seen.reported = false;
    }
    return what[0] != 0 && !seen.reported && threshold_ns != 0 &&
           observed_ns_ - seen.observed_ns >= threshold_ns;
}

void stall_watch::look_at_slots(std::int64_t now_ns) noexcept {
    const std::size_t count = slot_count();
    for (std::size_t i = 0; i < count; ++i) {
        slot_node& node = slot_at(i);
        identity_type what;
        std::int64_t since_ns = now_ns;
        identify(node.slot, now_ns, what, since_ns);
        if (what[0] == 0 && node.seen.what[0] == 0) continue;
        const loop_entry* const loop = find_loop(what[0]);
        const std::uint64_t threshold = loop == nullptr ? 0 : threshold_of(*loop);
        if (!lasts_too_long(node.seen, what, now_ns, since_ns,
                            static_cast<std::int64_t>(threshold)))
            continue;
        // Told by the runs themselves, which know the coroutine.
        const bool told_otherwise = what[0] == runs_loop();
        stall_sign* const stall = told_otherwise ? nullptr : room();
        if (stall == nullptr && !told_otherwise) return;
        node.seen.reported = true;
        node.slot.stalled.store(what[1], relaxed);  // read by count_long, on the thread
        if (stall == nullptr) continue;
        stall->kind = stall_sign::what::callback;
        stall->thread = node.slot.thread.load(relaxed);
        stall->loop = what[0];
        stall->since_ns = node.seen.since_ns;
        stall->slot = &node;
        stall->node = node_of(stall->thread);
        std::copy(std::begin(what), std::end(what), std::begin(stall->identity));
    }
}

void stall_watch::look_at_heartbeats(std::int64_t now_ns) noexcept {
    for (std::size_t i = 0; i < max_loops; ++i) {
        loop_entry& loop = loop_at(i);
        const std::int64_t due_ns = loop.next_beat_ns.load(relaxed);
        if (due_ns == 0 || now_ns <= due_ns) continue;
        identity_type what;
        identify(loop, what);
        if (!lasts_too_long(loop.overdue, what, now_ns, due_ns,
                            static_cast<std::int64_t>(threshold_of(loop))))
            continue;
        // A loop that nobody runs any more is not blocked.
        const bool left = has_ended(loop.beat_thread.load(relaxed));
        stall_sign* const stall = left ? nullptr : room();
        if (stall == nullptr && !left) return;
        loop.overdue.reported = true;
        if (stall == nullptr) continue;
        stall->kind = stall_sign::what::heartbeat;
        stall->thread = loop.beat_thread.load(relaxed);
        stall->loop = what[0];
        stall->since_ns = due_ns;
        stall->node = node_of(stall->thread);
        std::copy(std::begin(what), std::end(what), std::begin(stall->identity));
    }
}

void stall_watch::look_at_threads(std::int64_t now_ns) noexcept {
    std::size_t looked = 0;
    for (const thread_node* at = first_thread(); at != nullptr && looked < max_threads_seen;
         at = at->next, ++looked) {
        auto& node = const_cast<thread_node&>(*at);  // what is written is the watchdog's own
        identity_type what;
        identify(node, what);
        if (what[0] == 0 && node.seen.what[0] == 0) continue;
        if (!lasts_too_long(node.seen, what, now_ns, now_ns, threshold_ns_)) continue;
        // A coroutine that runs a loop inside of itself is told of once, not for each pause in it.
        const bool told = node.reported[0] == what[0] && node.reported[1] == what[1];
        stall_sign* const stall = told ? nullptr : room();
        if (stall == nullptr && !told) return;
        node.seen.reported = true;
        node.reported[0] = what[0];
        node.reported[1] = what[1];
        if (stall == nullptr) continue;
        stall->kind = stall_sign::what::run;
        stall->thread = thread_of(node);
        stall->since_ns = node.seen.since_ns;
        stall->node = &node;
        std::copy(std::begin(what), std::end(what), std::begin(stall->identity));
    }
}

bool stall_watch::lasts(const stall_sign& stall) noexcept {
    identity_type now{};
    std::int64_t since_ns = 0;
    switch (stall.kind) {
        case stall_sign::what::callback:
            identify(stall.slot->slot, stall.since_ns, now, since_ns);
            break;
        case stall_sign::what::heartbeat:
            if (const loop_entry* const loop = find_loop(stall.identity[0])) identify(*loop, now);
            break;
        case stall_sign::what::run:
            identify(*stall.node, now);
            break;
    }
    return same(now, stall.identity);
}

}  // namespace corodump::sources
