#include "agent/triggers/failure_trigger.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>
#include <exception>

#include "child.hpp"

namespace corodump::test {
namespace {

void no_core() {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
}

void start(test_agent& agent, std::chrono::milliseconds wait, bool fatal) {
    no_core();
    agent.start();
    triggers::failure_options options;
    options.watch = &test_agent::watch();
    options.on_fatal_signals = fatal;
    options.wait = wait;
    REQUIRE(triggers::install_failure_trigger(options) == 0);
}

TEST(FailureTrigger, AsksForADumpThatSaysWhatItIsFor) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer ends the process in its own way, not by the signal";
#endif
    test_agent agent;
    const int status = run_in_child([&] {
        start(agent, 20s, true);
        raise(SIGFPE);
    });
    EXPECT_EQ(status, -SIGFPE);
    const auto dump = agent.dumps.receive();
    EXPECT_EQ(dump.request.kind, triggers::request_kind::failure);
    EXPECT_EQ(dump.request.signal, SIGFPE);
    EXPECT_GT(dump.request.deadline_ns, dump.request.requested_ns);
}

TEST(FailureTrigger, WaitsNoLongerThanItWasTold) {
    test_agent agent;
    const int status = run_in_child([&] {
        no_core();
        triggers::watchdog_options stuck = agent.options();
        stuck.dump = [](void*, const triggers::dump_request&, triggers::dump_outcome&) noexcept {
            for (;;) pause();
        };
        REQUIRE(test_agent::watch().start(stuck) == 0);
        triggers::failure_options options;
        options.watch = &test_agent::watch();
        options.on_fatal_signals = true;
        options.wait = 50ms;
        REQUIRE(triggers::install_failure_trigger(options) == 0);
        std::abort();
    });
    EXPECT_EQ(status, -SIGABRT);
}

TEST(FailureTrigger, DumpsOnceForTerminateAndTheAbortThatFollows) {
    test_agent agent;
    const int status = run_in_child([&] {
        start(agent, 20s, true);
        std::terminate();
    });
    EXPECT_EQ(status, -SIGABRT);
    EXPECT_EQ(agent.dumps.receive().request.signal, 0);
    EXPECT_FALSE(agent.dumps.arrives(0ms));
}

TEST(FailureTrigger, GivesBackWhatWasThere) {
    const int status = run_in_child([] {
        test_agent agent;
        const auto handler = [](int) {};
        signal(SIGFPE, handler);
        const std::terminate_handler before = std::get_terminate();
        start(agent, 20s, true);
        REQUIRE(std::get_terminate() != before);
        triggers::uninstall_failure_trigger();
        REQUIRE(std::get_terminate() == before);
        struct sigaction now{};
        sigaction(SIGFPE, nullptr, &now);
        REQUIRE(now.sa_handler == static_cast<sighandler_t>(handler));
    });
    EXPECT_EQ(status, 0);
}

TEST(FailureTrigger, LeavesIgnoredSignalsIgnored) {
    const int status = run_in_child([] {
        test_agent agent;
        signal(SIGFPE, SIG_IGN);
        start(agent, 20s, true);
        raise(SIGFPE);
        struct sigaction now{};
        sigaction(SIGFPE, nullptr, &now);
        REQUIRE(now.sa_handler == SIG_IGN);
    });
    EXPECT_EQ(status, 0);
}

TEST(FailureTrigger, TakesNoSignalUnlessAsked) {
    const int status = run_in_child([] {
        test_agent agent;
        struct sigaction before{};
        sigaction(SIGSEGV, nullptr, &before);
        start(agent, 20s, false);
        struct sigaction now{};
        sigaction(SIGSEGV, nullptr, &now);
        REQUIRE(now.sa_handler == before.sa_handler);
    });
    EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace corodump::test
