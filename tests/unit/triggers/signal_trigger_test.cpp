#include "agent/triggers/signal_trigger.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include "agent/triggers/thread_masks.hpp"
#include "tests/unit/triggers/child.hpp"

namespace corodump::test {
namespace {

using triggers::requests;

void set_handler(void (*handler)(int)) {
    struct sigaction action{};
    action.sa_handler = handler;
    REQUIRE(sigaction(SIGUSR1, &action, nullptr) == 0);
}

/// No further thread can be made from here on. Root is not bound by the limit.
void forbid_threads() {
    REQUIRE(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    const rlimit none{0, 0};
    REQUIRE(setrlimit(RLIMIT_NPROC, &none) == 0);
}

/// Waits until the thread sleeps in a system call.
void await_sleep(pid_t tid) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    for (char state = 0; state != 'S'; sched_yield()) {
        FILE* file = fopen(path, "re");
        REQUIRE(file != nullptr);
        REQUIRE(fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
        fclose(file);
    }
}

std::atomic<int> chained_calls{0};
std::atomic<pid_t> chained_tid{0};
int chained_pipe[2];

void count_chained(int /*signal*/) {
    chained_tid = thread_id();
    ++chained_calls;
    REQUIRE(write(chained_pipe[1], "c", 1) == 1);
}

void await_chained() {
    char byte = 0;
    REQUIRE(read(chained_pipe[0], &byte, 1) == 1);
}

void never_return(int signal) {
    count_chained(signal);
    for (;;) pause();
}

TEST(SignalTrigger, TellsTheSender) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  std::atomic<std::uint64_t> mirror{0};
                  REQUIRE(agent.watch().start(agent.options()) == 0);
                  REQUIRE(triggers::install_signal({SIGUSR1, &mirror}) == 0);
                  const pid_t target = getpid();
                  const pid_t sender = fork();
                  if (sender == 0) _exit(kill(target, SIGUSR1));
                  const auto dump = agent.dumps.receive();
                  REQUIRE(await_child(sender) == 0);
                  REQUIRE(dump.request.kind == triggers::request_kind::signal);
                  REQUIRE(dump.request.signal == SIGUSR1);
                  REQUIRE(dump.request.sender_pid == sender);
                  REQUIRE(dump.request.sender_uid == static_cast<std::int64_t>(getuid()));
                  REQUIRE(dump.request.requests == 1 && dump.request.merged == 0);
                  REQUIRE(dump.tid == agent.watch().tid() && !dump.request.restricted);
                  REQUIRE(mirror == 1);
              }));
}

TEST(SignalTrigger, KnowsNoSenderOfATimersSignal) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  agent.start();
                  sigevent event{};
                  event.sigev_notify = SIGEV_SIGNAL;
                  event.sigev_signo = SIGUSR1;
                  timer_t timer{};
                  REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
                  const itimerspec soon{{0, 0}, {0, 1'000'000}};
                  REQUIRE(timer_settime(timer, 0, &soon, nullptr) == 0);
                  const auto dump = agent.dumps.receive();
                  REQUIRE(dump.request.sender_pid == -1 && dump.request.sender_uid == -1);
              }));
}

TEST(SignalTrigger, BlocksTheSignalInTheInstallingThreadAndGivesTheMaskBack) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(!is_blocked_here(SIGUSR1));
                  REQUIRE(triggers::install_signal({}) == 0);
                  REQUIRE(is_blocked_here(SIGUSR1));
                  REQUIRE(triggers::install_signal({}) == EALREADY);
                  REQUIRE(triggers::uninstall_signal(triggers::afterwards::restore) == 0);
                  REQUIRE(!is_blocked_here(SIGUSR1));
                  struct sigaction action{};
                  sigaction(SIGUSR1, nullptr, &action);
                  REQUIRE(action.sa_handler == SIG_DFL);
                  REQUIRE(triggers::uninstall_signal(triggers::afterwards::restore) == ESRCH);
              }));
}

