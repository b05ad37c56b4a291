// A profile for other tools.
//
//   json        what the table has, and the tree of chains with what each took altogether
//   folded      a line for each chain, `outermost;...;innermost N`: flame graphs (flamegraph.pl,
//               inferno, speedscope). N: microseconds of the innermost's own time, or resumes.
//               Of time suspended only what is `waiting` can be added up
//   speedscope  https://www.speedscope.app/file-format-schema.json, "sampled", one profile for each
//               time that was measured; in nanoseconds
//   callgrind   the Callgrind Profile Format of Valgrind's manual, for callgrind_annotate and
//               KCachegrind; nanoseconds. A function inside of itself is f'2, as Valgrind names it
//
// Threads: any. Signals: unsafe. Blocks: as the stream does. Errors: std::bad_alloc; the stream's
// state.
#pragma once

#include <ostream>
#include <string>

#include "agent/cli/profile_report.hpp"
#include "agent/cli/profile_tree.hpp"

namespace corodump::cli {

void write_profile_json(const profile_tree& profile, std::ostream& out);
void write_profile_folded(const profile_tree& profile, profile_measure by, std::ostream& out);
/// `name`: what was profiled.
void write_profile_speedscope(const profile_tree& profile, const std::string& name,
                              std::ostream& out);
void write_profile_callgrind(const profile_tree& profile, const std::string& name,
                             std::ostream& out);

}  // namespace corodump::cli
