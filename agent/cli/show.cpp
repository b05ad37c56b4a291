#include "agent/cli/show.hpp"

#include <exception>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "agent/cli/dump_comparison.hpp"
#include "agent/cli/exit_code.hpp"
#include "agent/cli/show_report.hpp"
#include "agent/cli/task_filter.hpp"
#include "agent/cli/task_groups.hpp"
#include "agent/cli/terminal.hpp"

namespace corodump::cli {

namespace {

int show_one(const format::dump& all, const std::string& id, const show_options& options,
             show_report& report, std::ostream& problems) {
    const format::task* found = format::task_index(all).find(id);
    if (found == nullptr) {
        const std::string fate = report.fate_of(id);
        problems << "corodump: " << options.file << ": no task has the id " << printable(id)
                 << (fate.empty() ? "" : "; " + fate) << '\n';
        return exit_problem;
    }
    report.header();
    report.one_task(*found);
    report.footer();
    return exit_ok;
}

int show_filtered(const format::dump& all, const std::vector<task_group>& groups,
                  show_report& report, std::ostream& out) {
    std::size_t admitted = 0;
    for (const task_group& g : groups) admitted += g.tasks.size();
    report.header();
    report.cautions();
    out << '\n'
        << human_count(admitted) << " of " << counted(all.tasks.size(), "task")
        << " match; the others, the verdicts and the summary are not shown\n";
    if (admitted == 0) return exit_problem;
    report.groups(groups);
    report.footer();
    return exit_ok;
}

/// For scripts, and for whoever has only a minute.
int show_verdicts(const format::dump& all, std::ostream& out) {
    for (const format::verdict& v : all.verdicts)
        out << printable(v.severity.view()) << ": " << printable(v.statement.view()) << '\n';
    if (all.verdicts.empty()) out << "no verdict\n";
    return exit_ok;
}

/// The older dump, where there is one: its comparison stands behind the verdicts.
using older_dump = std::optional<format::dump>;

int show(const format::dump& all, const older_dump& older, const show_options& options,
         std::ostream& out, std::ostream& problems) {
    if (options.verdicts) return show_verdicts(all, out);
    task_filter filter(options.state, options.match);
    show_report report(all, options.view, out);
    if (options.task) return show_one(all, *options.task, options, report, problems);
    const std::vector<task_group> groups = fold(all, filter);
    if (filter.active()) return show_filtered(all, groups, report, out);
    report.header();
    report.cautions();
    report.verdicts();
    if (older) {
        const dump_comparison comparison(*older, all);
        if (!comparison.comparable()) {
            problems << "corodump: " << options.against_file
                     << ": is not an older dump of the same process\n";
            return exit_problem;
        }
        show_comparison(comparison, *older, all, options.view, out);
    }
    report.objects();
    report.summary();
    if (!groups.empty()) report.groups(groups);
    report.loops();
    report.resources();
    report.profile();
    report.failures();
    report.threads();
    report.footer();
    return exit_ok;
}

}  // namespace

std::string problem_line(const std::string& file, const format::problem& what) {
    std::string line = file + ": ";
    if (what.offset) line += "byte " + std::to_string(*what.offset) + ": ";
    line += printable(what.text);
    if (!what.pointer.empty()) line += " (" + cut_to(printable(what.pointer), 120) + ')';
    return line;
}

int run_show(format::byte_source& source, const show_options& options, std::ostream& out,
             std::ostream& problems) {
    try {
        // A bad pattern is told before gigabytes are read.
        const task_filter early(options.state, options.match);
        const format::read_result read = format::read_dump(source, options.read);
        if (read.error) {
            problems << "corodump: " << problem_line(options.file, *read.error) << '\n';
            return exit_unreadable;
        }
        older_dump older;
        if (options.against != nullptr) {
            format::read_result then = format::read_dump(*options.against, options.read);
            if (then.error) {
                problems << "corodump: " << problem_line(options.against_file, *then.error) << '\n';
                return exit_unreadable;
            }
            older = std::move(then.dump);
        }
        const int code = show(read.dump, older, options, out, problems);
        if (out.flush()) return code;
        problems << "corodump: the output cannot be written\n";
        return exit_problem;
    } catch (const usage_error& wrong) {
        problems << "corodump: " << wrong.what() << '\n';
        return exit_usage;
    } catch (const std::exception& failure) {
        problems << "corodump: " << options.file << ": " << failure.what() << '\n';
        return exit_unreadable;
    }
}

}  // namespace corodump::cli
