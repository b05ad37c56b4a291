// Signals, masks, limits and forks belong to a whole process: tests of these run in a child of their
// own, with a deadline. The child reports by its exit status; REQUIRE ends it with a message.
#pragma once

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#define REQUIRE(condition)                                                               \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            dprintf(2, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
            _exit(1);                                                                    \
        }                                                                                \
    } while (false)

namespace corodump::test {

inline constexpr int deadline_missed = 1000;

/// Waits for a child; kills it at the deadline. Its exit status, or minus the signal it died of.
inline int await_child(pid_t child, std::chrono::milliseconds deadline = std::chrono::seconds{60}) {
    const int handle = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
    pollfd event{handle, POLLIN, 0};
    const bool ended = poll(&event, 1, static_cast<int>(deadline.count())) == 1;
    if (!ended) kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    close(handle);
    if (!ended) return deadline_missed;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// Runs `body` in a child, which exits with 0 when it returns.
template <class Body>
int run_in_child(Body body) {
    const pid_t child = fork();
    if (child == 0) {
        body();
        _exit(0);
    }
    return await_child(child);
}

}  // namespace corodump::test