TEST(SignalTrigger, RefusesSignalsThatCannotServe) {
    EXPECT_EQ(0, run_in_child([] {
                  for (const int signal : {0, -1, 65, SIGKILL, SIGSTOP, SIGSEGV, 32}) {
                      REQUIRE(triggers::install_signal({signal, nullptr}) == EINVAL);
                  }
                  REQUIRE(!is_blocked_here(SIGUSR1) && !triggers::signal_installed());
              }));
}

TEST(SignalTrigger, IsVisibleAsACaughtSignal) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(triggers::install_signal({}) == 0);
                  FILE* status = fopen("/proc/self/status", "re");
                  unsigned long long caught = 0;
                  for (char line[256]; fgets(line, sizeof(line), status) != nullptr;)
                      if (sscanf(line, "SigCgt: %llx", &caught) == 1) break;
                  REQUIRE((caught & (1ULL << (SIGUSR1 - 1))) != 0);
              }));
}

// Chaos 15, first half.
TEST(SignalTrigger, ChainsAnEarlierHandlerOnTheSignalThread) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(pipe(chained_pipe) == 0);
                  set_handler(count_chained);
                  test_agent agent;
                  agent.start();
                  for (int i = 1; i <= 3; ++i) {
                      REQUIRE(kill(getpid(), SIGUSR1) == 0);
                      (void)agent.dumps.receive();
                      await_chained();
                      REQUIRE(chained_calls == i);
                      REQUIRE(chained_tid == triggers::signal_thread_tid());
                  }
                  REQUIRE(triggers::uninstall_signal(triggers::afterwards::harmless) == 0);
                  REQUIRE(raise(SIGUSR1) == 0);
                  await_chained();
                  REQUIRE(chained_calls == 4);
              }));
}

TEST(SignalTrigger, ChainsASigactionHandlerWithItsInformation) {
    static std::atomic<pid_t> seen{0};
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(pipe(chained_pipe) == 0);
                  struct sigaction action{};
                  action.sa_flags = SA_SIGINFO;
                  action.sa_sigaction = [](int, siginfo_t* info, void* context) {
                      REQUIRE(context != nullptr);
                      seen = info->si_pid;
                      REQUIRE(write(chained_pipe[1], "c", 1) == 1);
                  };
                  REQUIRE(sigaction(SIGUSR1, &action, nullptr) == 0);
                  test_agent agent;
                  agent.start();
                  REQUIRE(kill(getpid(), SIGUSR1) == 0);
                  (void)agent.dumps.receive();
                  await_chained();
                  REQUIRE(seen == getpid());
              }));
}

TEST(SignalTrigger, ChainsAResetHandlerOnce) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(pipe(chained_pipe) == 0);
                  struct sigaction action{};
                  action.sa_handler = count_chained;
                  action.sa_flags = static_cast<int>(SA_RESETHAND);
                  REQUIRE(sigaction(SIGUSR1, &action, nullptr) == 0);
                  test_agent agent;
                  agent.start();
                  for (int i = 0; i < 3; ++i) {
                      REQUIRE(kill(getpid(), SIGUSR1) == 0);
                      (void)agent.dumps.receive();
                  }
                  await_chained();
                  REQUIRE(triggers::uninstall_signal(triggers::afterwards::harmless) == 0);
                  REQUIRE(chained_calls == 1);
              }));
}

// Chaos 15, second half, and 64: also the second request, and one directed at the lost thread.
TEST(SignalTrigger, DumpsAgainWhenAChainedHandlerNeverReturns) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(pipe(chained_pipe) == 0);
                  set_handler(never_return);
                  test_agent agent;
                  agent.start();
                  for (int i = 0; i < 3; ++i) {
                      REQUIRE(kill(getpid(), SIGUSR1) == 0);
                      (void)agent.dumps.receive();
                      // The handler comes after the dump was asked for, not before it is made.
                      if (i == 0) await_chained();
                  }
                  const pid_t lost = triggers::signal_thread_tid();
                  for (int i = 0; i < 3; ++i) {
                      REQUIRE(syscall(SYS_tgkill, getpid(), lost, SIGUSR1) == 0);
                      (void)agent.dumps.receive();
                  }
                  REQUIRE(chained_calls == 1 && triggers::chained_handler_running());
                  REQUIRE(triggers::uninstall_signal(triggers::afterwards::restore) == ETIMEDOUT);
              }));
}

