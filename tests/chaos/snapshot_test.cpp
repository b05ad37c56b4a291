// Cases 43 to 50: what coroutines do while they are dumped, and what they may look like.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <corodump/agent.hpp>
#include <corodump/describe.hpp>
#include <corodump/task.hpp>
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/chaos/chaos_host.hpp"
#include "tests/chaos/waiting_task.hpp"
#include "tests/integration/styles/eager_task.hpp"
#include "tests/sanitizers.hpp"

namespace app {

// --- coroutines that wander ----------------------------------------------------------------------

/// Where coroutines wait to be taken by any thread.
class station {
public:
    struct stops {
        station& at;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> waiting) const {
            const std::lock_guard lock(at.mutex_);
            at.waiting_.push_back(waiting);
        }
        void await_resume() const noexcept {}
    };
    stops operator co_await() noexcept { return {*this}; }
    std::coroutine_handle<> take() {
        const std::lock_guard lock(mutex_);
        if (waiting_.empty()) return nullptr;
        const auto next = waiting_.back();
        waiting_.pop_back();
        return next;
    }

private:
    std::mutex mutex_;
    std::vector<std::coroutine_handle<>> waiting_;
};

struct world {
    station on_the_way;
    station at_the_end;
    std::atomic<long> wrong{0};
    std::atomic<long> alive{0};
};

lazy::task<int> travels(world& in, int stops) {
    for (int i = 0; i < stops; ++i) co_await in.on_the_way;
    co_return stops;
}
lazy::task<int> journey(world& in, int depth) {
    if (depth > 0) co_return co_await journey(in, depth - 1);
    co_return co_await travels(in, 3);
}
struct counted {
    std::atomic<long>& count;
    explicit counted(std::atomic<long>& in) : count(in) { ++count; }
    ~counted() { --count; }
};
/// Ends where another thread finds and destroys it.
eager::forgotten roams(world& in, int depth) {
    const counted alive(in.alive);
    in.wrong += co_await journey(in, depth) == 3 ? 0 : 1;
    co_await in.at_the_end;
}

// --- frames elsewhere ----------------------------------------------------------------------------

/// A library that maps each frame for itself.
struct mapped {
    struct promise_type {
        mapped get_return_object() noexcept {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }
        static void* operator new(std::size_t bytes) {
            CHAOS_REQUIRE(bytes <= 4096);
            void* const page =
                mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            CHAOS_REQUIRE(page != MAP_FAILED);
            return page;
        }
        static void operator delete(void* page) { munmap(page, 4096); }
    };
    std::coroutine_handle<promise_type> handle;
    /// As a library with a bug does: the frame is gone, and nobody has destroyed it.
    void unmap() const {
        const auto frame = reinterpret_cast<std::uintptr_t>(handle.address());
        CHAOS_REQUIRE(munmap(reinterpret_cast<void*>(frame & ~std::uintptr_t{4095}), 4096) == 0);
    }
};
mapped maps_itself(synced::event& until) {
    co_await until;
}

// --- cycles and depth ----------------------------------------------------------------------------

eager::task awaits_other(synced::event& begin, std::optional<eager::task>& other) {
    co_await begin;
    co_return co_await *other;
}
eager::task bottom(synced::event& until) {
    co_await until;
    co_return 1;
}
eager::task level(eager::task below) {
    co_return 1 + co_await below;
}

// --- what speaks for itself ----------------------------------------------------------------------

/// Its hook may throw, so it is no hook: it is not called at all.
struct throws_in_describe {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    void await_resume() const noexcept {}
    void describe(corodump::description&) const { throw std::runtime_error("describe"); }
};
struct throws_in_text {
    friend std::string to_string(const throws_in_text&) { throw std::runtime_error("to_string"); }
};
lazy::task<> watches_a_throwing_value() {
    const throws_in_text broken;
    const int whole = 7;
    corodump::watch first{"broken", broken};
    corodump::watch second{"whole", whole};
    co_await throws_in_describe{};
}
constexpr std::string_view hostile =
    "\"quoted\" back\\slash \x1b[31mred\x1b[0m \x01\x7f tab\t line\n \xff\xc3( \xed\xa0\x80 end";
