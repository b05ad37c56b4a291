// Cases 1 to 11: processes that hang, each in another place, and still answer.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <corodump/agent.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#if CORODUMP_CHAOS_WITH_SPDLOG
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#endif

#include "tests/chaos/chaos_host.hpp"
#include "tests/chaos/waiting_task.hpp"

namespace app {

std::atomic<unsigned> turns{0};

lazy::task<> spins(synced::event& begin) {
    co_await begin;
    chaos::tell("ready");
    for (;;) turns.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace app

namespace {

/// The hang must not have cost the dump anything: the task is there, with its whole chain by name.
void expect_whole(const support::dump& in) {
    EXPECT_TRUE(in.complete) << (in.warnings.empty() ? "" : in.warnings.front());
    const support::task* const found = in.ending_in("app::inner");
    ASSERT_NE(found, nullptr) << in.chains();
    EXPECT_EQ(found->chain.size(), 2U);
    EXPECT_EQ(found->root().function, "app::outer");
    EXPECT_EQ(found->state, "pending");
    EXPECT_EQ(found->activity, "suspended");
    EXPECT_EQ(found->awaits.value_or(support::leaf{}).awaitable, "synced::event::awaiter");
}

/// Two dumps, so that the first has not left anything stuck itself, and their log lines.
void expect_dumps(chaos::host& host) {
    for (int i = 1; i <= 2; ++i) {
        expect_whole(host.signal_and_await_dump());
        const std::string line = host.await_error("-" + std::to_string(i) + ".json in ");
        EXPECT_NE(line.find("info: dumped "), std::string::npos) << line;
    }
    EXPECT_TRUE(host.is_alive());
}

// --- locks of the C library's --------------------------------------------------------------------

void* chunk_of_the_main_arena;

void stick_in_malloc() {
    chaos::stick_this_thread_in({SYS_mmap, SYS_brk});
    for (;;) static_cast<volatile char*>(std::malloc(100'000))[0] = 1;
}

TEST(Chaos, Case01_MallocsLockHeldByTheMainThread) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        chunk_of_the_main_arena = std::malloc(50'000);
        chaos::start_probe([]() noexcept { std::free(chunk_of_the_main_arena); });
        stick_in_malloc();
    });
    host.await("stuck");
    host.expect_probe_blocks();
    const support::dump first = host.signal_and_await_dump();
    expect_whole(first);
    const auto told = chaos::parse(first.path);
    EXPECT_LT(told["dump"]["duration_us"].get<long>(), 2'000'000);
    expect_whole(host.signal_and_await_dump());
    EXPECT_EQ(host.untaken_lines(), "");  // the probe: the lock was held all the time
}

TEST(Chaos, Case02_TheOnlyArenasLockHeld) {
    chaos::host host([] {
        CHAOS_REQUIRE(mallopt(M_ARENA_MAX, 1) == 1);
        const corodump::agent agent;
        const app::waiting_task waiting;
        chaos::start_probe(
            []() noexcept { static_cast<volatile char*>(std::malloc(100'000))[0] = 1; });
        stick_in_malloc();
    });
    host.await("stuck");
    host.expect_probe_blocks();
    expect_dumps(host);
    EXPECT_EQ(host.untaken_lines(), "");
}

void expect_dumps_with_stuck(const char* allocator) {
    ASSERT_EQ(access(allocator, R_OK), 0) << allocator << " is not installed: ./dev setup";
    chaos::setup with;
    with.preload = {allocator};
    with.environment = {{"MALLOC_CONF", "narenas:1,background_thread:false"}};
    chaos::host host(chaos::program("auto_stuck_allocator"), {}, with);
    host.await("stuck");
    EXPECT_NE(host.of_process("maps").find(std::filesystem::canonical(allocator)),
              std::string::npos);
    host.expect_probe_blocks();
    expect_dumps(host);
    EXPECT_EQ(host.untaken_lines(), "");
}

TEST(Chaos, Case03_LockOfJemallocHeld) {
    expect_dumps_with_stuck(CORODUMP_CHAOS_JEMALLOC);
}

TEST(Chaos, Case03_LockOfTcmallocHeld) {
    expect_dumps_with_stuck(CORODUMP_CHAOS_TCMALLOC);
}

TEST(Chaos, Case04_AThreadStuckInAConstructorOfDlopen) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        chaos::start_probe([]() noexcept {
            Dl_info found;
            CHAOS_REQUIRE(dladdr(reinterpret_cast<void*>(&chaos::is_long), &found) != 0);
            // dladdr alone may do without the lock in other versions of the C library.
            CHAOS_REQUIRE(dlopen(nullptr, RTLD_NOW) != nullptr);
        });
        static_cast<void>(
            dlopen(chaos::program("plain_plugin_stuck_constructor.so").c_str(), RTLD_NOW));
    });
    host.await("stuck");
    host.expect_probe_blocks();
    expect_dumps(host);
    EXPECT_EQ(host.untaken_lines(), "");
}

TEST(Chaos, Case05_AThreadStuckInACallbackOfDlIteratePhdr) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        chaos::start_probe([]() noexcept {
            dl_iterate_phdr([](dl_phdr_info*, std::size_t, void*) { return 1; }, nullptr);
        });
        dl_iterate_phdr(
            [](dl_phdr_info*, std::size_t, void*) -> int {
                chaos::tell("stuck");
                chaos::stay();
            },
            nullptr);
    });
    host.await("stuck");
    host.expect_probe_blocks();
    expect_dumps(host);
    EXPECT_EQ(host.untaken_lines(), "");
}

TEST(Chaos, Case06_LocksOfStdoutAndStderrHeld) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        chaos::start_probe([]() noexcept { std::fputs("no newline", stderr); });
        flockfile(stdout);
        flockfile(stderr);
        chaos::tell("stuck");
        chaos::stay();
    });
    host.await("stuck");
    host.expect_probe_blocks();
    expect_dumps(host);
    EXPECT_EQ(host.untaken_lines(), "");
}