// Chaos 16.
TEST(SignalTrigger, ReportsAHandlerInstalledOverIt) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(pipe(chained_pipe) == 0);
                  REQUIRE(triggers::install_signal({}) == 0);
                  REQUIRE(!triggers::signal_taken_over());
                  set_handler(count_chained);
                  REQUIRE(triggers::signal_taken_over());
                  REQUIRE(triggers::uninstall_signal(triggers::afterwards::restore) == EBUSY);
                  struct sigaction action{};
                  sigaction(SIGUSR1, nullptr, &action);
                  REQUIRE(action.sa_handler == count_chained);
                  REQUIRE(chained_calls == 0);
              }));
}

// Chaos 17 and 18. A chained SIG_DFL would be a call of address 0, a chained SIG_IGN of address 1.
TEST(SignalTrigger, NeverChainsTheDefaultOrIgnoredAction) {
    for (auto* const previous : {SIG_DFL, SIG_IGN}) {
        EXPECT_EQ(0, run_in_child([previous] {
                      set_handler(previous);
                      test_agent agent;
                      agent.start();
                      for (int i = 0; i < 3; ++i) {
                          REQUIRE(kill(getpid(), SIGUSR1) == 0);
                          (void)agent.dumps.receive();
                      }
                      REQUIRE(triggers::uninstall_signal(triggers::afterwards::restore) == 0);
                      struct sigaction action{};
                      sigaction(SIGUSR1, nullptr, &action);
                      REQUIRE(action.sa_handler == previous);
                  }));
    }
}

// Chaos 19.
TEST(SignalTrigger, PreservesErrnoOfTheThreadItInterrupts) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(triggers::install_signal({}) == 0);
                  sigset_t set;
                  sigemptyset(&set);
                  sigaddset(&set, SIGUSR1);
                  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
                  for (int i = 0; i < 100; ++i) {
                      errno = 1234;
                      raise(SIGUSR1);
                      REQUIRE(errno == 1234);
                  }
                  REQUIRE(requests.requests == 100);
              }));
}

