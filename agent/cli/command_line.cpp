#include "agent/cli/command_line.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <fstream>
#include <ostream>
#include <string>

#include "agent/cli/exit_code.hpp"
#include "agent/cli/input_file.hpp"
#include "agent/cli/profile.hpp"
#include "agent/cli/show.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/cli/trigger.hpp"
#include "agent/cli/validate.hpp"
#include "agent/cli/version.hpp"

namespace corodump::cli {

namespace {

struct arguments {
    std::string file;
    std::string against;
    std::uint64_t max_bytes = format::default_max_bytes;
    show_options show;
    trigger_options trigger;
    profile_options profile;
    std::string output;
    double timeout_seconds = 30;
};

void add_file(CLI::App& command, arguments& args) {
    command.add_option("FILE", args.file, "The dump; - reads standard input")->required();
    command.add_option("--max-bytes", args.max_bytes, "Refuse a file larger than this")
        ->capture_default_str();
}

void add_show(CLI::App& app, arguments& args) {
    CLI::App& show = *app.add_subcommand("show", "Say what a dump means, the verdict first");
    add_file(show, args);
    show.add_flag("--all", args.show.view.all, "Fold, cut and hide nothing");
    auto* const task =
        show.add_option("--task", args.show.task, "Show one task: its id, or its address");
    auto* const state =
        show.add_option("--state", args.show.state,
                        "Only tasks in this state or activity, like pending or running");
    state->check(CLI::IsMember({"pending", "done", "failed", "cancelled", "not_started",
                                "suspended", "running", "unknown"}));
    auto* const match = show.add_option(
        "--match", args.show.match,
        "Only tasks with a frame's function or file, awaitable, name or label (NAME=VALUE) that "
        "matches this extended regular expression");
    task->excludes(state)->excludes(match);
    show.add_option(
            "--against", args.against,
            "An older dump of the same process: say what became more, and what has not moved")
        ->excludes(task)
        ->excludes(state)
        ->excludes(match);
    show.add_flag("--verdicts", args.show.verdicts, "Only the verdicts, a line each")
        ->excludes(task)
        ->excludes(state)
        ->excludes(match);
}

void add_validate(CLI::App& app, arguments& args) {
    add_file(*app.add_subcommand("validate", "Check a dump against the contract of format 1"),
             args);
}

void add_profile(CLI::App& app, arguments& args) {
    CLI::App& profile = *app.add_subcommand(
        "profile", "Say where coroutines spent their time, for people or for another tool");
    add_file(profile, args);
    profile
        .add_option("--against", args.against,
                    "An older dump of the same profile: only what came after it")
        ->type_name("OLDER");
    profile.add_option("--format", args.profile.format, "How to write it")
        ->capture_default_str()
        ->check(CLI::IsMember({"text", "json", "folded", "speedscope", "callgrind"}));
    profile
        .add_option("--by", args.profile.by,
                    "What the table is sorted by, and what folded stacks weigh")
        ->check(CLI::IsMember({"running", "cpu", "suspended", "waiting", "resumes"}));
    profile.add_option("--top", args.profile.top, "Only so many functions in the table");
    profile.add_option("-o,--output", args.output, "Write to this file")->type_name("FILE");
}

void add_trigger(CLI::App& app, arguments& args) {
    constexpr double longest_timeout_seconds = 86400;
    CLI::App& trigger = *app.add_subcommand(
        "trigger", "Make the agent in a process write a dump, and print its path");
    trigger.add_option("PID", args.trigger.pid, "The process")
        ->required()
        ->check(CLI::PositiveNumber);
    trigger.add_flag("--force", args.trigger.force,
                     "Without an agent: signal a process that has its own handler for SIGUSR1");
    trigger.add_option("--timeout", args.timeout_seconds, "Seconds to wait for the dump")
        ->capture_default_str()
        ->check(CLI::Range(0.0, longest_timeout_seconds));
}

template <class Run>
int with_file(const std::string& path, std::ostream& problems, const Run& run) {
    input_file file(path);
    if (file.error().empty()) return run(file);
    problems << "corodump: " << file.name() << ": " << file.error() << '\n';
    return exit_unreadable;
}

int show(arguments& args, std::ostream& out, std::ostream& problems) {
    args.show.view.colours = wants_colours(STDOUT_FILENO);
    args.show.view.width = terminal_width(STDOUT_FILENO);
    args.show.read.max_bytes = args.max_bytes;
    return with_file(args.file, problems, [&](input_file& file) {
        args.show.file = file.name();
        if (args.against.empty()) return run_show(file.source(), args.show, out, problems);
        return with_file(args.against, problems, [&](input_file& older) {
            args.show.against_file = older.name();
            args.show.against = &older.source();
            return run_show(file.source(), args.show, out, problems);
        });
    });
}

int validate(const arguments& args, std::ostream& out, std::ostream& problems) {
    return with_file(args.file, problems, [&](input_file& file) {
        return run_validate(file.source(), {file.name(), {args.max_bytes}}, out, problems);
    });
}

int trigger(arguments& args, std::ostream& out, std::ostream& problems) {
    args.trigger.timeout = std::chrono::milliseconds(
        static_cast<std::chrono::milliseconds::rep>(args.timeout_seconds * 1000));
    return run_trigger(args.trigger, out, problems);
}

int profile_to(std::ostream& out, arguments& args, std::ostream& problems) {
    args.profile.read.max_bytes = args.max_bytes;
    return with_file(args.file, problems, [&](input_file& file) {
        args.profile.file = file.name();
        if (args.against.empty()) return run_profile(file.source(), args.profile, out, problems);
        return with_file(args.against, problems, [&](input_file& older) {
            args.profile.against_file = older.name();
            args.profile.against = &older.source();
            return run_profile(file.source(), args.profile, out, problems);
        });
    });
}

int profile(arguments& args, std::ostream& out, std::ostream& problems) {
    args.profile.colours = args.output.empty() && wants_colours(STDOUT_FILENO);
    if (args.output.empty()) return profile_to(out, args, problems);
    std::ofstream file(args.output, std::ios::binary);
    if (!file) {
        problems << "corodump: " << args.output << ": cannot be written\n";
        return exit_problem;
    }
    return profile_to(file, args, problems);
}

int usage(const CLI::ParseError& error, std::ostream& problems) {
    problems << "corodump: " << printable(error.what()) << "; `corodump --help` tells more\n";
    return exit_usage;
}

int run(int argc, const char* const* argv, std::ostream& out, std::ostream& problems) {
    arguments args;
    CLI::App app("Shows what the coroutines of a service are waiting for", "corodump");
    app.set_version_flag("--version", std::string("corodump ") + CORODUMP_VERSION);
    app.footer(exit_code_help);
    app.require_subcommand(1);
    add_show(app, args);
    add_validate(app, args);
    add_profile(app, args);
    add_trigger(app, args);
    for (CLI::App* command : app.get_subcommands(nullptr)) command->footer(exit_code_help);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& wanted) {  // --help, --version
        app.exit(wanted, out, out);
        return out.flush() ? exit_ok : exit_problem;
    } catch (const CLI::ParseError& error) {
        return usage(error, problems);
    }
    if (app.got_subcommand("show")) return show(args, out, problems);
    if (app.got_subcommand("validate")) return validate(args, out, problems);
    if (app.got_subcommand("profile")) return profile(args, out, problems);
    return trigger(args, out, problems);
}

}  // namespace

int run_command_line(int argc, const char* const* argv, std::ostream& out, std::ostream& problems) {
    try {
        return run(argc, argv, out, problems);
    } catch (const std::exception& failure) {
        problems << "corodump: " << printable(failure.what()) << '\n';
        return exit_problem;
    }
}

}  // namespace corodump::cli
