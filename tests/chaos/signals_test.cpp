// Cases 12 to 23: the signal itself. It makes a dump, merges, chains, keeps errno, interrupts
// nothing and never kills.
#include <errno.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <corodump/agent.hpp>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/chaos/chaos_host.hpp"
#include "tests/chaos/orders.hpp"
#include "tests/sanitizers.hpp"

namespace {

using orders::expect_orders;
using orders::expect_unharmed;
using orders::has_warning;

void set_action(int signal, void (*handler)(int)) {
    struct sigaction action{};
    action.sa_handler = handler;
    CHAOS_REQUIRE(sigaction(signal, &action, nullptr) == 0);
}

void change_mask(int how, int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    CHAOS_REQUIRE(pthread_sigmask(how, &set, nullptr) == 0);
}

pid_t thread_id() {
    return static_cast<pid_t>(syscall(SYS_gettid));
}

std::string name_of_this_thread() {
    char name[16] = {};
    pthread_getname_np(pthread_self(), name, sizeof name);
    return name;
}

void flood(int signals) {
    constexpr std::chrono::milliseconds interval(200);
    chaos::setup with;
    with.environment = {{"CORODUMP_MAX_FILES", "1000"}};
    chaos::host host(
        [] {
            const corodump::agent agent;
            orders::service waiting;
            chaos::tell("ready");
            for (std::string_view word = chaos::hear(); word == "last"; word = chaos::hear())
                CHAOS_REQUIRE(kill(getpid(), SIGUSR1) == 0);
            CHAOS_REQUIRE(waiting.finish());
        },
        with);
    host.await_ready();
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < signals; ++i) host.signal(SIGUSR1);
    std::int64_t dumps = 0, answered = 0, own = 0;
    // A signal of the host's own merges with one of ours that still stands pending, and comes later
    // than all of ours where it does not.
    for (bool last = false; !last; ++dumps, ++own) {
        host.say("last");
        const std::string path = host.await_dump();
        ASSERT_FALSE(path.empty());
        const nlohmann::json trigger = chaos::parse(path)["dump"]["trigger"];
        answered += 1 + trigger["merged"].get<std::int64_t>();
        last = trigger["sender_pid"] == host.pid();
        expect_orders(support::read_dump(path));
    }
    const auto took = std::chrono::steady_clock::now() - begin;
    EXPECT_GE(dumps, 1);
    EXPECT_LE(dumps, 2 + took / interval);
    EXPECT_LE(answered, signals + own);
    host.say("end");
    EXPECT_EQ(host.wait(), 0) << host.errors();
}