// Chaos 20. Below the stack lies a page that nobody may touch.
TEST(SignalTrigger, RunsOnASmallAlternateStack) {
    EXPECT_EQ(0, run_in_child([] {
                  constexpr std::size_t page = 4096, stack_bytes = 8192;
                  auto* const memory =
                      static_cast<char*>(mmap(nullptr, page + stack_bytes, PROT_READ | PROT_WRITE,
                                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
                  REQUIRE(mprotect(memory, page, PROT_NONE) == 0);
                  const stack_t stack{memory + page, 0, stack_bytes};
                  REQUIRE(sigaltstack(&stack, nullptr) == 0);
                  REQUIRE(triggers::install_signal({}) == 0);
                  sigset_t set;
                  sigemptyset(&set);
                  sigaddset(&set, SIGUSR1);
                  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
                  REQUIRE(syscall(SYS_tgkill, getpid(), thread_id(), SIGUSR1) == 0);
                  REQUIRE(requests.requests == 1);
                  bool used = false;
                  for (std::size_t i = 0; i < stack_bytes; ++i) used |= memory[page + i] != 0;
                  REQUIRE(used);
              }));
}

// Chaos 21.
TEST(SignalTrigger, DumpsWhenTheHostBlocksTheSignalEverywhere) {
    EXPECT_EQ(0, run_in_child([] {
                  sigset_t all;
                  sigfillset(&all);
                  pthread_sigmask(SIG_SETMASK, &all, nullptr);
                  test_agent agent;
                  agent.start();
                  REQUIRE(kill(getpid(), SIGUSR1) == 0);
                  REQUIRE(!agent.dumps.receive().request.stuck);
                  REQUIRE(triggers::uninstall_signal(triggers::afterwards::restore) == 0);
                  REQUIRE(is_blocked_here(SIGUSR1));
              }));
}

/// Host threads, each in one blocking call; none of these calls may return.
std::vector<std::function<void()>> blocking_calls() {
    static int quiet[2];
    static sem_t never;
    REQUIRE(pipe(quiet) == 0);
    sem_init(&never, 0, 0);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(listen(listener, 1) == 0);
    const int events = epoll_create1(EPOLL_CLOEXEC);
    static timespec hour_from_now{};
    clock_gettime(CLOCK_REALTIME, &hour_from_now);
    hour_from_now.tv_sec += 3600;
    return {
        [events] {
            epoll_event event{};
            epoll_wait(events, &event, 1, 3'600'000);
        },
        [] {
            pollfd event{quiet[0], POLLIN, 0};
            poll(&event, 1, 3'600'000);
        },
        [] {
            const timespec hour{3600, 0};
            nanosleep(&hour, nullptr);
        },
        [] { pause(); },
        [] { sem_timedwait(&never, &hour_from_now); },
        [listener] { accept(listener, nullptr, nullptr); },
        [] {
            char byte = 0;
            (void)!read(quiet[0], &byte, 1);
        },
    };
}

// Chaos 22.
TEST(SignalTrigger, InterruptsNoBlockingCallOfTheHost) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  agent.start();
                  std::atomic<int> returned{0};
                  channel<pid_t> started;
                  std::vector<std::thread> threads;
                  for (auto& call : blocking_calls()) {
                      threads.emplace_back([&returned, &started, call] {
                          started.send(thread_id());
                          call();
                          ++returned;
                      });
                  }
                  for (std::size_t i = 0; i < threads.size(); ++i) await_sleep(started.receive());
                  for (int i = 0; i < 100; ++i) {
                      REQUIRE(kill(getpid(), SIGUSR1) == 0);
                      (void)agent.dumps.receive();
                  }
                  REQUIRE(returned == 0);
                  const auto open = triggers::count_unblocked_threads(
                      SIGUSR1, {agent.watch().tid(), triggers::signal_thread_tid()});
                  REQUIRE(open.complete && open.count == 0);
                  REQUIRE(open.examined >= threads.size() + 1);
                  _exit(0);
              }));
}

// Chaos 12.
TEST(SignalTrigger, SurvivesAStormAndKeepsTheRateLimit) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  auto options = agent.options();
                  options.signal_interval = 200ms;
                  REQUIRE(agent.watch().start(options) == 0);
                  REQUIRE(triggers::install_signal({}) == 0);
                  const auto begin = std::chrono::steady_clock::now();
                  for (int i = 0; i < 10'000; ++i) REQUIRE(kill(getpid(), SIGUSR1) == 0);
                  std::uint64_t dumps = 0, merged = 0;
                  while (agent.dumps.arrives(1s)) {
                      merged += agent.dumps.receive().request.merged;
                      ++dumps;
                  }
                  const auto took = std::chrono::steady_clock::now() - begin - 1s;
                  REQUIRE(dumps >= 1);
                  REQUIRE(dumps <= 2 + static_cast<std::uint64_t>(took / 200ms));
                  REQUIRE(requests.requests >= dumps && requests.requests <= 10'000);
                  REQUIRE(dumps + merged == requests.requests);
              }));
}

// Chaos 23.
TEST(SignalTrigger, IsHarmlessWhileTheProcessExits) {
    EXPECT_EQ(0, run_in_child([] {
                  static test_agent agent;
                  agent.start();
                  static int alive[2];
                  REQUIRE(pipe(alive) == 0);
                  const pid_t target = getpid();
                  if (fork() == 0) {
                      close(alive[0]);
                      while (getppid() == target) {
                          kill(target, SIGUSR1);
                          if (write(alive[1], "s", 1) != 1) break;
                      }
                      _exit(0);
                  }
                  const auto await_signals = [] {
                      char bytes[20];
                      for (int i = 0; i < 10; ++i) REQUIRE(read(alive[0], bytes, 20) > 0);
                  };
                  static const auto in_exit = await_signals;
                  std::atexit([] { in_exit(); });
                  std::thread drain{[] {
                      for (;;) (void)agent.dumps.receive();
                  }};
                  drain.detach();
                  await_signals();
                  REQUIRE(triggers::uninstall_signal(triggers::afterwards::harmless) == 0);
                  REQUIRE(agent.watch().stop(5s) == 0);
                  await_signals();
                  std::exit(0);
              }));
}

