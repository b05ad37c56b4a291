// The command line of `corodump`: CLI11 takes it apart, the commands do the work.
//
// Threads: the main thread. Signals: unsafe. Blocks: as the command does. Errors: one line on
// `problems` and an exit_code, never an exception.
#pragma once

#include <ostream>

namespace corodump::cli {

int run_command_line(int argc, const char* const* argv, std::ostream& out, std::ostream& problems);

}  // namespace corodump::cli
