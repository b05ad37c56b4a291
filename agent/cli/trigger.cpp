#include "agent/cli/trigger.hpp"

#include <signal.h>
#include <string.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <ostream>
#include <string>

#include "agent/cli/beacon_reader.hpp"
#include "agent/cli/exit_code.hpp"
#include "agent/cli/target_process.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/model/beacon.hpp"

namespace corodump::cli {

namespace {

using clock = std::chrono::steady_clock;

std::string process_name(const target_process& target, const process_status& status) {
    return "process " + std::to_string(target.pid()) + " (" + printable(status.name) + ')';
}

std::string signal_name(int signal) {
    const char* const known = ::sigabbrev_np(signal);
    return known != nullptr ? std::string("SIG") + known : "signal " + std::to_string(signal);
}

void refuse_stopped(const std::string& name, const process_status& status) {
    if (!status.stopped()) return;
    throw trigger_error(exit_no_answer, name +
                                            " is stopped (SIGSTOP or a debugger), so its agent "
                                            "cannot answer; `kill -CONT` lets it go on");
}

void refuse_zombie(const std::string& name, const process_status& status) {
    if (!status.zombie()) return;
    throw trigger_error(exit_refused, name +
                                          " is a zombie: it has ended, and its parent has not "
                                          "yet asked for its exit status");
}

/// No agent: says what the signal would do, and sends it only where it is asked for and harmless.
int without_agent(const target_process& target, const std::string& name,
                  const std::string& rejected, bool force, std::ostream& problems) {
    const std::string has_none =
        rejected.empty() ? name + " has no corodump agent" : name + ": " + rejected;
    switch (target.status().on(SIGUSR1)) {
        case disposition::fatal:
            throw trigger_error(exit_refused, has_none + "; SIGUSR1 would kill it, not sent");
        case disposition::ignored:
            throw trigger_error(exit_refused, has_none + "; it ignores SIGUSR1, not sent");
        case disposition::handled:
            break;
    }
    if (!force) {
        throw trigger_error(exit_refused, has_none +
                                              "; it has its own handler for SIGUSR1, "
                                              "which --force would call");
    }
    if (!target.alive()) throw trigger_error(exit_problem, name + " has ended");
    target.signal_process(SIGUSR1);
    problems << "corodump: " << has_none
             << "; sent SIGUSR1 to its own handler, no dump is expected\n";
    return exit_ok;
}

void send(const target_process& target, const beacon_view& beacon) {
    std::optional<pid_t> thread;
    if (beacon.signal_tid > 0) {
        thread = target.find_thread(beacon.signal_tid, model::signal_thread_name);
    }
    // Without a thread of its own for signals the agent takes them from the process's queue.
    if (thread) return target.signal_thread(*thread, beacon.signal);
    target.signal_process(beacon.signal);
}

[[noreturn]] void timed_out(const target_process& target, const std::string& name,
                            const beacon_reader& reader, std::uint64_t requests_before,
                            std::chrono::milliseconds timeout) {
    refuse_stopped(name, target.status());
    const std::string what =
        reader.requests() > requests_before
            ? " took the request but has not finished its dump"
            : " has not taken the request (its handler was replaced, or its threads do not run)";
    throw trigger_error(
        exit_no_answer,
        name + what + " within " + human_duration(std::chrono::duration<double>(timeout).count()));
}

void wait_for_answer(const target_process& target, const std::string& name,
                     const beacon_reader& reader, std::uint64_t requests_before,
                     std::chrono::milliseconds timeout) {
    constexpr std::chrono::milliseconds longest_pause(50);
    constexpr auto status_interval = std::chrono::milliseconds(250);
    const auto deadline = clock::now() + timeout;
    auto next_status = clock::now() + status_interval;
    std::chrono::milliseconds pause(1);
    while (reader.answered() <= requests_before) {
        if (clock::now() >= deadline) timed_out(target, name, reader, requests_before, timeout);
        if (target.wait_for_death(pause)) {
            throw trigger_error(exit_problem, name + " ended before its dump was written");
        }
        if (clock::now() >= next_status) {
            refuse_stopped(name, target.status());
            next_status = clock::now() + status_interval;
        }
        pause = std::min(pause * 2, longest_pause);
    }
}

int report(const target_process& target, const std::string& name, const beacon_view& beacon,
           std::ostream& out) {
    if (beacon.last_error != 0 || beacon.last_path.empty()) {
        const std::string why = beacon.last_error_text.empty()
                                    ? "errno " + std::to_string(beacon.last_error)
                                    : printable(beacon.last_error_text);
        throw trigger_error(exit_problem, name + " could not write its dump: " + why);
    }
    out << printable(target.path_from_here(beacon.last_path)) << '\n';
    return out.flush() ? exit_ok : exit_problem;
}

int ask(const target_process& target, const process_status& status, const trigger_options& options,
        std::ostream& out, std::ostream& problems) {
    const std::string name = process_name(target, status);
    refuse_zombie(name, status);
    const beacon_reader reader(target, status);
    if (!reader.has_agent()) {
        return without_agent(target, name, reader.rejected(), options.force, problems);
    }
    const beacon_view before = reader.read();
    if (target.status().on(before.signal) != disposition::handled) {
        throw trigger_error(exit_refused, name + " has an agent, but no longer its handler for " +
                                              signal_name(before.signal) + "; not sent");
    }
    refuse_stopped(name, target.status());
    send(target, before);
    wait_for_answer(target, name, reader, before.requests, options.timeout);
    return report(target, name, reader.read(), out);
}

int trigger(const trigger_options& options, std::ostream& out, std::ostream& problems) {
    const target_process target(options.pid);
    const process_status status = target.status();
    try {
        return ask(target, status, options, out, problems);
    } catch (const trigger_error&) {
        // A zombie still has its pid. Of one that is gone, what was read since may be another's.
        if (target.alive() || status.zombie()) throw;
    }
    target.ended();
}

}  // namespace

int run_trigger(const trigger_options& options, std::ostream& out, std::ostream& problems) {
    try {
        return trigger(options, out, problems);
    } catch (const trigger_error& error) {
        problems << "corodump: " << error.what() << '\n';
        return error.code;
    } catch (const std::exception& error) {
        problems << "corodump: " << error.what() << '\n';
        return exit_problem;
    }
}

}  // namespace corodump::cli
