// A process that dies: it leaves a dump, and dies as it would have without us. Each death is died
// twice, in a child with an agent and in one without, whose wait status must be the same.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <corodump/agent.hpp>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/sanitizers.hpp"

namespace {

using nlohmann::json;

[[gnu::noinline]] void sink(volatile int* at) {
    *at = 1;
}

struct death {
    int status = 0;
    std::vector<json> dumps;
};

class Dying : public testing::Test {
protected:
    void SetUp() override {
        char path[] = "/tmp/corodump-dying-XXXXXX";
        ASSERT_NE(mkdtemp(path), nullptr);
        directory_ = path;
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }

    corodump::options fatal() const {
        corodump::options chosen;
        chosen.directory = directory_;
        chosen.dump_on_fatal = corodump::choice::on;
        return chosen;
    }
    corodump::options by_default() const {
        corodump::options chosen;
        chosen.directory = directory_;
        return chosen;
    }

    /// `before` and `after` run on both sides of the installation.
    template <class Before, class Die>
    death die(const corodump::options* options, Before before, Die die_of_it) {
        const pid_t child = fork();
        if (child == 0) {
            if (chdir(directory_.c_str()) != 0) _exit(99);
            before();
            if (options != nullptr) {
                if (corodump::install(*options)) _exit(98);
            }
            die_of_it();
            _exit(97);
        }
        death result;
        const int handle = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
        pollfd event{handle, POLLIN, 0};
        const bool ended = poll(&event, 1, 60'000) == 1;
        EXPECT_TRUE(ended) << "it lives on";
        if (!ended) kill(child, SIGKILL);
        waitpid(child, &result.status, 0);
        close(handle);
        for (const auto& entry : std::filesystem::directory_iterator(directory_))
            if (entry.path().extension() == ".json")
                result.dumps.push_back(json::parse(std::ifstream(entry.path())));
        return result;
    }

    static void no_core() {
        const rlimit none{0, 0};
        setrlimit(RLIMIT_CORE, &none);
    }

    /// Both deaths; returns the dump of the one with the agent.
    template <class Before, class Die>
    json expect_same_death(Before before, Die die_of_it) {
        const auto quietly = [&] {
            no_core();
            before();
        };
        const int without = die(nullptr, quietly, die_of_it).status;
        const corodump::options options = fatal();
        const death with = die(&options, quietly, die_of_it);
        EXPECT_EQ(with.status, without);
        EXPECT_EQ(with.dumps.size(), 1U);
        return with.dumps.size() == 1 ? with.dumps[0] : json{};
    }

    std::string directory_;
};

void expect_by_signal(const json& dump, int signal) {
    ASSERT_FALSE(dump.is_null());
    EXPECT_EQ(dump["dump"]["trigger"]["kind"], "failure");
    EXPECT_EQ(dump["dump"]["trigger"]["reason"], "signal");
    EXPECT_EQ(dump["dump"]["trigger"]["signal"], signal);
    EXPECT_EQ(dump["dump"]["complete"], true) << dump["dump"]["warnings"];
}

constexpr auto nothing = [] {};

TEST_F(Dying, OfAnUncaughtExceptionLeavesADump) {
    const json dump = expect_same_death(nothing, [] {
        std::thread([] { throw std::runtime_error("nobody catches this"); }).join();
    });
    ASSERT_FALSE(dump.is_null());
    EXPECT_EQ(dump["dump"]["trigger"]["kind"], "failure");
    EXPECT_EQ(dump["dump"]["trigger"]["reason"], "terminate");
    EXPECT_FALSE(dump["dump"]["trigger"].contains("signal"));
}

TEST_F(Dying, OfTerminateIsDumpedByDefault) {
    const corodump::options options = by_default();
    const death of = die(&options, no_core, [] { std::terminate(); });
    EXPECT_EQ(of.dumps.size(), 1U);
    EXPECT_EQ(WTERMSIG(of.status), SIGABRT);
}

TEST_F(Dying, OfASignalIsNotDumpedByDefault) {
    const corodump::options options = by_default();
    const death of = die(&options, no_core, [] { raise(SIGBUS); });
    EXPECT_EQ(of.dumps.size(), 0U);
}

TEST_F(Dying, OfAFaultLeavesADump) {
    expect_by_signal(expect_same_death(nothing, [] { sink(nullptr); }), SIGSEGV);
}

TEST_F(Dying, OfAFaultShowsTheThreadThatFailed) {
    const json dump = expect_same_death(nothing, [] { sink(nullptr); });
    bool found = false;
    for (const json& thread : dump["threads"])
        for (const json& frame : thread["frames"])
            found =
                found || (frame["function"].is_string() &&
                          frame["function"].get<std::string>().find("sink") != std::string::npos);
    EXPECT_TRUE(found) << dump["threads"];
}

TEST_F(Dying, OfAbortLeavesADump) {
    expect_by_signal(expect_same_death(nothing, [] { std::abort(); }), SIGABRT);
}

TEST_F(Dying, OfASignalThatWasSentLeavesADump) {
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
        expect_by_signal(expect_same_death(nothing,
                                           [signal] {
                                               kill(getpid(), signal);
                                               pause();
                                           }),
                         signal);
        TearDown();
        SetUp();
    }
}

#if !CORODUMP_TEST_SANITIZED

TEST_F(Dying, LeavesTheSameCore) {
    const auto with_core = [] {
        const rlimit some{64 << 20, 64 << 20};
        setrlimit(RLIMIT_CORE, &some);
    };
    const auto by_fault = [] { sink(nullptr); };
    const int without = die(nullptr, with_core, by_fault).status;
    const corodump::options options = fatal();
    const death with = die(&options, with_core, by_fault);
    EXPECT_EQ(with.dumps.size(), 1U);
    EXPECT_EQ(WTERMSIG(with.status), SIGSEGV);
    EXPECT_EQ(WCOREDUMP(with.status), WCOREDUMP(without));
}

/// Reports what it got by its exit status.
void report(int, siginfo_t* info, void*) {
    const bool as_it_was = info->si_code == SEGV_MAPERR && info->si_addr == nullptr;
    _exit(as_it_was ? 42 : 43);
}
void install_report() {
    struct sigaction action{};
    action.sa_sigaction = report;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
}

TEST_F(Dying, HandsTheFaultToTheHandlerThatWasThereBefore) {
    const json dump = expect_same_death(install_report, [] { sink(nullptr); });
    expect_by_signal(dump, SIGSEGV);
    const corodump::options options = fatal();
    EXPECT_EQ(WEXITSTATUS(die(&options, install_report, [] { sink(nullptr); }).status), 42);
}

TEST_F(Dying, LeavesALaterHandlerAlone) {
    const corodump::options options = fatal();
    const death of = die(&options, no_core, [] {
        install_report();
        sink(nullptr);
    });
    EXPECT_EQ(WEXITSTATUS(of.status), 42);
    EXPECT_EQ(of.dumps.size(), 0U);
}

/// A host's handler that calls on to the one that was there when it came.
struct sigaction earlier;
TEST_F(Dying, MayBeAskedForByALaterHandler) {
    const corodump::options options = fatal();
    const death of = die(&options, no_core, [] {
        struct sigaction action{};
        action.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
            earlier.sa_sigaction(signal, info, context);
        };
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGSEGV, &action, &earlier);
        sink(nullptr);
    });
    EXPECT_EQ(WTERMSIG(of.status), SIGSEGV);
    ASSERT_EQ(of.dumps.size(), 1U);
    expect_by_signal(of.dumps[0], SIGSEGV);
}