lazy::task<> has_hostile_names(const std::string& text) {
    corodump::set_name(hostile);
    corodump::set_label("label \x1b]0;title\x07", hostile);
    corodump::watch shown{"text", text};
    co_await throws_in_describe{};
}

}  // namespace app

namespace {

void expect_waiting_task(const support::dump& in) {
    const support::task* const found = in.ending_in("app::inner");
    ASSERT_NE(found, nullptr) << in.chains().substr(0, 4000);
    EXPECT_EQ(found->root().function, "app::outer");
    EXPECT_EQ(found->activity, "suspended");
}

bool has_warning(const support::dump& in, std::string_view text) {
    for (const std::string& each : in.warnings)
        if (each.find(text) != std::string::npos) return true;
    return false;
}

// --- 43 ------------------------------------------------------------------------------------------

void wander(app::world& in, const std::atomic<bool>& stop, unsigned random) {
    while (!stop) {
        random = random * 1664525U + 1013904223U;
        if (random >> 30U == 0 && in.alive < 300)
            app::roams(in, static_cast<int>(random >> 8U) % 5);
        else if (const auto next = in.on_the_way.take())
            next.resume();
        else if (const auto ended = in.at_the_end.take())
            ended.destroy();
    }
}

/// Torn would be: a frame twice, a chain in an order that no code makes, a frame without a name.
void expect_consistent(const support::dump& of) {
    std::set<std::string> frames, ids;
    for (const support::task& task : of.tasks) {
        EXPECT_TRUE(ids.insert(task.id).second) << task.id;
        int last = 0;
        for (const support::frame& frame : task.chain) {
            EXPECT_TRUE(frames.insert(frame.address).second) << frame.address << " twice";
            const int rank = frame.function == "app::roams"     ? 1
                             : frame.function == "app::journey" ? 2
                             : frame.function == "app::travels" ? 4
                                                                : 0;
            ASSERT_NE(rank, 0) << '"' << frame.function << '"';
            EXPECT_GE(rank, rank == 2 ? last : last + 1) << of.chains();
            last = rank;
        }
        EXPECT_FALSE(task.chain.empty());
    }
    EXPECT_EQ(frames.size(), of.frames);
}

TEST(Chaos, Case43_DumpsWhileCoroutinesAreMadeMovedAndDestroyedOnEveryCore) {
    const int dumps = chaos::rounds(40, 1000);
    chaos::setup with;
    with.environment = {{"CORODUMP_MAX_FILES", "5000"}};
    with.deadline = std::chrono::seconds(chaos::is_long() ? 500 : 60);
    chaos::host host(
        [dumps] {
            const corodump::agent agent;
            app::world world;
            std::atomic<bool> stop{false};
            std::vector<std::thread> threads;
            for (unsigned i = 0; i < std::max(2U, std::thread::hardware_concurrency()); ++i)
                threads.emplace_back([&, i] { wander(world, stop, i + 1); });
            // Threads that come and go, each with coroutines that others end.
            threads.emplace_back([&] {
                while (!stop) std::thread([&] { app::roams(world, 1); }).join();
            });
            chaos::tell("ready");
            for (int i = 0; i < dumps; ++i) CHAOS_REQUIRE(corodump::dump_now());
            stop = true;
            for (std::thread& each : threads) each.join();
            while (const auto next = world.on_the_way.take()) next.resume();
            while (const auto ended = world.at_the_end.take()) ended.destroy();
            CHAOS_REQUIRE(world.alive == 0);
            CHAOS_REQUIRE(world.wrong == 0);
            chaos::tell("done");
            CHAOS_REQUIRE(corodump::dump_now());
        },
        with);
    host.await_ready();
    host.signal(SIGUSR1);  // both ways at once
    support::dump last;
    for (int i = 0; i < dumps + 1; ++i) {
        const std::string path = host.await_dump();
        ASSERT_NE(path, "") << i << " dumps";
        last = support::read_dump(path);
        expect_consistent(last);
        if (HasFailure()) break;
        unlink(path.c_str());
    }
    host.await("done");
    EXPECT_EQ(host.wait(), 0) << host.errors();
}

// --- 44, 45, 47 ----------------------------------------------------------------------------------

TEST(Chaos, Case44_PromiseMemoryUnmapped) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        synced::event until;
        const app::mapped whole = app::maps_itself(until);
        const app::mapped gone = app::maps_itself(until);
        gone.unmap();
        chaos::serve();
        CHAOS_REQUIRE(!whole.handle.done());
        _exit(0);
    });
    host.await_ready();
    const support::dump dump = host.signal_and_await_dump();
    const auto json = chaos::parse(dump.path);
    EXPECT_EQ(json["dump"]["counts"]["unreadable"], 1);
    EXPECT_FALSE(dump.complete);
    EXPECT_TRUE(has_warning(dump, "1 frames could not be read"));
    EXPECT_EQ(dump.all_ending_in("app::maps_itself").size(), 2U) << dump.chains();
    expect_waiting_task(dump);
    support::expect_valid(dump.path);
    host.expect_answers();
}

