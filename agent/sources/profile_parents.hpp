// What a coroutine is, and what awaits it, for the profiler: asked on the thread that runs it, once
// or twice in a frame's life, in some ten nanoseconds where it can be.
//
// A coroutine that is awaited mostly runs right after what awaits it was left, on the same thread:
// if its promise names that frame, it is the parent, without a look at any other memory. Else the
// words of the promise are looked up; await_walk.hpp has the last word where they name several.
//
// Threads: the one that runs `own`. Signals: safe. Blocks: never. Errors: nullptr, 0.
// Bounds: 64 words of a promise; those of await_walk.hpp.
#pragma once

#include <corodump/detail/abi.hpp>
#include <cstdint>

namespace corodump::sources {

/// The key of its definition, as in model::frame; 0: its promise type is of another version.
[[nodiscard]] std::uint64_t definition_of(const detail::record* own) noexcept;

/// `left`: the coroutine that this thread was inside of last; may be nullptr, and may have ended.
[[nodiscard]] const detail::record* awaiting_parent(const detail::record* own,
                                                    const detail::record* left) noexcept;

/// The node of a suspended frame that has not run in this session, by all that await it.
[[nodiscard]] std::uint32_t node_of_chain(const detail::record* suspended) noexcept;

}  // namespace corodump::sources
