// Where exceptions are thrown, for services that link corodump::throws: the stack of the throw, by
// its frame pointers, until the exception has left a coroutine.
//
//   __cxa_throw ── note_stack(frame pointer) ──> id ──┐
//                                                     v
//   exception's address ──hash──> [address, id]  one word: a later throw overwrites
//
// Equal stacks are kept once (stack_depot.hpp). What is not in use costs nothing: without
// corodump::throws nobody calls corodump_thrown_v1.
//
// Threads: note by any, read by any. Signals: safe. Blocks: never (process_vm_readv of the own stack,
// in place of trusting its bounds). Errors: id 0, counted. Bounds: some 5,700 stacks of 32 frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace corodump::sources {

inline constexpr std::size_t max_throw_frames = 32;

void note_throws(bool wanted) noexcept;
/// The return addresses from this frame pointer up, innermost first. 0: none, or no room.
[[nodiscard]] std::uint32_t note_stack(const void* frame_pointer) noexcept;
/// Empty: no such stack.
[[nodiscard]] std::span<const std::uintptr_t> frames_of_throw(std::uint32_t id) noexcept;
/// The stack noted for this exception; 0: none.
[[nodiscard]] std::uint32_t stack_of_throw(const void* exception) noexcept;
/// Stacks for which there was no room.
[[nodiscard]] std::uint64_t throw_stacks_dropped() noexcept;

}  // namespace corodump::sources