TEST(Chaos, Case12_TenThousandSignalsMergeWithinTheRateLimit) {
    const int bursts = chaos::rounds(1, 10);
    for (int burst = 0; burst < bursts; ++burst) flood(10'000);
}

#ifdef CORODUMP_CLI
chaos::command_result trigger(const chaos::host& at) {
    return chaos::run({CORODUMP_CLI, "trigger", "--timeout", "30", std::to_string(at.pid())});
}

TEST(Chaos, Case13_TriggerRefusesAProcessThatTheSignalWouldKill) {
    chaos::host host([] {
        chaos::tell("ready");
        chaos::tell(chaos::hear() == "ping" ? "pong" : "?");
    });
    host.await_ready();
    const auto refused = trigger(host);
    EXPECT_EQ(refused.status, 4);
    EXPECT_NE(refused.errors.find("no corodump agent; SIGUSR1 would kill it, not sent"),
              std::string::npos)
        << refused.errors;
    host.expect_answers();
    EXPECT_EQ(host.wait(), 0);
}

TEST(Chaos, Case13_TriggerLeavesHandlersOfOthersAlone) {
    chaos::host host([] {
        set_action(SIGUSR1, [](int) { chaos::tell("called"); });
        chaos::tell("ready");
        chaos::tell(chaos::hear() == "ping" ? "pong" : "?");
    });
    host.await_ready();
    const auto refused = trigger(host);
    EXPECT_EQ(refused.status, 4);
    EXPECT_NE(refused.errors.find("its own handler"), std::string::npos) << refused.errors;
    host.expect_answers();  // and not "called"
    EXPECT_EQ(host.wait(), 0);
}

TEST(Chaos, Case13_TriggerReportsTheVeryDumpThatItAskedFor) {
    chaos::host host(orders::run);
    host.await_ready();
    const auto done = trigger(host);
    EXPECT_EQ(done.status, 0) << done.errors;
    EXPECT_EQ(done.output, host.await_dump() + '\n');
    expect_unharmed(host);
}
#endif

TEST(Chaos, Case14_ASignalBeforeTheAgentDoesWhatItAlwaysDid) {
    chaos::host host([] {
        chaos::tell("ready");
        chaos::stay();
    });
    host.await_ready();
    host.signal(SIGUSR1);
    EXPECT_EQ(host.wait(), -SIGUSR1);
    EXPECT_TRUE(chaos::files_in(host.directory()).empty());
}

TEST(Chaos, Case14_ASignalThatStoodPendingIsTheFirstDump) {
    chaos::host host([] {
        change_mask(SIG_BLOCK, SIGUSR1);
        CHAOS_REQUIRE(kill(getpid(), SIGUSR1) == 0);
        orders::service waiting;
        const corodump::agent agent;
        orders::serve(waiting);
    });
    expect_orders(support::read_dump(host.await_dump()));
    expect_unharmed(host);
}

TEST(Chaos, Case15_AHandlerInstalledBeforeRunsToo) {
    chaos::host host([] {
        static std::atomic<int> calls{0};
        set_action(SIGUSR1, [](int) {
            ++calls;
            chaos::tell(name_of_this_thread());
        });
        orders::run();
        CHAOS_REQUIRE(calls == 2);
    });
    host.await_ready();
    for (int i = 0; i < 2; ++i) {
        expect_orders(host.signal_and_await_dump());
        host.await("corodump-signal");
    }
    expect_unharmed(host);
}

TEST(Chaos, Case15_AHandlerThatNeverReturnsCostsNoDump) {
    chaos::host host([] {
        set_action(SIGUSR1, [](int) {
            chaos::tell("called");
            chaos::stay();
        });
        orders::run();
        _exit(0);  // the handler holds the signal thread for ever
    });
    host.await_ready();
    expect_orders(host.signal_and_await_dump());
    host.await("called");
    for (int i = 0; i < 3; ++i) expect_orders(host.signal_and_await_dump());
    expect_unharmed(host);
}

TEST(Chaos, Case16_AHandlerInstalledAfterIsReported) {
    chaos::host host([] {
        const corodump::agent agent;
        orders::service waiting;
        set_action(SIGUSR1, [](int) { chaos::tell("mine"); });
        chaos::tell("ready");
        CHAOS_REQUIRE(chaos::hear() == "dump");
        CHAOS_REQUIRE(!corodump::dump_now().error);
        orders::serve(waiting);
    });
    host.await_ready();
    host.signal(SIGUSR1);
    host.await("mine");
    host.say("dump");
    const support::dump made = support::read_dump(host.await_dump());
    expect_orders(made);
    EXPECT_TRUE(has_warning(made, "taken over"));
    EXPECT_EQ(chaos::files_in(host.directory()).size(), 1U) << "the host's signal made a dump";
    expect_unharmed(host);
    EXPECT_NE(host.errors().find("not the agent's any more"), std::string::npos) << host.errors();
}

TEST(Chaos, Case16_AHandlerInstalledAfterThatCallsOursStillDumps) {
    chaos::host host([] {
        const corodump::agent agent;
        orders::service waiting;
        static struct sigaction ours;
        struct sigaction action{};
        action.sa_flags = SA_SIGINFO;
        action.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
            ours.sa_sigaction(signal, info, context);
        };
        CHAOS_REQUIRE(sigaction(SIGUSR1, &action, &ours) == 0);
        chaos::tell("ready");
        orders::serve(waiting);
    });
    host.await_ready();
    const support::dump made = host.signal_and_await_dump();
    expect_orders(made);
    EXPECT_TRUE(has_warning(made, "taken over"));
    expect_unharmed(host);
}