TEST(SignalTrigger, CanBeInstalledAgainAfterEitherUninstall) {
    EXPECT_EQ(
        0, run_in_child([] {
            test_agent agent;
            REQUIRE(agent.watch().start(agent.options()) == 0);
            for (const auto what : {triggers::afterwards::restore, triggers::afterwards::harmless,
                                    triggers::afterwards::restore}) {
                REQUIRE(triggers::install_signal({}) == 0);
                REQUIRE(kill(getpid(), SIGUSR1) == 0);
                (void)agent.dumps.receive();
                REQUIRE(triggers::uninstall_signal(what) == 0);
            }
            REQUIRE(!is_blocked_here(SIGUSR1));
            struct sigaction action{};
            sigaction(SIGUSR1, nullptr, &action);
            REQUIRE(action.sa_handler == SIG_DFL);
        }));
}

// Chaos 29: no thread at all.
TEST(SignalTrigger, MakesTheSignalHarmlessWithoutAnyThread) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  forbid_threads();
                  REQUIRE(agent.watch().start(agent.options()) == EAGAIN);
                  REQUIRE(!agent.watch().running());
                  REQUIRE(triggers::install_signal({}) == EAGAIN);
                  REQUIRE(triggers::signal_installed() && triggers::signal_thread_tid() == 0);
                  for (int i = 0; i < 10; ++i) REQUIRE(kill(getpid(), SIGUSR1) == 0);
                  triggers::dump_outcome outcome;
                  REQUIRE(agent.watch().dump_now(1ms, outcome) == ESRCH);
                  REQUIRE(triggers::uninstall_signal(triggers::afterwards::restore) == 0);
              }));
}

// Chaos 29 and 64: the watchdog alone takes the signal by itself, every time.
TEST(SignalTrigger, IsTakenByTheWatchdogWithoutASignalThread) {
    EXPECT_EQ(0, run_in_child([] {
                  test_agent agent;
                  REQUIRE(agent.watch().start(agent.options()) == 0);
                  forbid_threads();
                  REQUIRE(triggers::install_signal({}) == EAGAIN);
                  for (std::uint64_t i = 1; i <= 3; ++i) {
                      REQUIRE(kill(getpid(), SIGUSR1) == 0);
                      const auto dump = agent.dumps.receive();
                      REQUIRE(dump.request.stuck && dump.request.requests == i);
                      REQUIRE(dump.request.sender_pid == getpid());
                  }
              }));
}

TEST(SignalTrigger, LeavesTheHostsHandlerAtWorkWithoutASignalThread) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(pipe(chained_pipe) == 0);
                  set_handler(count_chained);
                  test_agent agent;
                  REQUIRE(agent.watch().start(agent.options()) == 0);
                  forbid_threads();
                  REQUIRE(triggers::install_signal({}) == EAGAIN);
                  REQUIRE(kill(getpid(), SIGUSR1) == 0);
                  await_chained();
                  REQUIRE(!agent.dumps.receive().request.stuck);
              }));
}

TEST(ThreadMasks, CountsThreadsOlderThanTheInstall) {
    EXPECT_EQ(0, run_in_child([] {
                  channel<pid_t> started;
                  std::vector<std::thread> threads;
                  for (int i = 0; i < 3; ++i) {
                      threads.emplace_back([&started] {
                          started.send(thread_id());
                          pause();
                      });
                  }
                  for (int i = 0; i < 3; ++i) (void)started.receive();
                  REQUIRE(triggers::install_signal({}) == 0);
                  const auto open =
                      triggers::count_unblocked_threads(SIGUSR1, {triggers::signal_thread_tid()});
                  REQUIRE(open.complete && open.count == 3 && open.first != 0);
                  REQUIRE(open.first != getpid());
                  _exit(0);
              }));
}

}  // namespace
}  // namespace corodump::test
