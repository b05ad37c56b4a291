// `corodump validate FILE`: does a dump keep the contract of format 1?
//
// Threads: one owner. Signals: unsafe. Blocks: as the source does. Errors: in the exit code.
// Bounds: at most 50 problems are told.
#pragma once

#include <ostream>
#include <string>

#include "agent/format/dump_reader.hpp"

namespace corodump::cli {

struct validate_options {
    std::string file;  ///< as it is called in messages; printable
    format::read_options read;
};

/// Returns an exit_code.
int run_validate(format::byte_source& source, const validate_options& options, std::ostream& out,
                 std::ostream& problems);

}  // namespace corodump::cli
