// Chaos 26: what a new program inherits is what it would inherit without the agent. Each way to
// start one is taken before and after the install, in a host of each kind; grep reports.
#include <gtest/gtest.h>
#include <pthread.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <string>

#include "tests/unit/triggers/child.hpp"

extern char** environ;

namespace corodump::test {
namespace {

constexpr char program[] = "/bin/grep";
constexpr char pattern[] = "^Sig[BI]";
constexpr char command[] = "/bin/grep '^Sig[BI]' /proc/self/status";
char* const arguments[] = {const_cast<char*>("grep"), const_cast<char*>(pattern),
                           const_cast<char*>("/proc/self/status"), nullptr};

template <class Exec>
void fork_and(Exec exec) {
    const pid_t child = fork();
    if (child == 0) {
        exec();
        _exit(127);
    }
    REQUIRE(await_child(child) == 0);
}

struct way {
    const char* name;
    void (*start)();
};

void spawn_with(posix_spawnattr_t* attributes) {
    pid_t child = 0;
    REQUIRE(posix_spawn(&child, program, nullptr, attributes, arguments, environ) == 0);
    REQUIRE(await_child(child) == 0);
}

void spawn_with_own_mask() {
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGUSR2);
    posix_spawnattr_setsigmask(&attributes, &mask);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    spawn_with(&attributes);
    posix_spawnattr_destroy(&attributes);
}

void spawn_with_group() {
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    spawn_with(&attributes);
    short flags = 0;
    posix_spawnattr_getflags(&attributes, &flags);
    REQUIRE(flags == POSIX_SPAWN_SETPGROUP);  // the host's attributes are not touched
    posix_spawnattr_destroy(&attributes);
}

void through_popen() {
    FILE* const output = popen(command, "r");
    REQUIRE(output != nullptr);
    char text[512];
    const std::size_t got = fread(text, 1, sizeof(text), output);
    REQUIRE(pclose(output) == 0);
    REQUIRE(write(1, text, got) == static_cast<ssize_t>(got));
}

void after_vfork() {
    const pid_t child = vfork();
    if (child == 0) {
        execl("/nonexistent", "grep", nullptr);  // a failed attempt first, as execvp in a PATH
        execl(program, "grep", pattern, "/proc/self/status", nullptr);
        _exit(127);
    }
    REQUIRE(await_child(child) == 0);
}

constexpr way ways[] = {
    {"posix_spawn", [] { spawn_with(nullptr); }},
    {"posix_spawn with a mask", spawn_with_own_mask},
    {"posix_spawn with a group", spawn_with_group},
    {"posix_spawnp",
     [] {
         pid_t child = 0;
         REQUIRE(posix_spawnp(&child, "grep", nullptr, nullptr, arguments, environ) == 0);
         REQUIRE(await_child(child) == 0);
     }},
    {"system", [] { REQUIRE(system(command) == 0); }},
    {"popen", through_popen},
    {"vfork", after_vfork},
    {"execve", [] { fork_and([] { execve(program, arguments, environ); }); }},
    {"execv", [] { fork_and([] { execv(program, arguments); }); }},
    {"execvp", [] { fork_and([] { execvp("grep", arguments); }); }},
    {"execvpe", [] { fork_and([] { execvpe("grep", arguments, environ); }); }},
    {"fexecve",
     [] { fork_and([] { fexecve(open(program, O_RDONLY | O_CLOEXEC), arguments, environ); }); }},
    {"execveat", [] { fork_and([] { execveat(AT_FDCWD, program, arguments, environ, 0); }); }},
    {"execl",
     [] { fork_and([] { execl(program, "grep", pattern, "/proc/self/status", nullptr); }); }},
    {"execlp",
     [] { fork_and([] { execlp("grep", "grep", pattern, "/proc/self/status", nullptr); }); }},
    {"execle",
     [] {
         fork_and([] { execle(program, "grep", pattern, "/proc/self/status", nullptr, environ); });
     }},
};

/// What programs started in this way say of themselves.
std::string inherited(const way& way) {
    const int output = memfd_create("output", 0);
    REQUIRE(dup2(output, 1) == 1);
    way.start();
    char text[512];
    const ssize_t got = pread(output, text, sizeof(text), 0);
    REQUIRE(got > 0);
    close(output);
    return {text, static_cast<std::size_t>(got)};
}

void expect_no_difference(void (*prepare)()) {
    for (const way& way : ways) {
        EXPECT_EQ(0, run_in_child([&way, prepare] {
                      prepare();
                      const std::string before = inherited(way);
                      test_agent agent;
                      agent.start();
                      const std::string during = inherited(way);
                      if (before != during)
                          dprintf(2, "before: %s\nduring: %s\n", before.c_str(), during.c_str());
                      REQUIRE(before == during);
                      // And the host itself is as the agent left it.
                      REQUIRE(is_blocked_here(SIGUSR1) && !triggers::signal_taken_over());
                      REQUIRE(kill(getpid(), SIGUSR1) == 0);
                      (void)agent.dumps.receive();
                      REQUIRE(triggers::uninstall_signal(triggers::afterwards::restore) == 0);
                      REQUIRE(inherited(way) == before);
                  }))
            << way.name;
    }
}

TEST(SpawnWrappers, ChangeNothingForADefaultHost) {
    expect_no_difference([] {});
}

TEST(SpawnWrappers, ChangeNothingForAHostThatIgnoresTheSignal) {
    expect_no_difference([] { signal(SIGUSR1, SIG_IGN); });
}

TEST(SpawnWrappers, ChangeNothingForAHostWithAHandler) {
    expect_no_difference([] { signal(SIGUSR1, [](int) {}); });
}

TEST(SpawnWrappers, ChangeNothingForAHostThatBlocksTheSignal) {
    expect_no_difference([] {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigaddset(&set, SIGUSR2);
        pthread_sigmask(SIG_BLOCK, &set, nullptr);
    });
}

TEST(SpawnWrappers, ReportTheErrorsOfWhatTheyWrap) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  agent.start();
                  REQUIRE(execv("/nonexistent", arguments) == -1 && errno == ENOENT);
                  REQUIRE(execl("/etc/passwd", "x", nullptr) == -1 && errno == EACCES);
                  pid_t child = 0;
                  REQUIRE(posix_spawn(&child, "/nonexistent", nullptr, nullptr, arguments,
                                      environ) == ENOENT);
                  REQUIRE(system(nullptr) != 0);
                  REQUIRE(WEXITSTATUS(system("exit 7")) == 7);
                  REQUIRE(popen("true", "neither") == nullptr && errno == EINVAL);
                  REQUIRE(is_blocked_here(SIGUSR1));
              }));
}

TEST(SpawnWrappers, PassEveryArgumentOfAList) {
    EXPECT_EQ(0, run_in_child([] {
                  const int output = memfd_create("output", 0);
                  REQUIRE(dup2(output, 1) == 1);
                  fork_and([] {
                      const char* const environment[] = {"WHO=list", nullptr};
                      execle("/bin/sh", "sh", "-c", "echo $WHO $0 $1 $2 $#", "a", "b", "c", nullptr,
                             environment);
                  });
                  char text[64] = {};
                  REQUIRE(pread(output, text, sizeof(text) - 1, 0) > 0);
                  REQUIRE(std::string{text} == "list a b c 2\n");
              }));
}

}  // namespace
}  // namespace corodump::test
