// What a coroutine that runs is called, without a snapshot: for a stall, which is taken while it
// lasts.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never. Errors: empty texts.
// Bounds: names of 4,096 bytes are read, and cut to what fits.
#pragma once

#include <corodump/detail/abi.hpp>
#include <cstdint>

#include "agent/base/fixed_string.hpp"

namespace corodump::sources {

struct running_task {
    std::uint64_t frame = 0;  ///< its address; 0: it has ended
    std::uint32_t generation = 0;
    base::fixed_string<255> function;
    base::fixed_string<87> name;  ///< that the service gave it
};

/// `record` lies in the pool; it may end at any time.
[[nodiscard]] running_task read_running(const detail::record& record) noexcept;

}  // namespace corodump::sources
