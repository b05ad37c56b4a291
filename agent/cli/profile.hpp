// `corodump profile`: what a dump says of where coroutines spent their time, as a table or for
// another tool; also what came between two dumps.
//
// Threads: one owner. Signals: unsafe. Blocks: on the files. Errors: an exit code, told to
// `problems`. Bounds: as format/dump_reader.hpp.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>

#include "agent/cli/profile_report.hpp"
#include "agent/format/dump_reader.hpp"

namespace corodump::cli {

struct profile_options {
    std::string file, against_file;
    format::byte_source* against = nullptr;  ///< an older dump; nullptr: none
    format::read_options read;
    std::string format = "text";  ///< text, json, folded, speedscope, callgrind
    std::string
        by;  ///< running, cpu, suspended, waiting, resumes; empty: the first that was measured
    std::size_t top = 0;  ///< functions of the table; 0: all
    bool colours = false;
};

[[nodiscard]] int run_profile(format::byte_source& source, const profile_options& options,
                              std::ostream& out, std::ostream& problems);

}  // namespace corodump::cli