TEST(Chaos, Case44_FramesUnmappedWhileTheyAreRead) {
    const int dumps = chaos::rounds(30, 500);
    chaos::setup with;
    with.environment = {{"CORODUMP_MAX_FILES", "5000"}};
    chaos::host host(
        [dumps] {
            const corodump::agent agent;
            const app::waiting_task waiting;
            synced::event until;
            std::atomic<bool> stop{false};
            std::thread unmapper([&] {
                for (int i = 0; i < 2000 && !stop; ++i) app::maps_itself(until).unmap();
                while (!stop) {  // with the same addresses over and over, as the kernel gives them
                    const app::mapped made = app::maps_itself(until);
                    made.handle.destroy();
                }
            });
            for (int i = 0; i < dumps; ++i) CHAOS_REQUIRE(corodump::dump_now());
            stop = true;
            unmapper.join();
            CHAOS_REQUIRE(corodump::dump_now());
            _exit(0);
        },
        with);
    support::dump last;
    for (int i = 0; i < dumps + 1; ++i) {
        last = support::read_dump(host.await_dump());
        expect_waiting_task(last);
        if (HasFailure()) break;
    }
    EXPECT_TRUE(has_warning(last, "frames could not be read"));
    EXPECT_EQ(host.wait(), 0) << host.errors();
}

TEST(Chaos, Case45_AwaitCycle) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        synced::event begin;
        std::optional<eager::task> first, second;
        first.emplace(app::awaits_other(begin, second));
        second.emplace(app::awaits_other(begin, first));
        begin.set();
        chaos::serve();
        _exit(0);
    });
    host.await_ready();
    const support::dump dump = host.signal_and_await_dump();
    expect_waiting_task(dump);
    std::size_t in_cycle = 0;
    for (const support::task& task : dump.tasks)
        for (const support::frame& frame : task.chain)
            in_cycle += frame.function == "app::awaits_other" ? 1 : 0;
    EXPECT_EQ(in_cycle, 2U) << dump.chains();
    EXPECT_TRUE(has_warning(dump, "1 await cycles were found")) << dump.chains();
    ASSERT_EQ(dump.verdicts.size(), 1U) << dump.chains();
    EXPECT_EQ(dump.verdicts[0].kind, "wait_cycle");
    EXPECT_EQ(dump.verdicts[0].statement,
              "Deadlock: 1 task awaits itself in a circle: it can never be resumed.");
    ASSERT_EQ(dump.verdicts[0].evidence.size(), 1U);
    EXPECT_TRUE(dump.verdicts[0].evidence[0].starts_with("app::awaits_other ("));
    EXPECT_TRUE(dump.verdicts[0].evidence[0].ends_with(" awaits itself, through 2 coroutines"));
    support::expect_valid(dump.path);
    host.expect_answers();
}

