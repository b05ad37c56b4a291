// Cases 1 to 11: processes that hang, each in another place, and still answer.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <corodump/agent.hpp>
#include <corodump/describe.hpp>
#include <corodump/detail/abi.hpp>
#include <corodump/task.hpp>
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if CORODUMP_CHAOS_WITH_SPDLOG
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#endif

#include "tests/chaos/chaos_host.hpp"
#include "tests/chaos/waiting_task.hpp"
#include "tests/sanitizers.hpp"

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

#if CORODUMP_TEST_SANITIZED
#define SKIP_SANITIZED(reason) GTEST_SKIP() << (reason)
#else
#define SKIP_SANITIZED(reason) static_cast<void>(0)
#endif
[[maybe_unused]] constexpr const char* own_allocator =
    "AddressSanitizer's runtime has an allocator of its own";
[[maybe_unused]] constexpr const char* no_pool =
    "under AddressSanitizer frames come from malloc, not from the pool";

// --- locks of the C library's --------------------------------------------------------------------

void* chunk_of_the_main_arena;

void stick_in_malloc() {
    chaos::stick_this_thread_in({SYS_mmap, SYS_brk});
    for (;;) static_cast<volatile char*>(std::malloc(100'000))[0] = 1;
}

TEST(Chaos, Case01_MallocsLockHeldByTheMainThread) {
    SKIP_SANITIZED(own_allocator);
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
    SKIP_SANITIZED(own_allocator);
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
    SKIP_SANITIZED(own_allocator);
    expect_dumps_with_stuck(CORODUMP_CHAOS_JEMALLOC);
}

TEST(Chaos, Case03_LockOfTcmallocHeld) {
    SKIP_SANITIZED(own_allocator);
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
    SKIP_SANITIZED(no_pool);
    constexpr std::size_t many = 100'000;
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        static synced::event until;
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

nlohmann::json thread_of(const nlohmann::json& dump, long tid) {
    for (const auto& thread : dump["threads"])
        if (thread["tid"] == tid) return thread;
    ADD_FAILURE() << "no thread " << tid << " in " << dump["threads"];
    return {{"stack", nlohmann::json::object()}, {"frames", nlohmann::json::array()}};
}

bool runs_in(const nlohmann::json& frames, std::string_view function) {
    return std::ranges::any_of(
        frames, [&](const nlohmann::json& frame) { return frame["function"] == function; });
}

/// The thread that spins was asked for its stack, which leads to the coroutine; the task has it
/// too.
void expect_names_the_loop(const std::string& path, const std::string& task, long tid) {
    const auto dump = chaos::parse(path);
    const auto thread = thread_of(dump, tid);
    EXPECT_EQ(thread["stack"]["source"], "signal") << thread;
    EXPECT_NE(thread["stack"]["quality"], "partial") << thread;
    EXPECT_EQ(thread["state"], "R") << thread;
    EXPECT_EQ(thread["task"], task) << thread;
    EXPECT_TRUE(runs_in(thread["frames"], "app::spins")) << thread;
    for (const auto& each : dump["tasks"]) {
        if (each["id"] != task) continue;
        ASSERT_TRUE(each.contains("native_stack")) << each;
        EXPECT_EQ(each["native_stack"].back()["function"], "app::spins") << each;
    }
}

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
        expect_names_the_loop(dump.path, found->id, host.pid());
    }
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

TEST(Chaos, Case09_EveryThreadBlockedInASystemCall) {
    struct blocker {
        long call;
        const char* name;
        char state;
        void (*block)();
    };
    static int never[2];
    static const blocker blockers[] = {
        {SYS_vfork, "vfork", 'D', [] { chaos::stay_in_vfork(); }},
        {SYS_read, "read", 'S',
         [] {
             char byte;
             CHAOS_REQUIRE(read(never[0], &byte, 1) == 1);
         }},
        {SYS_futex, "futex", 'S', [] { std::binary_semaphore(0).acquire(); }},
        {SYS_epoll_wait, "epoll_wait", 'S',
         [] {
             epoll_event event;
             epoll_wait(epoll_create1(0), &event, 1, -1);
         }},
        {SYS_accept, "accept", 'S', [] { accept(listening_socket(), nullptr, nullptr); }},
        {SYS_clock_nanosleep, "clock_nanosleep", 'S',
         [] { std::this_thread::sleep_for(std::chrono::hours(24)); }},
        {SYS_poll, "poll", 'S', [] { poll(nullptr, 0, -1); }},
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
                blocked += host.is_thread_in(tid, each.call, each.state) ? 1 : 0;
        ASSERT_TRUE(host.is_alive()) << host.errors();
        poll(nullptr, 0, 1);
    }
    expect_dumps(host);
#if !CORODUMP_TEST_SANITIZED  // its runtime stands between, in code without unwind tables
    // Each is marked with what it does not answer for, and where; none was asked.
    const auto dump = chaos::parse(host.signal_and_await_dump().path);
    for (const blocker& each : blockers) {
        const auto marked = std::ranges::find_if(threads, [&](long tid) {
            const auto thread = thread_of(dump, tid);
            return thread["syscall"] == each.name && thread["syscall_number"] == each.call;
        });
        ASSERT_NE(marked, threads.end()) << each.name << ' ' << dump["threads"];
        const auto thread = thread_of(dump, *marked);
        EXPECT_EQ(thread["state"], std::string(1, each.state)) << thread;
        EXPECT_EQ(thread["stack"]["source"], "no_signal") << thread;
        EXPECT_NE(thread["stack"]["quality"], "partial") << thread;
        EXPECT_GT(thread["frames"].size(), 2U) << thread;
    }
#endif
    for (const blocker& each : blockers) {
        const bool still = std::ranges::any_of(
            threads, [&](long tid) { return host.is_thread_in(tid, each.call, each.state); });
        EXPECT_TRUE(still) << "system call " << each.call << " was disturbed by the dumps";
    }
}

// --- corruption ----------------------------------------------------------------------------------

using corodump::detail::record;

constexpr std::uintptr_t nowhere = 0xdead'beef'0000'1238;
constexpr std::uintptr_t unmapped = 0x1000;

/// An awaiter with virtual functions and a resource, as libraries have them.
struct virtual_awaiter {
    explicit virtual_awaiter(const corodump::resource* of) noexcept : resource(of) {}
    virtual ~virtual_awaiter() = default;
    virtual bool await_ready() const noexcept { return false; }
    virtual void await_suspend(std::coroutine_handle<>) noexcept {}
    virtual void await_resume() const noexcept {}
    void describe(corodump::description& d) const noexcept { d.waits_for(*resource); }
    const corodump::resource* resource;
};

virtual_awaiter* awaiter_to_break;

lazy::task<int> awaits_virtual(const corodump::resource& of) {
    virtual_awaiter awaiter(&of);
    awaiter_to_break = &awaiter;
    co_await awaiter;
    co_return 0;
}
lazy::task<int> above(lazy::task<int> below) {
    co_return 1 + co_await std::move(below);
}

record& record_of(std::coroutine_handle<> of) {
    return *(static_cast<record*>(of.address()) - 1);
}
template <class T>
const T* pointer_to(std::uintptr_t address) {
    return reinterpret_cast<const T*>(address);
}
void overwrite(void* from, std::size_t bytes) {
    auto* const at = static_cast<volatile unsigned char*>(from);
    for (std::size_t i = 0; i < bytes; ++i) at[i] = 0xA5;
}

/// Tasks of two frames; each way of breaking one is for the upper frame.
void break_all(std::vector<lazy::task<int>>& tasks) {
    using corodump::detail::awaitable_info;
    using corodump::detail::promise_info;
    void (*const ways[])(std::coroutine_handle<>) = {
        [](auto h) { overwrite(h.address(), 16); },                           // its code
        [](auto h) { overwrite(static_cast<char*>(h.address()) + 16, 48); },  // its promise
        [](auto h) { record_of(h).promise = pointer_to<promise_info>(nowhere); },
        [](auto h) { record_of(h).promise = pointer_to<promise_info>(unmapped); },
        [](auto h) { record_of(h).awaitable = pointer_to<awaitable_info>(nowhere); },
        [](auto h) { record_of(h).awaitable = pointer_to<awaitable_info>(unmapped); },
        [](auto h) { record_of(h).site = pointer_to<void>(nowhere); },
        [](auto h) { record_of(h).site = pointer_to<void>(unmapped); },
        [](auto h) { record_of(h).suspended = ~std::uint64_t{0}; },
        [](auto h) {  // all of the record, which stays live
            const std::uint32_t generation = record_of(h).generation;
            overwrite(&record_of(h), sizeof(record));
            record_of(h).generation = generation;
        },
    };
    for (std::size_t i = 0; i < std::size(ways); ++i) ways[i](tasks[i].handle());
}

std::ptrdiff_t with_unknown_function(const support::dump& in) {
    return std::ranges::count_if(
        in.tasks, [](const support::task& task) { return task.root().function.empty(); });
}
std::ptrdiff_t with_unknown_line(const support::dump& in) {
    return std::ranges::count_if(in.tasks,
                                 [](const support::task& task) { return task.root().line == 0; });
}

TEST(Chaos, Case11_CorruptFramesPromisesAndPointers) {
    SKIP_SANITIZED(no_pool);
    constexpr std::size_t ways = 10;
    constexpr int unreadable = 5;
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        synced::event until;
        std::vector<lazy::task<int>> tasks;
        for (std::size_t i = 0; i < ways; ++i) {
            tasks.push_back(above(app::inner(until)));
            tasks.back().start();
        }
        auto* const resource = new corodump::resource("pool", "gone");
        auto behind = above(awaits_virtual(*resource));
        behind.start();
        chaos::serve();
        break_all(tasks);
        overwrite(awaiter_to_break, sizeof(virtual_awaiter));  // its vtable, and its resource
        overwrite(resource, sizeof *resource);
        chaos::serve();
        _exit(0);  // such frames cannot be destroyed
    });
    host.await_ready();
    const support::dump before = host.signal_and_await_dump();
    EXPECT_TRUE(before.complete) << (before.warnings.empty() ? "" : before.warnings.front());
    EXPECT_EQ(before.tasks.size(), 1 + ways + 1) << before.chains();
    EXPECT_EQ(before.frames, 2 + 2 * ways + 2);
    EXPECT_NE(before.text.find("\"gone\""), std::string::npos);
    host.say("break");
    host.await_ready();
    for (int i = 0; i < 2; ++i) {
        const support::dump dump = host.signal_and_await_dump();
        EXPECT_EQ(dump.frames, before.frames);
        support::expect_valid(dump.path);
        std::size_t whole = 0;
        for (const support::task* task : dump.all_ending_in("app::inner"))
            if (task->root().function == "app::outer" && task->chain.size() == 2) ++whole;
        EXPECT_EQ(whole, 1U) << dump.chains();
        // Each leaf below a broken frame is still there, with its name.
        EXPECT_EQ(dump.all_ending_in("app::inner").size(), ways + 1) << dump.chains();
        EXPECT_EQ(dump.all_ending_in("(anonymous namespace)::awaits_virtual").size(), 1U)
            << dump.chains();
        EXPECT_EQ(dump.text.find("gone"), std::string::npos);
        // Of these the type of the promise, or of what they await, is gone. All else that is broken
        // is unknown, and null.
        const auto told = chaos::parse(dump.path)["dump"];
        EXPECT_EQ(told["counts"]["unreadable"], unreadable) << told;
        EXPECT_FALSE(dump.complete);
        ASSERT_EQ(dump.warnings.size(), 1U);
        EXPECT_EQ(dump.warnings[0], "5 frames could not be read; their chains end there");
        EXPECT_EQ(with_unknown_function(dump), 1);  // whose record was overwritten
        EXPECT_EQ(with_unknown_line(dump), 3);      // and the two without a site
    }
    host.expect_answers();
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
