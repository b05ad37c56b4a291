#include "agent/triggers/process_hooks.hpp"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/unit/triggers/child.hpp"

namespace corodump::test {
namespace {

/// Forks twice, as daemons do; the grandchild runs `body`. Returns the grandchild's exit status.
template <class Body>
int run_in_daemon(Body body) {
    channel<int> status;
    const pid_t first = fork();
    if (first == 0) {
        REQUIRE(setsid() > 0);
        if (fork() != 0) _exit(0);
        body();
        status.send(0);
        _exit(0);
    }
    REQUIRE(await_child(first) == 0);
    return status.receive(30s);
}

TEST(ProcessHooks, UnblockTheSignalInAChildAndKeepItHarmless) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  agent.start();
                  REQUIRE(is_blocked_here(SIGUSR1) && !triggers::is_orphaned());
                  const pid_t child = fork();
                  if (child == 0) {
                      REQUIRE(!is_blocked_here(SIGUSR1) && triggers::is_orphaned());
                      REQUIRE(!agent.watch().running() && triggers::signal_thread_tid() == 0);
                      REQUIRE(raise(SIGUSR1) == 0);
                      _exit(0);
                  }
                  REQUIRE(await_child(child) == 0);
                  REQUIRE(is_blocked_here(SIGUSR1) && !triggers::is_orphaned());
              }));
}

TEST(ProcessHooks, LeaveABlockOfTheHostsOwn) {
    EXPECT_EQ(0, run_in_child([] {
                  sigset_t set;
                  sigemptyset(&set);
                  sigaddset(&set, SIGUSR1);
                  pthread_sigmask(SIG_BLOCK, &set, nullptr);
                  test_agent agent;
                  agent.start();
                  const pid_t child = fork();
                  if (child == 0) _exit(is_blocked_here(SIGUSR1) ? 0 : 1);
                  REQUIRE(await_child(child) == 0);
              }));
}

#if !CORODUMP_TEST_TSAN  // it supports no thread in a child of a process that had several

// Chaos 25.
TEST(ProcessHooks, LetADaemonDumpOnASignal) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  agent.start();
                  const pid_t parent = getpid();
                  REQUIRE(run_in_daemon([&] {
                              for (int i = 0; i < 50; ++i) {
                                  REQUIRE(kill(getpid(), SIGUSR1) == 0);
                                  const auto dump = agent.dumps.receive();
                                  REQUIRE(dump.pid == getpid() && dump.pid != parent);
                                  REQUIRE(dump.tid != getpid() && dump.request.restricted);
                                  REQUIRE(dump.request.sender_pid == getpid());
                              }
                          }) == 0);
                  REQUIRE(kill(getpid(), SIGUSR1) == 0);
                  REQUIRE(agent.dumps.receive().pid == parent);
              }));
}

TEST(ProcessHooks, LetADaemonDumpOfItsOwnAccord) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  agent.start();
                  REQUIRE(run_in_daemon([&] {
                              for (int i = 0; i < 50; ++i) {
                                  triggers::dump_outcome outcome;
                                  REQUIRE(agent.watch().dump_now(20s, outcome) == 0);
                                  char expected[32];
                                  snprintf(expected, sizeof(expected), "/dumps/%d", getpid());
                                  REQUIRE(strcmp(outcome.path, expected) == 0);
                                  REQUIRE(agent.dumps.receive().request.restricted);
                              }
                          }) == 0);
              }));
}

TEST(ProcessHooks, GiveTheOrphansThreadItsOwnErrno) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  auto options = agent.options();
                  static std::atomic<unsigned> dumps{0};
                  options.dump = [](void*, const triggers::dump_request&,
                                    triggers::dump_outcome&) noexcept {
                      errno = EBADF;
                      ++dumps;
                  };
                  REQUIRE(agent.watch().start(options) == 0);
                  REQUIRE(triggers::install_process_hooks({&agent.watch(), nullptr, nullptr}) == 0);
                  REQUIRE(triggers::install_signal({}) == 0);
                  REQUIRE(run_in_daemon([&] {
                              errno = 1234;
                              for (unsigned i = 1; i <= 50; ++i) {
                                  raise(SIGUSR1);
                                  while (dumps < i) sched_yield();
                                  REQUIRE(errno == 1234);
                              }
                          }) == 0);
              }));
}