TEST(Chaos, Case47_AChainOf100000IsCutAtTheBoundAndCounted) {
    constexpr int depth = 100'000;
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        synced::event until;
        eager::task top = app::bottom(until);
        for (int i = 1; i < depth; ++i) {
            auto* const above = new eager::task(app::level(std::move(top)));
            top.~task();
            new (&top) eager::task(std::move(*above));
        }
        chaos::serve();
        _exit(0);  // without the destructors, which do recur
    });
    host.await_ready();
    const support::dump dump = host.signal_and_await_dump();
    expect_waiting_task(dump);
    const auto json = chaos::parse(dump.path);
    // Both ends are shown, what the task is and what it waits for; the middle is counted.
    const support::task* const deep = dump.ending_in("app::bottom");
    ASSERT_NE(deep, nullptr) << dump.chains().substr(0, 4000);
    EXPECT_EQ(deep->chain.size(), 256U);
    EXPECT_EQ(deep->root().function, "app::level");
    ASSERT_TRUE(deep->awaits.has_value());
    EXPECT_EQ(deep->awaits->awaitable, "synced::event::awaiter");
    EXPECT_EQ(json["dump"]["counts"]["cut"], depth - 256);
    EXPECT_FALSE(dump.complete);
    host.expect_answers();
}

// --- 46 ------------------------------------------------------------------------------------------

long status_kib(const chaos::host& of, const std::string& field) {
    const std::string status = of.of_process("status");
    const std::size_t at = status.find(field + ':');
    return at == std::string::npos
               ? -1
               : std::strtol(status.c_str() + at + field.size() + 1, nullptr, 10);
}

/// The dump line by line, since of a million tasks a parsed one takes ten times the memory that is
/// measured here: every id once; every thousandth task parsed, and as it must be. Those that wait
/// are the main thread's, `pid`.
void expect_each_task_once(const std::string& path, pid_t pid, std::size_t waiting,
                           std::size_t at_most) {
    const std::string by_main = R"(,"thread":)" + std::to_string(pid) + ',';
    std::ifstream file(path);
    std::vector<std::string> ids;
    std::size_t parked = 0;
    std::string line, last;
    for (; std::getline(file, line); last = line) {
        if (!line.starts_with(R"({"id":")")) continue;
        if (line.ends_with(',')) line.pop_back();
        ids.push_back(line.substr(7, line.find('"', 7) - 7));
        if (line.find(by_main) == std::string::npos) continue;
        if (parked++ % 1000 != 0) continue;
        const auto task = nlohmann::json::parse(line, nullptr, false);
        ASSERT_TRUE(task.is_object()) << line;
        EXPECT_EQ(task["state"], "pending") << line;
        EXPECT_EQ(task["activity"], "suspended") << line;
        ASSERT_EQ(task["await_chain"].size(), 2U) << line;
        EXPECT_EQ(task["await_chain"][0]["function"], "app::inner") << line;
        EXPECT_EQ(task["await_chain"][1]["awaitable"], "synced::event::awaiter") << line;
    }
    EXPECT_EQ(last, "}");
    EXPECT_EQ(parked, waiting);
    EXPECT_LE(ids.size(), at_most);
    std::ranges::sort(ids);
    EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end());
}

