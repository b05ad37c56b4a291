// Cases 60 to 65.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <corodump/agent.hpp>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/chaos/chaos_host.hpp"
#include "tests/chaos/waiting_task.hpp"
#include "tests/sanitizers.hpp"

namespace {

void expect_waiting_task(const support::dump& in) {
    const support::task* const found = in.ending_in("app::inner");
    ASSERT_NE(found, nullptr) << in.chains();
    EXPECT_EQ(found->root().function, "app::outer");
    EXPECT_EQ(found->activity, "suspended");
}

const nlohmann::json& waiting_task_of(const nlohmann::json& dump) {
    for (const auto& task : dump["tasks"])
        if (task["await_chain"][0]["function"] == "app::outer") return task;
    ADD_FAILURE() << dump;
    static const nlohmann::json none{{"age_seconds", -1.0}, {"suspended_seconds", -1.0}};
    return none;
}

TEST(Chaos, Case60_AgesStayRightWhenTheWallClockJumps) {
    chaos::setup with;
    with.preload = {chaos::program("wall_clock_shim.so")};
    with.environment = {{"ASAN_OPTIONS", "verify_asan_link_order=0"}};
    chaos::host host(chaos::program("auto_wall_clock"), {}, with);
    double before = 0;
    long year_now = 0;
    // Ten years forward, and back to before the process was started.
    for (const long shift : {0L, 315'360'000L, -315'360'000L}) {
        host.await_ready();
        host.say(std::to_string(shift));
        host.await_ready();
        const std::string path = host.signal_and_await_dump().path;
        const auto dump = chaos::parse(path);
        const auto& task = waiting_task_of(dump);
        const double age = task["age_seconds"].get<double>();
        EXPECT_GE(age, before);
        EXPECT_LT(age, 60);  // the host's deadline
        EXPECT_LE(task["suspended_seconds"].get<double>(), age);
        before = age;
        // The dump's own time does follow the clock that jumped: the shim works.
        const long year = std::stol(dump["dump"]["time"].get<std::string>());
        if (shift == 0) year_now = year;
        EXPECT_NEAR(static_cast<double>(year), static_cast<double>(year_now + shift / 31'536'000),
                    1);
        host.say("0");
    }
}

// --- 61 ------------------------------------------------------------------------------------------

constexpr int own_files = 64;

struct own_file {
    int fd = -1;
    ino_t inode = 0;
};

void fill_with_own_files(std::array<own_file, own_files>& files) {
    CHAOS_REQUIRE(close_range(3, ~0U, 0) == 0);
    for (own_file& each : files) {
        each.fd = memfd_create("the host's own", 0);
        struct stat status{};
        CHAOS_REQUIRE(each.fd >= 3 && fstat(each.fd, &status) == 0);
        CHAOS_REQUIRE(write(each.fd, "own", 3) == 3);
        each.inode = status.st_ino;
    }
}

void check_own_files(const std::array<own_file, own_files>& files) {
    for (const own_file& each : files) {
        char content[8] = {};
        struct stat status{};
        CHAOS_REQUIRE(fstat(each.fd, &status) == 0);  // not closed
        CHAOS_REQUIRE(status.st_ino == each.inode && status.st_size == 3);
        CHAOS_REQUIRE(lseek(each.fd, 0, SEEK_CUR) == 3);
        CHAOS_REQUIRE(pread(each.fd, content, sizeof content, 0) == 3);
        CHAOS_REQUIRE(std::memcmp(content, "own", 3) == 0);
        CHAOS_REQUIRE(fcntl(each.fd, F_GETFD) == 0);
    }
}

TEST(Chaos, Case61_DescriptorsThatTheHostClosedAndOpenedAnew) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        std::array<own_file, own_files> files;
        for (int i = 0; i < 3; ++i) {  // before the first dump, and after dumps
            fill_with_own_files(files);
            CHAOS_REQUIRE(chaos::serve() == "check");
            check_own_files(files);
        }
        const corodump::dump_result last = corodump::dump_now();
        check_own_files(files);
        chaos::tell(last ? "done" : "failed");
        chaos::stay();
    });
    for (int i = 0; i < 3; ++i) {
        host.await_ready();
        expect_waiting_task(host.signal_and_await_dump());
        expect_waiting_task(host.signal_and_await_dump());
        EXPECT_NE(host.await_error('-' + std::to_string(2 * i + 2) + ".json in "), "");
        host.say("check");
    }
    host.await("done");
}

