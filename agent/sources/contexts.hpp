// Which context variables are bound in which coroutine, and in whose name a line is logged.
//
//   record ── note (beside the slab) ──> list ──> values            (context_lists.hpp)
//                │ creator, parent, root
//
// A coroutine is born with its creator's list. When it is first asked (it binds, reads, logs or
// creates another) it looks once whether another awaits it, and takes that one's list instead: the
// one that awaits stands still from then on, so nothing has to be told when it goes on. One that
// starts at once, awaited or not, keeps its creator's.
//
//   A: bind x=1 ─> creates B ─> bind x=2 ─> co_await B        B sees 2
//   A: bind x=1 ─> spawns C ─> bind x=2 ─> goes on            C sees 1
//
// Until the first binding in the process nothing is noted of births; coroutines from before have
// their list from whoever awaits them.
//
// A note is written by whoever runs, makes or destroys its coroutine. `version` is odd meanwhile,
// and the watchdog believes what it read if the version has stayed.
//
// Threads: the thread that runs the coroutine, read_bindings the watchdog. Signals: unsafe.
// Blocks: see context_lists.hpp. Errors: no memory is "not bound".
// Bounds: max_awaiters frames upwards.
#pragma once

#include <corodump/detail/context_abi.hpp>
#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/model/snapshot.hpp"
#include "agent/sources/context_lists.hpp"
#include "agent/sources/thread_context.hpp"

namespace corodump::sources {

/// False until a variable was bound: there is nothing to read.
[[nodiscard]] bool contexts_are_used() noexcept;

/// A coroutine is made on this thread, its record is not live yet.
void inherit_context(const detail::record* own) noexcept;
/// The record is about to end.
void end_context(const detail::record* own) noexcept;
/// This thread ends; without the pool's lock.
void end_thread_context(thread_context& of) noexcept;
/// The slab has emptied. Under the pool's lock.
void trim_contexts(const detail::slab_header& slab) noexcept;

/// Calls `visit(const bound_value&)` for each variable bound in the coroutine that runs on this
/// thread.
template <class Visit>
void visit_bound(const bound_list* in, Visit visit) {
    const std::uint32_t count = in == nullptr ? 0 : in->count.load(std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < count; ++i)
        if (!is_hidden(*in, i)) visit(*in->entries()[i].value.load(std::memory_order_relaxed));
}
/// What holds for the coroutine that runs on this thread, or for the thread outside of all.
[[nodiscard]] const bound_list* current_bound() noexcept;

/// The coroutine that runs on this thread; nullptr: none that is tracked.
[[nodiscard]] const detail::record* task_frame() noexcept;
/// The coroutine that awaits `of`, which is that one, or awaits itself; nullptr: none.
[[nodiscard]] const detail::record* awaiting_frame(const detail::record* of) noexcept;

/// What a dump shows of a frame.
struct read_bound {
    static constexpr std::size_t max = max_bindings;
    bool settled = false;  ///< false: what the frame that awaits it has counts, where there is one
    std::uint32_t count = 0;
    model::label labels[max];
    char names[max][32];
    char texts[max][96];
};
/// False: nothing is known of the frame, or it changed while it was read.
[[nodiscard]] bool read_bindings(std::uint64_t record_address, std::uint32_t generation,
                                 read_bound& to) noexcept;

}  // namespace corodump::sources
