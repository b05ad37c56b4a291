// What the tests of the triggers run in children (child_process.hpp): a watchdog whose dumps come
// through a pipe.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>

#include "agent/triggers/process_hooks.hpp"
#include "agent/triggers/request_state.hpp"
#include "agent/triggers/signal_trigger.hpp"
#include "agent/triggers/watchdog.hpp"
#include "tests/sanitizers.hpp"
#include "tests/unit/child_process.hpp"

namespace corodump::test {

using namespace std::chrono_literals;

/// A pipe over which a callback that may not allocate tells of something.
template <class Record>
class channel {
public:
    channel() { REQUIRE(pipe2(ends_, O_CLOEXEC) == 0); }
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;

    void send(const Record& record) const {
        REQUIRE(write(ends_[1], &record, sizeof(record)) == sizeof(record));
    }
    [[nodiscard]] bool arrives(std::chrono::milliseconds within) const {
        pollfd event{ends_[0], POLLIN, 0};
        return poll(&event, 1, static_cast<int>(within.count())) == 1;
    }
    [[nodiscard]] Record receive(std::chrono::milliseconds within = 20s) const {
        Record record{};
        REQUIRE(arrives(within));
        REQUIRE(read(ends_[0], &record, sizeof(record)) == sizeof(record));
        return record;
    }

private:
    int ends_[2] = {-1, -1};
};

/// A watchdog whose dumps are records in a pipe.
class test_agent {
public:
    test_agent() = default;
    test_agent(const test_agent&) = delete;
    test_agent& operator=(const test_agent&) = delete;
    ~test_agent() { (void)watch().stop(20s); }  // it ticks in this object

    struct dump {
        triggers::dump_request request;
        pid_t pid;
        pid_t tid;
    };

    [[nodiscard]] triggers::watchdog_options options() {
        triggers::watchdog_options options;
        options.context = this;
        options.tick = [](void* self) noexcept {
            static_cast<test_agent*>(self)->ticks.fetch_add(1, std::memory_order_relaxed);
        };
        options.dump = [](void* self, const triggers::dump_request& request,
                          triggers::dump_outcome& outcome) noexcept {
            snprintf(outcome.path, sizeof(outcome.path), "/dumps/%d", getpid());
            static_cast<test_agent*>(self)->dumps.send(
                {request, getpid(), static_cast<pid_t>(syscall(SYS_gettid))});
        };
        options.signal_interval = 0ns;
        return options;
    }

    /// As the runtime does it: watchdog, hooks, signal.
    void start() {
        REQUIRE(watch().start(options()) == 0);
        REQUIRE(triggers::install_process_hooks({&watch(), nullptr, nullptr}) == 0);
        REQUIRE(triggers::install_signal({}) == 0);
    }

    static triggers::watchdog& watch() {
        static constinit triggers::watchdog instance;
        return instance;
    }

    channel<dump> dumps;
    std::atomic<unsigned> ticks{0};
};

inline pid_t thread_id() {
    return static_cast<pid_t>(syscall(SYS_gettid));
}

inline bool is_blocked_here(int signal) {
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    return sigismember(&mask, signal) == 1;
}

}  // namespace corodump::test
