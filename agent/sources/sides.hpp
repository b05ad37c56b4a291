// Side records: what a task was given by hand (name, labels, watched values, what it waits for).
// Made on first use, found through the frame's tag, type-stable like all of the pool.
//
// Threads: the thread that runs the coroutine writes; the watchdog reads by copy, with `revision`
// and the owner's generation checked around it.
#pragma once

#include <corodump/task.hpp>

namespace corodump::sources {

/// Bits of side_record::cancelled.
inline constexpr std::uint32_t side_cancel_requested = 1;
inline constexpr std::uint32_t side_task_failed = 2;     ///< the task a library's entry stands for
inline constexpr std::uint32_t side_task_cancelled = 4;  ///< left by a cancelled operation's error

/// The tag of the record's frame; nullptr when the frame's promise has none yet.
[[nodiscard]] detail::frame_tag* tag_of(detail::record* own) noexcept;
/// The record's side; nullptr: it has none.
[[nodiscard]] const detail::side_record* side_there(const detail::record* own) noexcept;
/// The record's side, made when there is none; nullptr when memory is out.
[[nodiscard]] detail::side_record* side_of(detail::record* own) noexcept;

}  // namespace corodump::sources