TEST(Chaos, Case46_AMillionTasksAreDumpedWhileTheServiceGoesOn) {
    const int tasks = chaos::rounds(50'000, 1'000'000);
    chaos::setup with;
    with.deadline = std::chrono::seconds(300);
    // The deadline is another test's: a busy machine must not cut this dump. The cap of tasks, a
    // million, would leave out the one that goes on meanwhile.
    with.environment = {{"CORODUMP_DEADLINE_MS", "120000"}, {"CORODUMP_MAX_TASKS", "2000000"}};
    chaos::host host(
        [tasks] {
            const corodump::agent agent;
            synced::event until;
            std::vector<lazy::task<int>> all;
            all.reserve(static_cast<std::size_t>(tasks));
            for (int i = 0; i < tasks; ++i) {
                all.push_back(app::inner(until));
                all.back().start();
            }
            static std::atomic<unsigned long> done{0};
            std::thread([] {
                for (;;) {
                    synced::event now;
                    auto task = app::outer(now);
                    task.start();
                    now.set();
                    done.fetch_add(1, std::memory_order_relaxed);
                }
            }).detach();
            chaos::tell("ready");
            while (chaos::hear() == "progress") chaos::tell("done", static_cast<long>(done.load()));
            _exit(0);
        },
        with);
    const auto progress = [&host] {
        host.say("progress");
        return std::stol(host.await_line().substr(5));
    };
    host.await_ready();
    const long rss_before = status_kib(host, "VmRSS");
    const long before = progress();
    host.signal(SIGUSR1);
    const std::string path = host.await_dump();
    EXPECT_GT(progress(), before) << "the service stood still";
    // Not parsed: of a million tasks that takes ten times the memory that is measured here.
    const std::string line = host.await_error("dumped ");
    const long dumped = std::stol(line.substr(line.find("dumped ") + 7));
    EXPECT_GE(dumped, tasks);
    EXPECT_LE(dumped, tasks + 2);  // two frames that moved while they were read
    // The arena is 1 GiB of address space, the writer's buffer some MiB: never more, and given
    // back.
    const long most = status_kib(host, "VmHWM");
#if !CORODUMP_TEST_SANITIZED  // their shadow memory grows with ours
    EXPECT_LT(most - rss_before, 1'100'000);
    EXPECT_LT(status_kib(host, "VmRSS") - rss_before, 64'000);
#endif
    printf("%d tasks: %ld KiB above the service's own at the most\n", tasks, most - rss_before);
    expect_each_task_once(path, host.pid(), static_cast<std::size_t>(tasks),
                          static_cast<std::size_t>(dumped));
}

#if !CORODUMP_TEST_SANITIZED  // their runtimes make mlockall do nothing
struct memory {
    long resident_kib, locked_kib;
};
memory memory_of(const chaos::host& of) {
    return {status_kib(of, "VmRSS"), status_kib(of, "VmLck")};
}

void lock_all_memory() {
    if (mlockall(MCL_CURRENT | MCL_FUTURE) == 0) return chaos::tell("locked");
    CHAOS_REQUIRE(errno == EPERM || errno == ENOMEM);
    chaos::tell("refused");
    _exit(0);
}

/// Two stages, in either order; the test looks at the memory after each, and after dumps.
void serve_in_stages(bool lock_first) {
    synced::event until;
    std::vector<lazy::task<int>> all;
    for (int i = 0; i < 20'000; ++i) {
        all.push_back(app::inner(until));
        all.back().start();
    }
    if (lock_first) lock_all_memory();
    CHAOS_REQUIRE(chaos::serve() == "next");
    const corodump::agent agent;
    CHAOS_REQUIRE(chaos::serve() == "next");
    if (!lock_first) lock_all_memory();
    chaos::serve();
    _exit(0);
}

/// What the agent holds of its own when it does not dump: stacks, the workspace, 64 slots of 64 KiB
/// for stacks, what a dump keeps; never the reservation of 1 GiB, nor what dumps took of it.
constexpr long own_kib = 32'000;

memory after_dumps(chaos::host& host) {
    for (int i = 1; i <= 3; ++i) {
        host.signal(SIGUSR1);
        // The memory of a dump was given back before its line.
        const std::string line = host.await_error("-" + std::to_string(i) + ".json in ");
        EXPECT_NE(line.find("dumped 20000 tasks to "), std::string::npos) << line;
    }
    return memory_of(host);
}

TEST(Chaos, Case46_AHostThatLockedAllItsMemoryBeforeTheAgent) {
    chaos::host host([] { serve_in_stages(true); });
    if (const std::string line = host.await_line(); line != "locked")
        GTEST_SKIP() << "mlockall is " << line;
    host.await_ready();
    const memory before = memory_of(host);
    host.say("next");
    host.await_ready();
    const memory installed = memory_of(host);
    EXPECT_LT(installed.resident_kib - before.resident_kib, own_kib);
    EXPECT_LT(installed.locked_kib - before.locked_kib, own_kib);
    host.say("next");
    host.await_ready();
    const memory dumped = after_dumps(host);
    printf("KiB resident and locked: %ld %ld, with the agent %ld %ld, after dumps %ld %ld\n",
           before.resident_kib, before.locked_kib, installed.resident_kib, installed.locked_kib,
           dumped.resident_kib, dumped.locked_kib);
    EXPECT_LT(dumped.resident_kib - before.resident_kib, own_kib);
    EXPECT_LT(dumped.locked_kib - before.locked_kib, own_kib);
}

TEST(Chaos, Case46_AHostThatLocksAllItsMemoryAfterTheAgent) {
    chaos::host host([] { serve_in_stages(false); });
    host.await_ready();
    const memory before = memory_of(host);
    host.say("next");
    host.await_ready();
    host.say("next");
    if (const std::string line = host.await_line(); line != "locked")
        GTEST_SKIP() << "mlockall is " << line;
    host.await_ready();
    const memory locked = memory_of(host);
    const memory dumped = after_dumps(host);
    printf("KiB resident and locked: %ld %ld, with the agent %ld %ld, after dumps %ld %ld\n",
           before.resident_kib, before.locked_kib, locked.resident_kib, locked.locked_kib,
           dumped.resident_kib, dumped.locked_kib);
    // The images become resident with all the rest; the reservation only counts, until a dump.
    EXPECT_LT(locked.resident_kib - before.resident_kib, 100'000);
    EXPECT_LT(dumped.resident_kib - locked.resident_kib, own_kib);
    EXPECT_LT(dumped.locked_kib, locked.locked_kib - 900'000);
}
#endif

// --- the deadline -------------------------------------------------------------------------------

/// Whoever reads the page waits, until give() is called. (userfaultfd(2); for system calls that
/// read it, as the agent's do, the kernel wants CAP_SYS_PTRACE.)
class slow_page {
public:
    explicit slow_page(void* frame)
        : page_(reinterpret_cast<std::uintptr_t>(frame) & ~std::uintptr_t{4095}),
          fd_(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC))) {
        uffdio_api api{UFFD_API, 0, 0};
        uffdio_register all{{page_, 4096}, UFFDIO_REGISTER_MODE_MISSING, 0};
        ready_ = fd_ >= 0 && ioctl(fd_, UFFDIO_API, &api) == 0 &&
                 ioctl(fd_, UFFDIO_REGISTER, &all) == 0 &&
                 madvise(reinterpret_cast<void*>(page_), 4096, MADV_DONTNEED) == 0;
    }
    slow_page(const slow_page&) = delete;
    slow_page& operator=(const slow_page&) = delete;
    [[nodiscard]] bool ready() const noexcept { return ready_; }
    void await_reader() const {
        uffd_msg told{};
        CHAOS_REQUIRE(read(fd_, &told, sizeof told) == sizeof told);
        CHAOS_REQUIRE(told.event == UFFD_EVENT_PAGEFAULT);
    }
    void give() const {
        uffdio_zeropage all{{page_, 4096}, 0, 0};
        CHAOS_REQUIRE(ioctl(fd_, UFFDIO_ZEROPAGE, &all) == 0);
    }

private:
    std::uintptr_t page_;
    int fd_;
    bool ready_ = false;
};

TEST(Chaos, Case46_TheDeadlineComesInTheMiddleOfReading) {
    constexpr std::size_t frames = 4000;
    chaos::setup with;
    with.environment = {{"CORODUMP_DEADLINE_MS", "4000"}};  // half of it for reading
    chaos::host host(
        [] {
            const corodump::agent agent;
            synced::event until;
            std::vector<app::mapped> all;
            for (std::size_t i = 0; i < frames; ++i) all.push_back(app::maps_itself(until));
            const slow_page slow(all[frames / 2].handle.address());
            chaos::tell(slow.ready() ? "slow" : "refused");
            if (!slow.ready()) _exit(0);
            slow.await_reader();
            std::this_thread::sleep_for(std::chrono::milliseconds(2100));  // what is tested is time
            slow.give();
            chaos::serve();
            _exit(0);
        },
        with);
    if (const std::string line = host.await_line(); line != "slow")
        GTEST_SKIP() << "userfaultfd is " << line;
    const support::dump dump = host.signal_and_await_dump();
    // Every task is there with what its record tells; of those that were not read, no more.
    EXPECT_EQ(dump.tasks.size(), frames);
    for (const support::task& task : dump.tasks) {
        EXPECT_EQ(task.root().function, "app::maps_itself");
        EXPECT_EQ(task.activity, "suspended");
        EXPECT_TRUE(task.awaits.has_value());
    }
    EXPECT_FALSE(dump.complete);
    ASSERT_EQ(dump.warnings.size(), 1U);
    const std::string& warning = dump.warnings[0];
    EXPECT_NE(
        warning.find(" frames were not read, and stand alone: the dump's deadline had passed"),
        std::string::npos)
        << warning;
    const unsigned long late = std::stoul(warning);
    EXPECT_GT(late, frames / 8);
    EXPECT_LT(late, frames * 7 / 8);
    support::expect_valid(dump.path);
    host.await_ready();
    host.expect_answers();
}

// --- 48 to 50 ------------------------------------------------------------------------------------

TEST(Chaos, Case48_AFrameAtAReusedAddressHasAnotherId) {
#if CORODUMP_TEST_ASAN
    GTEST_SKIP() << "AddressSanitizer keeps freed frames from being used again";
#endif
    chaos::host host([] {
        const corodump::agent agent;
        synced::event until;
        std::optional<lazy::task<int>> task(app::inner(until));
        const void* const address = task->handle().address();
        task->start();
        CHAOS_REQUIRE(chaos::serve() == "again");
        synced::event another;
        std::vector<lazy::task<int>> others;  // the allocator may hand it out later
        for (task.reset(); !task;) {
            others.push_back(app::inner(another));
            CHAOS_REQUIRE(others.size() < 100'000);
            if (others.back().handle().address() != address) continue;
            task.emplace(std::move(others.back()));
            others.pop_back();
        }
        others.clear();
        task->start();
        chaos::serve();
        _exit(0);
    });
    host.await_ready();
    const support::dump first = host.signal_and_await_dump();
    host.say("again");
    host.await_ready();
    const support::dump second = host.signal_and_await_dump();
    ASSERT_EQ(first.tasks.size(), 1U);
    ASSERT_EQ(second.tasks.size(), 1U);
    EXPECT_EQ(first.tasks[0].last().address, second.tasks[0].last().address);
    EXPECT_NE(first.tasks[0].id, second.tasks[0].id);
}

TEST(Chaos, Case49_ExceptionsFromAHookAndAFormatter) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        auto task = app::watches_a_throwing_value();
        task.start();
        CHAOS_REQUIRE(!task.done());
        chaos::serve();
        _exit(0);
    });
    host.await_ready();
    const support::dump dump = host.signal_and_await_dump();
    expect_waiting_task(dump);
    const support::task* const task = dump.ending_in("app::watches_a_throwing_value");
    ASSERT_NE(task, nullptr) << dump.chains();
    EXPECT_EQ(task->last().locals.at("broken").value, "null");
    EXPECT_EQ(task->last().locals.at("whole").value, "7");
    ASSERT_TRUE(task->awaits.has_value());
    EXPECT_EQ(task->awaits->awaitable, "app::throws_in_describe");
    EXPECT_EQ(task->awaits->kind, "");
    support::expect_valid(dump.path);
    host.expect_answers();
}

