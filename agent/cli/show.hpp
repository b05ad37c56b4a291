// `corodump show FILE`: what a dump says, for whoever is on call.
//
// First the verdicts, then which objects are waited for and who holds them, then counts, then the
// groups of equal chains. A reader must see within ten seconds which object is the problem, so the
// order is that of the questions, and what is ordinary is folded and told at the end.
//
// Threads: one owner. Signals: unsafe. Blocks: as the source does. Errors: in the exit code and one
// line on `problems`. Bounds: as format/dump_reader.hpp.
#pragma once

#include <optional>
#include <ostream>
#include <string>

#include "agent/cli/show_names.hpp"
#include "agent/format/dump_reader.hpp"

namespace corodump::cli {

struct show_options {
    std::string file;                        ///< as it is called in messages; printable
    std::string against_file;                ///< likewise
    format::byte_source* against = nullptr;  ///< an older dump of the same process
    view_options view;
    std::optional<std::string> task, state, match;
    bool verdicts = false;  ///< these alone, a line each
    format::read_options read;
};

/// Returns an exit_code.
int run_show(format::byte_source& source, const show_options& options, std::ostream& out,
             std::ostream& problems);

/// One clear line: "FILE: byte 123: text (/json/pointer)".
[[nodiscard]] std::string problem_line(const std::string& file, const format::problem& what);

}  // namespace corodump::cli
