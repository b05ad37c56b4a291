// Which coroutines a thread is inside of, by the state that the hot path keeps for it.
//
// Made once per dump; asked while the thread is known to stand still, or with what its own signal
// handler noted.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never. Errors: none found.
// Bounds: max_states threads; thread_state::max_depth coroutines each.
#pragma once

#include <corodump/detail/abi.hpp>
#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/sources/frame_index.hpp"

namespace corodump::sources {

class thread_states {
public:
    static constexpr std::size_t max_states = 65536;
    static constexpr std::size_t max_inside = detail::thread_state::max_depth + 1;

    explicit thread_states(base::arena& memory) noexcept;

    /// Null: the thread has never run a coroutine.
    [[nodiscard]] const detail::thread_state* of(std::int32_t tid) const noexcept;

    /// The frames of the coroutines, innermost first; those that are not in the snapshot are left
    /// out. Returns how many.
    [[nodiscard]] static std::size_t inside(const detail::thread_state& thread,
                                            std::uintptr_t running, const frame_index& index,
                                            std::span<std::uint32_t> frames) noexcept;

private:
    struct entry {
        std::int32_t tid;
        const detail::thread_state* state;
    };
    std::span<entry> entries_;  ///< by tid
};

}  // namespace corodump::sources
