#include "agent/cli/validate.hpp"

#include <ostream>

#include "agent/cli/exit_code.hpp"
#include "agent/cli/show.hpp"
#include "agent/cli/terminal.hpp"

namespace corodump::cli {

int run_validate(format::byte_source& source, const validate_options& options, std::ostream& out,
                 std::ostream& problems) {
    const format::check_result result = format::check_dump(source, options.read);
    if (result.problems.empty()) {
        out << options.file << ": valid, format 1, " << counted(result.tasks, "task") << '\n';
        return out.flush() ? exit_ok : exit_problem;
    }
    for (const format::problem& p : result.problems) {
        problems << "corodump: " << problem_line(options.file, p) << '\n';
    }
    if (result.unreadable) return exit_unreadable;
    problems << "corodump: " << options.file << ": not valid, " << (result.more ? "at least " : "")
             << counted(result.problems.size(), "problem") << '\n';
    return exit_problem;
}

}  // namespace corodump::cli
