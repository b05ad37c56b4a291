// Writes the profile of a dump, a line for each function and chain.
//
//   "profile":{"session":1,"running":true,"clock":"wall","seconds":…,"dropped_resumes":…,
//     "functions":[{place,"calls":…,"resumes":…,"running_seconds":…, …}, …],
//     "chains":[{"function":0,"parent":null,"calls":…, …}, …]}
//
// Threads: one owner. Signals: unsafe. Blocks: as long as the sink does.
// Errors:  what was not measured becomes null.
// Bounds:  as the model says; the writer's buffer.
#pragma once

#include "agent/format/json_writer.hpp"
#include "agent/format/place_writer.hpp"
#include "agent/model/profile.hpp"

namespace corodump::format {

/// As a member of an object that is open; nothing where there is no profile.
void write_profile(json_writer& out, place_writer& places, const model::snapshot& all) noexcept;

}  // namespace corodump::format