#if CORODUMP_CHAOS_WITH_SPDLOG
/// Stays in the sink, under the lock of base_sink, while the registry's lock is held too.
class stuck_sink final : public spdlog::sinks::base_sink<std::mutex> {
    void sink_it_(const spdlog::details::log_msg&) override {
        chaos::tell("stuck");
        chaos::stay();
    }
    void flush_() override {}
};

TEST(Chaos, Case06_LocksOfSpdlogHeld) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        spdlog::set_default_logger(
            std::make_shared<spdlog::logger>("host", std::make_shared<stuck_sink>()));
        chaos::start_probe([]() noexcept { static_cast<void>(spdlog::get("corodump")); });
        spdlog::apply_all(
            [](const std::shared_ptr<spdlog::logger>& each) { each->critical("stuck in here"); });
    });
    host.await("stuck");
    host.expect_probe_blocks();
    expect_dumps(host);
    EXPECT_EQ(host.untaken_lines(), "");
}
#endif

// --- the tracker's own lock ----------------------------------------------------------------------

void make_first_coroutine_of_a_thread() noexcept {
    std::thread([] {
        synced::event never;
        auto task = app::outer(never);
        task.start();
    }).join();
}

TEST(Chaos, Case07_TrackersLockHeldByAThreadStuckInItsFirstCoroutine) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        chaos::start_probe(make_first_coroutine_of_a_thread);
        std::thread([] {
            chaos::stick_this_thread_in({SYS_mmap});
            synced::event never;
            auto task = app::outer(never);
            task.start();
            chaos::tell("the first coroutine of a thread maps nothing");
        }).join();
    });
    host.await("stuck");
    host.expect_probe_blocks();
    expect_dumps(host);  // nothing of the dump needs the lock: it is whole, not only partial
    EXPECT_EQ(host.untaken_lines(), "");
}

TEST(Chaos, Case07_TrackersLockHeldByAThreadStuckInGrowingThePool) {
    constexpr std::size_t many = 100'000;
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        static synced::event until;
        static std::atomic<std::size_t> made{0};
        chaos::start_probe(make_first_coroutine_of_a_thread);
        std::vector<lazy::task<int>> others;
        others.reserve(many);
        others.push_back(app::inner(until));
        chaos::stick_this_thread_in({SYS_mmap});
        for (std::size_t i = 1; i < many; ++i) others.push_back(app::inner(until));
        chaos::tell("the pool did not grow");
    });
    host.await("stuck");
    host.expect_probe_blocks();
    const support::dump dump = host.signal_and_await_dump();
    EXPECT_TRUE(dump.complete);
    std::size_t not_started = 0;
    const support::task* waiting = nullptr;
    for (const support::task& task : dump.tasks) {
        EXPECT_EQ(task.last().function, "app::inner");
        if (task.activity == "not_started") ++not_started;
        if (task.activity == "suspended") waiting = &task;
    }
    EXPECT_GT(not_started, 1000U);
    EXPECT_EQ(not_started + 1, dump.tasks.size());
    ASSERT_NE(waiting, nullptr);
    EXPECT_EQ(waiting->root().function, "app::outer");
    EXPECT_EQ(host.untaken_lines(), "");
}

// --- threads -------------------------------------------------------------------------------------