[[gnu::noinline]] int deeper(volatile char* from, unsigned times) {
    volatile char here[4096];
    here[0] = from[0];
    return times == 0 ? 0 : deeper(here, times - 1) + here[0];
}
TEST_F(Dying, OfStackExhaustionLeavesADump) {
    volatile char zero[1] = {0};
    expect_by_signal(expect_same_death(nothing, [&zero] { deeper(zero, ~0U); }), SIGSEGV);
}

#endif

TEST_F(Dying, CallsTheTerminateHandlerThatWasThereBefore) {
    const json dump =
        expect_same_death([] { std::set_terminate([] { _exit(44); }); }, [] { std::terminate(); });
    ASSERT_FALSE(dump.is_null());
    EXPECT_EQ(dump["dump"]["trigger"]["reason"], "terminate");
}

TEST_F(Dying, OfTwoThreadsAtOnceLeavesOneDump) {
    const json dump = expect_same_death(nothing, [] {
        std::thread other([] { std::abort(); });
        std::terminate();
    });
    EXPECT_FALSE(dump.is_null());
}

TEST_F(Dying, OfAChildIsTheChildsOwn) {
    const corodump::options options = fatal();
    const death of = die(&options, no_core, [] {
        const pid_t child = fork();
        if (child == 0) sink(nullptr);
        int status = 0;
        waitpid(child, &status, 0);
        _exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV ? 0 : 1);
    });
#if !CORODUMP_TEST_SANITIZED
    EXPECT_EQ(of.status, 0);
#endif
    EXPECT_LE(of.dumps.size(), 1U);
}

}  // namespace
