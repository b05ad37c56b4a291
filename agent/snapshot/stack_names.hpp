// Names the stacks that the host's threads keep in the depot: of creations, and of what is opened.
//
// Threads: watchdog only. Signals: unsafe. Blocks: on the file system of the images. Errors: fewer
// frames. Bounds: the depot's depth; after `deadline_ns` nothing is looked up that is not known.
#pragma once

#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/snapshot/code_names.hpp"
#include "agent/snapshot/native_names.hpp"
#include "agent/symbols/unwind_tables.hpp"

namespace corodump::snapshot {

class stack_names {
public:
    /// `deadline_ns`: CLOCK_MONOTONIC, 0: none.
    stack_names(base::arena& memory, code_names& code, std::int64_t deadline_ns) noexcept;

    /// Innermost first, as far as they are those of calls: an image may have been unmapped since,
    /// and where code has no frame pointers the walk may have found anything.
    [[nodiscard]] std::span<const model::native_frame> frames_of(std::uint32_t id) noexcept;

private:
    base::arena& memory_;
    symbols::unwind_tables* tables_;  ///< null: no memory
    native_names names_;
    std::int64_t deadline_ns_;
};

}  // namespace corodump::snapshot