TEST(Chaos, Case08_ALoopSpinning) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        synced::event begin;
        auto task = app::spins(begin);
        task.start();
        begin.set();
    });
    host.await_ready();
    for (int i = 0; i < 2; ++i) {
        const support::dump dump = host.signal_and_await_dump();
        expect_whole(dump);
        const support::task* const found = dump.ending_in("app::spins");
        ASSERT_NE(found, nullptr) << dump.chains();
        EXPECT_EQ(found->state, "pending");
        EXPECT_EQ(found->activity, "running");
        EXPECT_EQ(found->thread, host.pid());
    }
}

/// In vfork the kernel has the parent wait uninterruptibly ("D"), until the child is gone.
[[noreturn]] void block_in_vfork() noexcept {
    // NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork): it is what is tested
    const pid_t child = vfork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) syscall(SYS_pause);
    }
    chaos::give_up(__FILE__, __LINE__, "vfork came back");
}

int listening_socket() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHAOS_REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    CHAOS_REQUIRE(listen(fd, 1) == 0);
    return fd;
}

/// The state letter and whether the thread is in this system call.
bool is_blocked_in(const chaos::host& host, long tid, long call, char state) {
    const std::string stat = host.of_thread(tid, "stat");
    const std::string in = host.of_thread(tid, "syscall");
    const std::size_t name_end = stat.rfind(')');
    return name_end != std::string::npos && stat.size() > name_end + 2 &&
           stat[name_end + 2] == state && std::strtol(in.c_str(), nullptr, 10) == call;
}

TEST(Chaos, Case09_EveryThreadBlockedInASystemCall) {
    struct blocker {
        long call;
        char state;
        void (*block)();
    };
    static int never[2];
    static const blocker blockers[] = {
        {SYS_vfork, 'D', [] { block_in_vfork(); }},
        {SYS_read, 'S',
         [] {
             char byte;
             CHAOS_REQUIRE(read(never[0], &byte, 1) == 1);
         }},
        {SYS_futex, 'S', [] { std::binary_semaphore(0).acquire(); }},
        {SYS_epoll_wait, 'S',
         [] {
             epoll_event event;
             epoll_wait(epoll_create1(0), &event, 1, -1);
         }},
        {SYS_accept, 'S', [] { accept(listening_socket(), nullptr, nullptr); }},
        {SYS_clock_nanosleep, 'S', [] { std::this_thread::sleep_for(std::chrono::hours(24)); }},
        {SYS_poll, 'S', [] { poll(nullptr, 0, -1); }},
    };
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        CHAOS_REQUIRE(pipe(never) == 0);
        for (std::size_t i = 1; i < std::size(blockers); ++i)
            std::thread([i] {
                chaos::tell("blocks", syscall(SYS_gettid));
                blockers[i].block();
            }).detach();
        chaos::tell("blocks", syscall(SYS_gettid));
        blockers[0].block();
    });
    std::vector<long> threads;
    for (std::size_t i = 0; i < std::size(blockers); ++i)
        threads.push_back(std::stol(host.await_line().substr(7)));
    std::size_t blocked = 0;
    while (blocked < threads.size()) {  // nothing tells when a thread begins to block
        blocked = 0;
        for (const blocker& each : blockers)
            for (const long tid : threads)
                blocked += is_blocked_in(host, tid, each.call, each.state) ? 1 : 0;
        ASSERT_TRUE(host.is_alive()) << host.errors();
        poll(nullptr, 0, 1);
    }
    expect_dumps(host);
    for (const blocker& each : blockers) {
        const bool still = std::ranges::any_of(
            threads, [&](long tid) { return is_blocked_in(host, tid, each.call, each.state); });
        EXPECT_TRUE(still) << "system call " << each.call << " was disturbed by the dumps";
    }
}

#ifdef CORODUMP_CLI
TEST(Chaos, Case10_TriggerSaysThatTheProcessIsStopped) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        chaos::serve();
    });
    host.await_ready();
    host.signal(SIGSTOP);
    siginfo_t stopped{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(host.pid()), &stopped, WSTOPPED | WNOWAIT), 0);
    const auto refused = chaos::run({CORODUMP_CLI, "trigger", std::to_string(host.pid())});
    EXPECT_GT(refused.status, 0);
    EXPECT_NE(refused.errors.find("is stopped (SIGSTOP or a debugger)"), std::string::npos)
        << refused.errors;
    EXPECT_EQ(refused.output, "");
    EXPECT_TRUE(chaos::files_in(host.directory()).empty());

    host.signal(SIGUSR1);  // a plain kill has to wait, and is not lost
    host.signal(SIGCONT);
    expect_whole(support::read_dump(host.await_dump()));
    const auto dumped = chaos::run({CORODUMP_CLI, "trigger", std::to_string(host.pid())});
    EXPECT_EQ(dumped.status, 0) << dumped.errors;
    EXPECT_EQ(dumped.output, host.await_dump() + '\n');
    host.expect_answers();
}
#endif

}  // namespace
