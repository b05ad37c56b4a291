// Who created a coroutine, and the stack it was created on.
//
// Whatever gives out a record's memory notes the birth where switch_births is set: the hot path by
// corodump_born_v1, the pool for slots itself. What is noted lies in an array beside the
// slab, 16 bytes for each of the slab's objects, made when the first of them is born:
//
//   slab header ── births ──> [word, word] of object 0, 1, 2 ...
//     who:    creator's frame address / 8 (45 bits) │ stack id (19 bits)
//     lives:  generation of the frame it is of      │ the creator's generation
//
// A birth counts only if its `lives` names the generation that the frame's record has now, so what
// is left of earlier frames, or from before the switch was set, is never taken for the frame's.
//
// Threads: configure by who installs; find_birth and totals by the watchdog at any time, without a
// lock. Signals: unsafe. Blocks: never; the first stack of a thread asks the C library where the
// thread's stack lies (pthread_getattr_np). Errors: counted as missed.
#pragma once

#include <corodump/detail/abi.hpp>
#include <cstdint>
#include <span>

#include "agent/sources/stack_depot.hpp"
#include "agent/sources/thread_births.hpp"

namespace corodump::sources {

enum class stack_mode : std::uint8_t { off, sampled, all };

struct birth_options {
    bool creators = false;  ///< implied by stacks
    stack_mode stacks = stack_mode::off;
    std::uint32_t budget_percent = 1;  ///< of a thread's time, for sampled stacks; from 1 to 100
    std::uint32_t depth = 20;          ///< at most stack_depot::max_depth
};

/// 0, or an errno: no memory for stacks; creators are noted then, where they are wanted.
int configure_births(const birth_options& options) noexcept;
/// From here on nothing is noted; what was stays readable.
void stop_births() noexcept;
/// As last configured; nothing is on after stop_births.
[[nodiscard]] birth_options births_configured() noexcept;

/// Under switch_births: this thread makes a coroutine, whose record is not live yet. The stack is
/// taken from `frame_pointer` on, a frame address of the caller's.
void note_birth(const detail::record* own, std::uintptr_t frame_pointer) noexcept;
[[nodiscard]] inline bool births_wanted() noexcept {
    return (corodump_switches_v1.load(std::memory_order_relaxed) & detail::switch_births) != 0;
}

struct birth {
    std::uint64_t creator = 0;  ///< its frame's address; 0: none, code outside of all coroutines
    std::uint32_t creator_generation = 0;
    std::uint32_t stack = 0;  ///< for birth_stack; 0: none was taken
};
/// Of the frame whose record lies at `record` and has this generation. False: it was not noted, or
/// the frame is gone.
[[nodiscard]] bool find_birth(std::uint64_t record, std::uint32_t generation,
                              birth& found) noexcept;
/// For others who keep stacks here. 0 or an errno.
int reserve_stacks() noexcept;
/// The stack from `frame_pointer` on, as deep as configured, under an id of its own; 0: not kept.
/// `thread` is the calling thread's. Only after reserve_stacks.
[[nodiscard]] std::uint32_t keep_stack(thread_births& thread,
                                       std::uintptr_t frame_pointer) noexcept;
/// Return addresses, innermost first.
[[nodiscard]] std::span<const std::uintptr_t> birth_stack(std::uint32_t id) noexcept;

struct birth_totals {
    std::uint64_t noted = 0;
    std::uint64_t stacks = 0;        ///< taken
    std::uint64_t short_stacks = 0;  ///< of fewer than two frames
    std::uint64_t missed = 0;    ///< births without memory, stacks that the depot had no room for
    std::uint64_t distinct = 0;  ///< stacks in the depot
    std::uint64_t depot_bytes = 0;
};
[[nodiscard]] birth_totals count_births() noexcept;

/// Gives the memory of a slab's births back, when the slab has emptied. Under the pool's lock.
void trim_births(const detail::slab_header& slab) noexcept;

}  // namespace corodump::sources