TEST(Chaos, Case17_TheDefaultActionIsNeverChained) {
    chaos::host host([] {
        set_action(SIGUSR1, SIG_DFL);
        orders::run();
    });
    host.await_ready();
    for (int i = 0; i < 3; ++i) expect_orders(host.signal_and_await_dump());
    expect_unharmed(host);
}

TEST(Chaos, Case18_AnIgnoredSignalOnlyDumps) {
    chaos::host host([] {
        set_action(SIGUSR1, SIG_IGN);
        {
            const corodump::agent agent;
            orders::service waiting;
            chaos::tell("ready");
            orders::serve(waiting);
        }
        struct sigaction after{};
        sigaction(SIGUSR1, nullptr, &after);
        CHAOS_REQUIRE(after.sa_handler == SIG_IGN);
    });
    host.await_ready();
    for (int i = 0; i < 2; ++i) expect_orders(host.signal_and_await_dump());
    expect_unharmed(host);
}

TEST(Chaos, Case19_ErrnoIsPreserved) {
    chaos::host host([] {
        static std::atomic<bool> stop{false};
        const corodump::agent agent;
        orders::service waiting;
        std::thread worker([] {
            change_mask(SIG_UNBLOCK, SIGUSR1);
            chaos::tell(std::to_string(thread_id()));
            errno = 4711;
            while (!stop.load(std::memory_order_relaxed)) CHAOS_REQUIRE(errno == 4711);
        });
        orders::serve(waiting);
        stop = true;
        worker.join();
    });
    const int worker = std::stoi(host.await_line());
    const int signals = chaos::rounds(1'000, 10'000);
    for (int i = 0; i < signals; ++i)
        ASSERT_EQ(syscall(SYS_tgkill, host.pid(), worker, SIGUSR1), 0);
    expect_orders(support::read_dump(host.await_dump()));
    expect_unharmed(host);
}

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t small_stack_bytes = 8192;