// --- 62 ------------------------------------------------------------------------------------------

void fill(int fd) {
    CHAOS_REQUIRE(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    static const char block[4096] = {};
    while (write(fd, block, sizeof block) > 0) {
    }
    while (write(fd, block, 1) > 0) {
    }
    CHAOS_REQUIRE(fcntl(fd, F_SETFL, 0) == 0);  // blocking, as a service's stderr is
}

std::string drained(int fd) {
    std::string all;
    char block[4096];
    CHAOS_REQUIRE(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    for (ssize_t got; (got = read(fd, block, sizeof block)) > 0;)
        all.append(block, static_cast<std::size_t>(got));
    return all;
}

TEST(Chaos, Case62_StderrIsAFullPipe) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        int ends[2];
        CHAOS_REQUIRE(pipe(ends) == 0 && dup2(ends[1], 2) == 2);
        fill(2);
        CHAOS_REQUIRE(chaos::serve() == "drain");
        std::string text = drained(ends[0]);
        CHAOS_REQUIRE(chaos::serve() == "read");
        while (text.find('\n') == std::string::npos) text += drained(ends[0]);
        const std::size_t begin = text.find_first_not_of('\0');
        chaos::tell(text.substr(begin, text.find('\n') - begin));
        chaos::serve();
    });
    host.await_ready();
    for (int i = 0; i < 3; ++i) expect_waiting_task(host.signal_and_await_dump());
    host.expect_answers();
    // The third dump's line is tried only after its file is in place, so surely before the fourth
    // dump's is. The fourth's line may be tried before the pipe is emptied or after.
    expect_waiting_task(host.signal_and_await_dump());
    host.say("drain");
    host.await_ready();
    expect_waiting_task(host.signal_and_await_dump());
    host.say("read");
    const std::string line = host.await_line();
    EXPECT_NE(line.find("log lines were dropped) dumped 1 task to "), std::string::npos) << line;
    host.await_ready();
    host.expect_answers();
}

// --- 63 ------------------------------------------------------------------------------------------

/// How many of the rounds' frames lay in their caller's, which the host tells for each caller.
long await_elided(chaos::host& host, const std::string& caller) {
    const std::string line = host.await_line();
    EXPECT_TRUE(line.starts_with(caller + ' ')) << line << host.errors();
    return line.starts_with(caller + ' ') ? std::stol(line.substr(caller.size())) : -1;
}

TEST(Chaos, Case63_ElidedFramesLeaveTheirCallersBytesAlone) {
#if defined(__clang__)
    constexpr bool compiler_elides = true;
#else
    // g++ 12 elides no coroutine: here the test shows only that these callers are left alone.
    constexpr bool compiler_elides = false;
#endif
    const int rounds = chaos::rounds(20'000, 1'000'000);
    for (const std::string tier : {"mixin", "auto"}) {
        for (const std::string level : {"1", "2", "3"}) {
            const std::string name = tier + "_elided_O" + level;
            SCOPED_TRACE(name);
            chaos::host host(chaos::program(name), {std::to_string(rounds)});
            host.await("dumped");
            host.await("dumped");
            std::string elided;
            for (const std::string caller : {"generates", "computes", "unseen"}) {
                const long count = await_elided(host, caller);
                elided += ' ' + caller + ' ' + std::to_string(count);
                EXPECT_EQ(count, compiler_elides ? rounds : 0) << caller;
            }
            printf("%-16s elided of %d rounds:%s\n", name.c_str(), rounds, elided.c_str());
            EXPECT_EQ(host.wait(), 0) << host.errors();
            const support::dump first = support::read_dump(host.await_dump());
            EXPECT_NE(first.ending_in("app::count"), nullptr) << first.chains();
            const support::dump second = support::read_dump(host.await_dump());
            EXPECT_NE(second.ending_in("app::nested"), nullptr) << second.chains();
        }
    }
}

#if !CORODUMP_TEST_TSAN  // its vfork is a fork
// --- 64 ------------------------------------------------------------------------------------------

void block_all_signals() {
    sigset_t all;
    sigfillset(&all);
    CHAOS_REQUIRE(pthread_sigmask(SIG_SETMASK, &all, nullptr) == 0);
}

/// As hung as a process can be: nobody but the agent takes a signal.
[[noreturn]] void hang_all_threads() {
    for (int i = 0; i < 3; ++i)
        std::thread([] {
            block_all_signals();
            chaos::stay();
        }).detach();
    chaos::tell("hangs", syscall(SYS_gettid));
    chaos::stay_in_vfork();
}

void expect_two_dumps(chaos::host& host) {
    const long main_thread = std::stol(host.await_line().substr(6));
    while (!host.is_thread_in(main_thread, SYS_vfork, 'D')) {
        ASSERT_TRUE(host.is_alive()) << host.errors();
        sched_yield();
    }
    for (int i = 0; i < 3; ++i) expect_waiting_task(host.signal_and_await_dump());
    EXPECT_TRUE(host.is_thread_in(main_thread, SYS_vfork, 'D'));
}

TEST(Chaos, Case64_MainThreadUninterruptibleAndAllOthersBlockingTheSignal) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        hang_all_threads();
    });
    expect_two_dumps(host);
}

