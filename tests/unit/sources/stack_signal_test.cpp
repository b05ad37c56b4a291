// The signal belongs to the whole process: each of these tests runs in a child of its own.
#include "agent/sources/stack_signal.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>

#include "tests/unit/child_process.hpp"

namespace corodump::sources {
namespace {

using test::run_in_child;

int test_signal() {
    return SIGRTMIN + 7;
}

struct sigaction action_now() {
    struct sigaction now = {};
    sigaction(test_signal(), nullptr, &now);
    return now;
}

/// A thread that runs, or blocks the signal first.
struct running_thread {
    explicit running_thread(bool deaf = false)
        : thread([this, deaf] {
              sigset_t one;
              sigemptyset(&one);
              sigaddset(&one, test_signal());
              if (deaf) pthread_sigmask(SIG_BLOCK, &one, nullptr);
              const volatile std::uint64_t marks[8] = {1, 2, 3, 5, 7, 11, 13, 17};
              marked = reinterpret_cast<std::uintptr_t>(&marks);
              tid = static_cast<std::int32_t>(::syscall(SYS_gettid));
              while (!listen.load() && !stop.load()) {
              }
              if (deaf) pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
              heard = true;
              while (!stop.load()) {
              }
          }) {
        while (tid.load() == 0) std::this_thread::yield();
    }
    running_thread(const running_thread&) = delete;
    running_thread& operator=(const running_thread&) = delete;
    ~running_thread() {
        stop = true;
        thread.join();
    }
    std::atomic<std::int32_t> tid{0};
    std::atomic<std::uintptr_t> marked{0};  ///< 64 bytes of its stack that stay as they are
    std::atomic<bool> listen{false}, heard{false}, stop{false};
    std::thread thread;
};

void await_answers(std::uint32_t count) {
    while (stack_requester::wait(count - 1, 1'000'000) < count) {
    }
}

TEST(StackSignal, IsAnsweredWithRegistersAndStack) {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "ThreadSanitizer calls the handler later, from a stack of its own choice";
#endif
    EXPECT_EQ(
        0, run_in_child([] {
            REQUIRE(install_stack_signal(test_signal()) == 0);
            running_thread other;
            stack_requester::request request;
            REQUIRE(stack_requester::ask(other.tid, request) == 0);
            await_answers(1);
            REQUIRE(stack_requester::look(other.tid, request) == stack_requester::answer::given);
            const stack_slot& slot = stack_requester::given(request);
            REQUIRE(slot.bytes > stack_copy::red_zone_bytes);
            const std::uintptr_t marks = other.marked;
            REQUIRE(marks > slot.from && marks - slot.from + 64 <= slot.bytes);
            REQUIRE(std::memcmp(slot.stack + (marks - slot.from),
                                reinterpret_cast<const void*>(marks), 64) == 0);
            stack_requester::close(request);
            stack_requester::trim();
        }));
}

TEST(StackSignal, ThatComesLateFindsItsSlotClosed) {
    EXPECT_EQ(
        0, run_in_child([] {
            REQUIRE(install_stack_signal(test_signal()) == 0);
            running_thread other(true);
            stack_requester::request request;
            REQUIRE(stack_requester::ask(other.tid, request) == 0);
            REQUIRE(stack_requester::look(other.tid, request) == stack_requester::answer::waiting);
            stack_requester::close(request);
            other.listen = true;
            while (!other.heard) std::this_thread::yield();
            REQUIRE(stack_requests.received.load() == 1);
            REQUIRE(stack_requests.answers.load() == 0);
            // The slot serves the next request.
            stack_requester::request next;
            REQUIRE(stack_requester::ask(other.tid, next) == 0);
            REQUIRE(next.slot == request.slot && next.ticket != request.ticket);
            await_answers(1);
            REQUIRE(stack_requester::look(other.tid, next) == stack_requester::answer::given);
        }));
}

TEST(StackSignal, OfAStrangerIsIgnored) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(install_stack_signal(test_signal()) == 0);
                  REQUIRE(raise(test_signal()) == 0);
                  union sigval value = {};
                  for (const std::uintptr_t forged : {std::uintptr_t{0}, ~std::uintptr_t{0}}) {
                      value.sival_ptr = reinterpret_cast<void*>(forged);
                      REQUIRE(sigqueue(getpid(), test_signal(), value) == 0);
                  }
                  REQUIRE(stack_requests.answers.load() == 0);
              }));
}

TEST(StackSignal, LeavesErrnoAsItWas) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(install_stack_signal(test_signal()) == 0);
                  errno = 4711;
                  REQUIRE(raise(test_signal()) == 0);
                  REQUIRE(errno == 4711);
              }));
}

TEST(StackSignal, LeavesAHostsHandlerAlone) {
    EXPECT_EQ(0, run_in_child([] {
                  const auto hosts = [](int) {};
                  signal(test_signal(), hosts);
                  REQUIRE(install_stack_signal(test_signal()) == EBUSY);
                  REQUIRE(action_now().sa_handler == +hosts);
                  REQUIRE(stack_requester::usable_signal() == 0);
              }));
}

TEST(StackSignal, IsNotUsedOnceTheHostHasTakenItOver) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(install_stack_signal(test_signal()) == 0);
                  REQUIRE(stack_requester::usable_signal() == test_signal());
                  const auto hosts = [](int) {};
                  signal(test_signal(), hosts);
                  REQUIRE(stack_requester::taken_over());
                  REQUIRE(stack_requester::usable_signal() == 0);
                  uninstall_stack_signal();
                  REQUIRE(action_now().sa_handler == +hosts);
              }));
}

TEST(StackSignal, IsGivenBack) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(install_stack_signal(test_signal()) == 0);
                  uninstall_stack_signal();
                  REQUIRE(action_now().sa_handler == SIG_DFL);
              }));
}

TEST(StackSignal, IsNotGivenBackWhileOneIsUnderWay) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(install_stack_signal(test_signal()) == 0);
                  running_thread other(true);
                  stack_requester::request request;
                  REQUIRE(stack_requester::ask(other.tid, request) == 0);
                  stack_requester::close(request);
                  uninstall_stack_signal();
                  other.listen = true;  // by default the signal would kill
                  while (!other.heard) std::this_thread::yield();
              }));
}

TEST(StackSignal, TellsOfAThreadThatHasEnded) {
    EXPECT_EQ(0, run_in_child([] {
                  REQUIRE(install_stack_signal(test_signal()) == 0);
                  stack_requester::request request;
                  std::int32_t tid = 0;
                  {
                      running_thread other(true);
                      tid = other.tid;
                      REQUIRE(stack_requester::ask(tid, request) == 0);
                  }
                  while (stack_requester::look(tid, request) == stack_requester::answer::waiting)
                      std::this_thread::yield();
                  stack_requester::close(request);
                  REQUIRE(stack_requester::ask(tid, request) == ESRCH);
                  uninstall_stack_signal();
              }));
}

}  // namespace
}  // namespace corodump::sources