/// 8 KiB with a page below that nobody may touch.
char* small_stack() {
    auto* const memory =
        static_cast<char*>(mmap(nullptr, page_bytes + small_stack_bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHAOS_REQUIRE(memory != MAP_FAILED && mprotect(memory, page_bytes, PROT_NONE) == 0);
    return memory + page_bytes;
}

bool was_used(const char* stack) {
    for (std::size_t i = 0; i < small_stack_bytes; ++i)
        if (stack[i] != 0) return true;
    return false;
}

void signal_this_thread() {
    for (int i = 0; i < 100; ++i)
        CHAOS_REQUIRE(syscall(SYS_tgkill, getpid(), thread_id(), SIGUSR1) == 0);
}

TEST(Chaos, Case20_AnAlternateStackOf8KiBHolds) {
    chaos::host host([] {
        const corodump::agent agent;
        orders::service waiting;
        char* const memory = small_stack();
        const stack_t stack{memory, 0, small_stack_bytes};
        CHAOS_REQUIRE(sigaltstack(&stack, nullptr) == 0);
        change_mask(SIG_UNBLOCK, SIGUSR1);
        signal_this_thread();
        change_mask(SIG_BLOCK, SIGUSR1);
#if !CORODUMP_TEST_TSAN  // its own handler queues the signal and calls ours later, elsewhere
        CHAOS_REQUIRE(was_used(memory));
#endif
        orders::serve(waiting);
    });
    expect_orders(support::read_dump(host.await_dump()));
    expect_unharmed(host);
}

#if !CORODUMP_TEST_TSAN  // its own handler alone takes more than such a stack has
TEST(Chaos, Case20_AThreadsStackOf8KiBHolds) {
    chaos::host host([] {
        const corodump::agent agent;
        orders::service waiting;
        static ucontext_t here, on_small_stack;
        char* const memory = small_stack();
        CHAOS_REQUIRE(getcontext(&on_small_stack) == 0);
        on_small_stack.uc_stack = {memory, 0, small_stack_bytes};
        on_small_stack.uc_link = &here;
        makecontext(&on_small_stack, signal_this_thread, 0);
        change_mask(SIG_UNBLOCK, SIGUSR1);
        sigdelset(&on_small_stack.uc_sigmask, SIGUSR1);
        CHAOS_REQUIRE(swapcontext(&here, &on_small_stack) == 0);
        change_mask(SIG_BLOCK, SIGUSR1);
        orders::serve(waiting);
    });
    expect_orders(support::read_dump(host.await_dump()));
    expect_unharmed(host);
}
#endif

TEST(Chaos, Case21_AHostThatBlocksTheSignalEverywhereStillDumps) {
    chaos::host host([] {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        std::thread([] { chaos::stay(); }).detach();
        const corodump::agent agent;
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        std::thread([] { chaos::stay(); }).detach();
        orders::service waiting;
        chaos::tell("ready");
        orders::serve(waiting);
        _exit(0);
    });
    host.await_ready();
    for (int i = 0; i < 2; ++i) expect_orders(host.signal_and_await_dump());
    expect_unharmed(host);
}

/// Waits until the thread sleeps in a system call.
void await_sleep(pid_t tid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    for (char state = 0; state != 'S'; sched_yield()) {
        FILE* const file = fopen(path, "re");
        CHAOS_REQUIRE(file != nullptr && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
        fclose(file);
    }
}

/// None of these may return.
std::vector<std::function<void()>> blocking_calls() {
    static int quiet[2];
    static sem_t never;
    static timespec hour_from_now{};
    CHAOS_REQUIRE(pipe(quiet) == 0 && sem_init(&never, 0, 0) == 0);
    clock_gettime(CLOCK_REALTIME, &hour_from_now);
    hour_from_now.tv_sec += 3600;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHAOS_REQUIRE(listen(listener, 1) == 0);
    const int events = epoll_create1(EPOLL_CLOEXEC);
    return {
        [events] {
            epoll_event event{};
            epoll_wait(events, &event, 1, -1);
        },
        [] {
            pollfd event{quiet[0], POLLIN, 0};
            poll(&event, 1, -1);
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

TEST(Chaos, Case22_NoBlockingCallOfTheHostsReturnsEarly) {
    chaos::host host([] {
        const corodump::agent agent;
        orders::service waiting;
        static std::atomic<int> returned{0};
        static std::atomic<pid_t> started{0};
        for (const auto& call : blocking_calls()) {
            started = 0;
            std::thread([call] {
                started = thread_id();
                call();
                ++returned;
            }).detach();
            while (started == 0) sched_yield();
            await_sleep(started);
        }
        chaos::tell("ready");
        orders::serve(waiting);
        CHAOS_REQUIRE(returned == 0);
        _exit(0);
    });
    host.await_ready();
    const int dumps = chaos::rounds(6, 100);
    for (int i = 0; i < dumps; ++i) {
        for (int kills = 0; kills < 100; ++kills) host.signal(SIGUSR1);
        const support::dump made = support::read_dump(host.await_dump());
        expect_orders(made);
        EXPECT_FALSE(has_warning(made, "may be interrupted"));
    }
    expect_unharmed(host);
}

/// hosts/auto_leaves.cpp: a destructor before the agent's, one after, and the way out by its name.
void flood_the_exit(const std::string& way, int last_word) {
    chaos::setup with;
    with.environment = {{"CORODUMP_MAX_FILES", "1000"}};
    chaos::host host(chaos::program("auto_leaves"), {way}, with);
    host.await_ready();
    expect_orders(host.signal_and_await_dump());
    host.say("leave");
    for (int i = 0; i < last_word; ++i) {
        host.await("leaving " + std::to_string(i));  // stands in a destructor or an exit handler
        for (int kills = 0; kills < 100; ++kills) host.signal(SIGUSR1);
        host.say("go on");
    }
    while (host.is_alive()) host.signal(SIGUSR1);
    EXPECT_EQ(host.wait(), 7) << way << '\n' << host.errors();
}

TEST(Chaos, Case23_SignalsDuringExitAreHarmless) {
    const int rounds = chaos::rounds(2, 50);
    for (int i = 0; i < rounds; ++i) {
        flood_the_exit("return", 2);
        flood_the_exit("exit", 2);
        flood_the_exit("static", 2);
        flood_the_exit("quick_exit", 1);
        flood_the_exit("_exit", 0);
        flood_the_exit("thread", 2);
    }
}

}  // namespace
