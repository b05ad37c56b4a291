// What the parts of a dump must say of each other: ids that exist, counts that add up, joins that
// agree from both sides, each frame in exactly one chain.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: departures in the log, or
// too_many_problems, thrown. Bounds: n log n over the tasks and frames.
#pragma once

#include "agent/format/dump.hpp"
#include "agent/format/reader_fields.hpp"

namespace corodump::format {

void check_references(const dump& all, problem_log& log);

}  // namespace corodump::format