TEST(ProcessHooks, LoseNoSignalBetweenTwoOrphanThreads) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  agent.start();
                  REQUIRE(run_in_daemon([&] {
                              std::uint64_t answered = 0;
                              for (int i = 0; i < 2000; ++i) {
                                  raise(SIGUSR1);
                                  const std::uint64_t sent = triggers::requests.requests;
                                  while (answered < sent)
                                      answered = agent.dumps.receive().request.requests;
                              }
                          }) == 0);
              }));
}

TEST(ProcessHooks, ReviveADaemonOfASingleThreadedHost) {
    EXPECT_EQ(
        0, run_in_child([] {
            test_agent agent;
            agent.start();
            REQUIRE(triggers::revive_after_fork() == EALREADY);
            REQUIRE(run_in_daemon([&] {
                        raise(SIGUSR1);
                        REQUIRE(agent.dumps.receive().request.restricted);
                        REQUIRE(triggers::revive_after_fork() == 0);
                        REQUIRE(!triggers::is_orphaned() && is_blocked_here(SIGUSR1));
                        REQUIRE(triggers::signal_thread_tid() != 0);
                        for (int i = 0; i < 3; ++i) {
                            REQUIRE(kill(getpid(), SIGUSR1) == 0);
                            const auto dump = agent.dumps.receive();
                            REQUIRE(!dump.request.restricted);
                            REQUIRE(dump.tid == agent.watch().tid());
                        }
                        const unsigned ticks = agent.ticks;
                        while (agent.ticks == ticks) sched_yield();
                        const pid_t child = fork();  // and its children are orphans again
                        if (child == 0) {
                            raise(SIGUSR1);
                            _exit(agent.dumps.receive().request.restricted ? 0 : 1);
                        }
                        REQUIRE(await_child(child) == 0);
                        REQUIRE(agent.watch().stop(5s) == 0);
                        REQUIRE(triggers::uninstall_signal(triggers::afterwards::restore) == 0);
                    }) == 0);
        }));
}

TEST(ProcessHooks, ReviveNoChildOfAHostWithThreads) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  agent.start();
                  std::thread other{[] { pause(); }};
                  other.detach();
                  REQUIRE(run_in_daemon([&] {
                              REQUIRE(triggers::revive_after_fork() == EPERM);
                              raise(SIGUSR1);
                              REQUIRE(agent.dumps.receive().request.restricted);
                          }) == 0);
              }));
}

#endif

// Chaos 24.
TEST(ProcessHooks, SurviveForksDuringDumps) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  agent.start();
                  std::atomic<bool> done{false};
                  std::thread drain{[&] {
                      while (!done || agent.dumps.arrives(0ms))
                          if (agent.dumps.arrives(1ms)) (void)agent.dumps.receive();
                  }};
                  std::thread killer{[&] {
                      while (!done) REQUIRE(kill(getpid(), SIGUSR1) == 0);
                  }};
                  std::vector<std::thread> forkers;
                  for (int t = 0; t < 2; ++t) {
                      forkers.emplace_back([] {
                          for (int i = 0; i < 100; ++i) {
                              const pid_t child = fork();
                              if (child == 0 && i % 4 == 0) execl("/bin/true", "true", nullptr);
                              if (child == 0) _exit(is_blocked_here(SIGUSR1) ? 1 : 0);
                              REQUIRE(await_child(child) == 0);
                          }
                      });
                  }
                  for (auto& thread : forkers) thread.join();
                  done = true;
                  killer.join();
                  drain.join();
              }));
}

std::atomic<int> child_calls{0};

TEST(ProcessHooks, CallTheChildsCallbackInTheChildOnly) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  REQUIRE(agent.watch().start(agent.options()) == 0);
                  triggers::process_hook_options options;
                  options.watch = &agent.watch();
                  options.in_child = [](void*) noexcept { ++child_calls; };
                  REQUIRE(triggers::install_process_hooks({}) == EINVAL);
                  REQUIRE(triggers::install_process_hooks(options) == 0);
                  REQUIRE(triggers::install_signal({}) == 0);
                  const pid_t child = fork();
                  if (child == 0) _exit(child_calls == 1 ? 0 : 1);
                  REQUIRE(await_child(child) == 0 && child_calls == 0);
              }));
}

}  // namespace
}  // namespace corodump::test
