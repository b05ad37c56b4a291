// The exit codes of the `corodump` command: documented in its --help and in corodump(1), so scripts
// rely on them.
#pragma once

namespace corodump::cli {

enum exit_code : int {
    exit_ok = 0,
    exit_problem = 1,     ///< the file breaks the format, nothing matched, or the dump failed
    exit_usage = 2,       ///< the command line makes no sense
    exit_unreadable = 3,  ///< the file cannot be read, or is no dump
    exit_refused = 4,     ///< no such process, no agent in it, or the signal would do harm
    exit_no_answer = 5,   ///< the process is stopped, or did not answer in time
    exit_permission = 6,  ///< the kernel does not let us
};

inline constexpr char exit_code_help[] =
    "Exit codes:\n"
    "  0  all went well\n"
    "  1  validate found problems; show found no such task; the dump failed\n"
    "  2  the command line makes no sense\n"
    "  3  the file cannot be read, or (show) is not a whole dump\n"
    "  4  trigger refused: no such process, no agent in it, or the signal would harm it\n"
    "  5  the process is stopped, or did not answer in time\n"
    "  6  permission denied\n";

}  // namespace corodump::cli