TEST(Chaos, Case64_SignalThreadLostInAChainedHandler) {
    chaos::host host([] {
        signal(SIGUSR1, [](int) { chaos::stay(); });
        const corodump::agent agent;
        const app::waiting_task waiting;
        hang_all_threads();
    });
    expect_two_dumps(host);
}

TEST(Chaos, Case64_SignalThreadLostInAChainedHandlerThatBlocksAllSignals) {
    chaos::host host([] {
        signal(SIGUSR1, [](int) {
            block_all_signals();
            chaos::stay();
        });
        const corodump::agent agent;
        const app::waiting_task waiting;
        hang_all_threads();
    });
    expect_two_dumps(host);
    const support::dump last = host.signal_and_await_dump();
    ASSERT_FALSE(last.warnings.empty());
    EXPECT_NE(last.text.find("the signal was taken by the watchdog"), std::string::npos);
}

#endif
// --- 65 ------------------------------------------------------------------------------------------

TEST(Chaos, Case65_APluginWithASuspendedCoroutineIsUnloaded) {
    chaos::host host([] {
        const corodump::agent agent;
        const app::waiting_task waiting;
        void* const plugin = dlopen(chaos::program("auto_plugin_tasks.so").c_str(), RTLD_NOW);
        CHAOS_REQUIRE(plugin != nullptr);
        const auto start = reinterpret_cast<void (*)()>(dlsym(plugin, "chaos_start_task"));
        CHAOS_REQUIRE(start != nullptr);
        start();
        CHAOS_REQUIRE(chaos::serve() == "unload");
        CHAOS_REQUIRE(dlclose(plugin) == 0);
        chaos::serve();
        _exit(0);
    });
    host.await_ready();
    const support::dump loaded = host.signal_and_await_dump();
    const support::task* const before = loaded.with_name("task of the plugin");
    ASSERT_NE(before, nullptr) << loaded.chains();
    EXPECT_EQ(before->last().function, "plugin::waits");
    EXPECT_EQ(before->awaits.value_or(support::leaf{}).awaitable, "plugin::operation");
    EXPECT_EQ(before->awaits.value_or(support::leaf{}).kind, "kind of the plugin");
    EXPECT_NE(host.of_process("maps").find("auto_plugin_tasks.so"), std::string::npos);

    host.say("unload");
    host.await_ready();
    EXPECT_EQ(host.of_process("maps").find("auto_plugin_tasks.so"), std::string::npos);
    for (int i = 0; i < 2; ++i) {
        const support::dump gone = host.signal_and_await_dump();
        expect_waiting_task(gone);
        EXPECT_EQ(gone.frames, loaded.frames) << gone.chains();
        for (const char* const text : {"plugin::waits", "plugin::operation", "kind of the plugin",
                                       "text of the plugin", "auto_plugin_tasks.so"})
            EXPECT_EQ(gone.text.find(text), std::string::npos) << text;
        support::expect_valid(gone.path);
    }
    host.expect_answers();
}

}  // namespace
