// `corodump trigger PID`: asks the agent in a running process for a dump, and says what became of
// that very request.
//
//   hold the process (pidfd) -> find its beacon -> read `requests` -> signal the agent's own thread
//   -> wait until `answered` is beyond what was read -> print the path, or why there is none
//
// A process without an agent is never signalled, since SIGUSR1 kills by default; --force signals
// one that has a handler of its own.
//
// Threads: one owner. Signals: unsafe. Blocks: up to `timeout`. Errors: in the exit code and one
// line.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <ostream>

namespace corodump::cli {

struct trigger_options {
    pid_t pid = 0;
    bool force = false;
    std::chrono::milliseconds timeout = std::chrono::seconds(30);
};

/// The path goes to `out`, all else to `problems`. Returns an exit_code.
int run_trigger(const trigger_options& options, std::ostream& out, std::ostream& problems);

}  // namespace corodump::cli
