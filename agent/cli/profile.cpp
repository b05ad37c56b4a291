#include "agent/cli/profile.hpp"

#include <exception>
#include <utility>

#include "agent/cli/dump_comparison.hpp"
#include "agent/cli/exit_code.hpp"
#include "agent/cli/profile_exports.hpp"
#include "agent/cli/profile_tree.hpp"
#include "agent/cli/show.hpp"
#include "agent/cli/terminal.hpp"

namespace corodump::cli {
namespace {

/// What ends the command, already told.
struct ended {
    int code;
};

format::dump read(format::byte_source& source, const std::string& file,
                  const profile_options& options, std::ostream& problems) {
    format::read_result got = format::read_dump(source, options.read);
    if (got.error) {
        problems << "corodump: " << problem_line(file, *got.error) << '\n';
        throw ended{exit_unreadable};
    }
    if (!got.dump.profile.there) {
        problems << "corodump: " << file
                 << ": has no profile: CORODUMP_PROFILE=wall or corodump::profile::start() makes "
                    "one\n";
        throw ended{exit_problem};
    }
    return std::move(got.dump);
}

profile_measure measure_of(const profile_tree& profile, const profile_options& options,
                           std::ostream& problems) {
    if (options.by.empty())
        return profile.times() ? profile_measure::running : profile_measure::resumes;
    for (const profile_measure by :
         {profile_measure::running, profile_measure::cpu, profile_measure::suspended,
          profile_measure::waiting, profile_measure::resumes}) {
        if (name_of(by) != options.by) continue;
        if (by == profile_measure::resumes || profile.processor_time() ||
            (profile.times() && by != profile_measure::cpu))
            return by;
    }
    problems << "corodump: " << options.file << ": --by " << printable(options.by)
             << ": this was not measured, the profile's clock was " << printable(profile.clock())
             << '\n';
    throw ended{exit_problem};
}

void write(const profile_tree& profile, const format::dump& from, const profile_options& options,
           std::ostream& out, std::ostream& problems) {
    const profile_measure by = measure_of(profile, options, problems);
    const std::string name =
        from.process.exe ? std::string(from.process.exe.view()) : std::string("corodump");
    if (options.format == "json") {
        write_profile_json(profile, out);
    } else if (options.format == "folded") {
        // What waits for another that waits would be counted again and again.
        write_profile_folded(profile,
                             by == profile_measure::suspended ? profile_measure::waiting : by, out);
    } else if (options.format == "speedscope") {
        write_profile_speedscope(profile, name, out);
    } else if (options.format == "callgrind") {
        write_profile_callgrind(profile, name, out);
    } else {
        const std::size_t hidden =
            write_profile_table(profile, {by, options.top, options.colours}, out);
        if (hidden != 0) out << counted(hidden, "more function") << " not shown\n";
    }
}

void run(format::byte_source& source, const profile_options& options, std::ostream& out,
         std::ostream& problems) {
    const format::dump newer = read(source, options.file, options, problems);
    profile_tree profile(newer);
    if (options.against != nullptr) {
        const format::dump older = read(*options.against, options.against_file, options, problems);
        if (!dump_comparison(older, newer).comparable() || !profile.subtract(profile_tree(older))) {
            problems << "corodump: " << options.against_file
                     << ": is not an older dump of the same process and profile\n";
            throw ended{exit_problem};
        }
    }
    write(profile, newer, options, out, problems);
}

}  // namespace

int run_profile(format::byte_source& source, const profile_options& options, std::ostream& out,
                std::ostream& problems) {
    try {
        run(source, options, out, problems);
        if (out.flush()) return exit_ok;
        problems << "corodump: the output cannot be written\n";
        return exit_problem;
    } catch (const ended& told) {
        return told.code;
    } catch (const std::exception& failure) {
        problems << "corodump: " << options.file << ": " << failure.what() << '\n';
        return exit_unreadable;
    }
}

}  // namespace corodump::cli
