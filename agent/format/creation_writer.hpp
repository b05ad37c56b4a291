// Writes what a dump knows of creations: the stacks that its tasks were created on, and how they
// were traced. Nothing where creations are not traced.
//
//   "creation_stacks":[{"id":…,"count":…,"frames":[…]}, …],
//   "creation":{"mode":…,"budget_percent":…, … "stacks_left_out":…}
//
// Threads: one owner. Signals: unsafe. Blocks: as long as the sink does.
// Bounds:  as the model says; stacks that would take the file over its limit are left out, counted.
#pragma once

#include <cstdint>

#include "agent/format/json_writer.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::format {

/// Bytes that write_creation takes, roughly.
[[nodiscard]] std::uint64_t room_for_creation(const model::snapshot& all) noexcept;

/// Two members, each on a line. `room_behind`: bytes that are to follow.
void write_creation(json_writer& out, const model::snapshot& all,
                    std::uint64_t room_behind) noexcept;

}  // namespace corodump::format