TEST(Chaos, Case50_HostileNamesGiveValidJsonAndAHarmlessTerminal) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        const std::string text(app::hostile);
        auto task = app::has_hostile_names(text);
        task.start();
        chaos::serve();
        _exit(0);
    });
    host.await_ready();
    const support::dump dump = host.signal_and_await_dump();
    expect_waiting_task(dump);
    support::expect_valid(dump.path);
    const support::task* const task = dump.ending_in("app::has_hostile_names");
    ASSERT_NE(task, nullptr) << dump.chains();
    // As the format says: bytes that are no UTF-8 become U+FFFD, all else is what it was.
    EXPECT_TRUE(task->name.starts_with("\"quoted\" back\\slash \x1b[31mred")) << task->name;
    EXPECT_NE(task->name.find("\xef\xbf\xbd"), std::string::npos) << task->name;
    for (const char each : dump.text)
        EXPECT_TRUE(each == '\n' || static_cast<unsigned char>(each) >= 0x20);
#ifdef CORODUMP_CLI
    const auto shown = chaos::run({CORODUMP_CLI, "show", dump.path});
    EXPECT_EQ(shown.status, 0) << shown.errors;
    EXPECT_NE(shown.output.find("quoted"), std::string::npos) << shown.output;
    for (const char each : shown.output)
        EXPECT_TRUE(each == '\n' || (static_cast<unsigned char>(each) >= 0x20 && each != '\x7f'))
            << shown.output;
#endif
    host.expect_answers();
}

}  // namespace
