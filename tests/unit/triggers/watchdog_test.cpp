#include "agent/triggers/watchdog.hpp"

#include <gtest/gtest.h>
#include <pthread.h>

#include <cstring>
#include <thread>
#include <vector>

#include "agent/triggers/raw_syscall.hpp"
#include "tests/unit/triggers/child.hpp"

namespace corodump::test {
namespace {

triggers::dump_outcome dump_now(triggers::watchdog& watch) {
    triggers::dump_outcome outcome;
    REQUIRE(watch.dump_now(20s, outcome) == 0);
    return outcome;
}

TEST(Watchdog, TicksAndStops) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  REQUIRE(agent.watch().start(agent.options()) == 0);
                  REQUIRE(agent.watch().start(agent.options()) == EALREADY);
                  while (agent.ticks < 5) sched_yield();
                  REQUIRE(agent.watch().stop(5s) == 0);
                  const unsigned ticks = agent.ticks;
                  REQUIRE(agent.watch().stop(5s) == ESRCH);
                  REQUIRE(!agent.watch().running() && agent.watch().tid() == 0);
                  REQUIRE(agent.watch().start(agent.options()) == 0);
                  while (agent.ticks == ticks) sched_yield();
              }));
}

TEST(Watchdog, RefusesToRunWithoutCallbacks) {
    EXPECT_EQ(0, run_in_child([] { REQUIRE(test_agent::watch().start({}) == EINVAL); }));
}

TEST(Watchdog, BlocksEverySignalAndHasItsName) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  REQUIRE(agent.watch().start(agent.options()) == 0);
                  (void)dump_now(agent.watch());
                  char path[64], name[32] = {};
                  snprintf(path, sizeof(path), "/proc/self/task/%d/comm", agent.watch().tid());
                  FILE* comm = fopen(path, "re");
                  REQUIRE(fscanf(comm, "%31s", name) == 1);
                  REQUIRE(strcmp(name, "corodump-watch") == 0);
                  snprintf(path, sizeof(path), "/proc/self/task/%d/status", agent.watch().tid());
                  FILE* status = fopen(path, "re");
                  unsigned long long blocked = 0;
                  for (char line[256]; fgets(line, sizeof(line), status) != nullptr;)
                      if (sscanf(line, "SigBlk: %llx", &blocked) == 1) break;
                  for (const int signal : {SIGUSR1, SIGXFSZ, SIGPIPE, SIGTERM, SIGALRM})
                      REQUIRE((blocked & (1ULL << (signal - 1))) != 0);
              }));
}

TEST(Watchdog, AnswersTheProgramItself) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  REQUIRE(agent.watch().start(agent.options()) == 0);
                  const auto outcome = dump_now(agent.watch());
                  char expected[32];
                  snprintf(expected, sizeof(expected), "/dumps/%d", getpid());
                  REQUIRE(outcome.error == 0 && strcmp(outcome.path, expected) == 0);
                  const auto dump = agent.dumps.receive();
                  REQUIRE(dump.request.kind == triggers::request_kind::api);
                  REQUIRE(dump.request.sender_pid == -1 && dump.tid == agent.watch().tid());
              }));
}

TEST(Watchdog, AnswersManyThreadsAtOnce) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  agent.start();
                  std::vector<std::thread> threads;
                  for (int i = 0; i < 8; ++i) {
                      threads.emplace_back([&agent] {
                          for (int n = 0; n < 50; ++n)
                              REQUIRE(dump_now(agent.watch()).path[0] == '/');
                      });
                  }
                  for (int i = 0; i < 100; ++i) REQUIRE(kill(getpid(), SIGUSR1) == 0);
                  for (auto& thread : threads) thread.join();
              }));
}

std::atomic<bool> hold_dump{false};
std::atomic<int> inner_error{-1};

TEST(Watchdog, BoundsTheWaitForADump) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  auto options = agent.options();
                  options.dump = [](void*, const triggers::dump_request&,
                                    triggers::dump_outcome&) noexcept {
                      while (hold_dump) sched_yield();
                  };
                  hold_dump = true;
                  REQUIRE(agent.watch().start(options) == 0);
                  triggers::dump_outcome outcome;
                  REQUIRE(agent.watch().dump_now(50ms, outcome) == ETIMEDOUT);
                  REQUIRE(agent.watch().stop(50ms) == ETIMEDOUT);
                  _exit(0);  // the thread that was left behind still uses the agent
              }));
}

TEST(Watchdog, RefusesADumpOfItsOwn) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  auto options = agent.options();
                  options.dump = [](void* self, const triggers::dump_request&,
                                    triggers::dump_outcome& outcome) noexcept {
                      triggers::dump_outcome inner;
                      inner_error = static_cast<test_agent*>(self)->watch().dump_now(1s, inner);
                      outcome.error = ENOSPC;
                  };
                  REQUIRE(agent.watch().start(options) == 0);
                  REQUIRE(dump_now(agent.watch()).error == ENOSPC);
                  REQUIRE(inner_error == EDEADLK);
              }));
}

const channel<int>* dump_begins = nullptr;

TEST(Watchdog, MergesSignalsThatComeDuringADump) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  const channel<int> begins;
                  dump_begins = &begins;
                  auto options = agent.options();
                  options.dump = [](void* self, const triggers::dump_request& request,
                                    triggers::dump_outcome&) noexcept {
                      dump_begins->send(1);
                      while (hold_dump) sched_yield();
                      static_cast<test_agent*>(self)->dumps.send({request, getpid(), 0});
                  };
                  hold_dump = true;
                  REQUIRE(agent.watch().start(options) == 0);
                  REQUIRE(triggers::install_signal({}) == 0);
                  for (std::uint64_t i = 1; i <= 5; ++i) {
                      REQUIRE(kill(getpid(), SIGUSR1) == 0);
                      while (triggers::requests.requests < i) sched_yield();
                      // The others are to be of the next dump.
                      if (i == 1) (void)begins.receive();
                  }
                  hold_dump = false;
                  REQUIRE(agent.dumps.receive().request.requests == 1);
                  const auto second = agent.dumps.receive();
                  REQUIRE(second.request.requests == 5 && second.request.merged == 3);
              }));
}

TEST(Watchdog, WakesLongBeforeItsTick) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  auto options = agent.options();
                  options.tick_interval = 1h;
                  REQUIRE(agent.watch().start(options) == 0);
                  REQUIRE(triggers::install_signal({}) == 0);
                  for (int i = 0; i < 20; ++i) {
                      REQUIRE(kill(getpid(), SIGUSR1) == 0);
                      (void)agent.dumps.receive(10s);
                      (void)dump_now(agent.watch());
                      (void)agent.dumps.receive(10s);
                  }
                  REQUIRE(agent.watch().stop(10s) == 0);
              }));
}

}  // namespace
}  // namespace corodump::test
