// The profiler over libraries that stay unedited: lazy tasks with symmetric transfer, eager ones
// that are awaited later, and a workload that measures itself.
#include <gtest/gtest.h>
#include <time.h>

#include <corodump/agent.hpp>
#include <corodump/profile.hpp>
#include <thread>

#include "styles/eager_task.hpp"
#include "styles/lazy_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"
#include "support_profile.hpp"

namespace app {

double clock_seconds(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

/// Measured inside of the coroutines, by the clocks that the profiler goes by.
struct measured {
    double wall = 0, cpu = 0, waited = 0;
};

void work(double seconds, measured& sum) {
    const double wall = clock_seconds(CLOCK_MONOTONIC);
    const double cpu = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
    while (clock_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu < seconds) {
    }
    sum.cpu += clock_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
    sum.wall += clock_seconds(CLOCK_MONOTONIC) - wall;
}

lazy::task<int> burner(measured& sum) {
    work(0.020, sum);
    co_return 1;
}
lazy::task<> sleeper(synced::event& until, measured& sum) {
    const double began = clock_seconds(CLOCK_MONOTONIC);
    co_await until;
    sum.waited += clock_seconds(CLOCK_MONOTONIC) - began;
}
lazy::task<> blocker(measured& sum) {
    const double began = clock_seconds(CLOCK_MONOTONIC);
    const timespec pause{.tv_sec = 0, .tv_nsec = 20'000'000};
    nanosleep(&pause, nullptr);
    sum.wall += clock_seconds(CLOCK_MONOTONIC) - began;
    co_return;
}
lazy::task<> both(synced::event& until, measured& burnt, measured& slept, measured& blocked) {
    for (int i = 0; i < 3; ++i) co_await burner(burnt);
    co_await blocker(blocked);
    co_await sleeper(until, slept);
}

lazy::task<int> leaf(synced::event& until) {
    co_await until;
    co_return 1;
}
lazy::task<int> middle(synced::event& until) {
    co_return co_await leaf(until);
}
lazy::task<> outer(synced::event& until) {
    co_await middle(until);
}

eager::task quick(synced::event& until) {
    co_await until;
    co_return 1;
}
eager::task spawner(synced::event& until) {
    eager::task started = quick(until);
    co_return co_await started;
}

lazy::task<int> down(int levels) {
    if (levels == 0) co_return 0;
    co_return 1 + co_await down(levels - 1);
}

bool within_5_percent(double profiled, double known) {
    return profiled > known * 0.95 && profiled < known * 1.05;
}

}  // namespace app

namespace {

using support::profile_of;
using support::take_dump;

class Profiling : public ::testing::Test {
protected:
    ~Profiling() override { corodump_profile_stop_v1(); }
    corodump::agent agent_;
};

TEST_F(Profiling, IsNotInTheDumpUntilItWasStarted) {
    synced::event until;
    {
        lazy::task<> one = app::outer(until);
        one.start();
        if (!corodump::profile::running()) {
            // Another test of this process may have left its counts.
            const support::profile before = profile_of(take_dump());
            EXPECT_FALSE(before.running);
            EXPECT_EQ(before.function("app::outer").live, before.there ? 1 : 0);
        }
        ASSERT_FALSE(corodump::profile::start());
        EXPECT_TRUE(profile_of(take_dump()).running);
        until.set();
    }
    const support::profile after = profile_of(take_dump());
    EXPECT_EQ(after.chain({"app::outer", "app::middle", "app::leaf"}).resumes, 1) << after.text();
}

/// What else runs on the machine may come between the workload's look at a clock and the profiler's:
/// of a few rounds one must agree in all.
TEST_F(Profiling, AgreesWithAWorkloadThatMeasuresItself) {
    bool agreed = false;
    std::string told;
    for (int round = 0; round < 8 && !agreed; ++round) {
        ASSERT_FALSE(corodump::profile::start({.clock = corodump::profile::clock::cpu}));
        app::measured burnt, slept, blocked;
        synced::event until;
        lazy::task<> all = app::both(until, burnt, slept, blocked);
        all.start();
        std::thread([&] {
            const timespec pause{.tv_sec = 0, .tv_nsec = 30'000'000};
            nanosleep(&pause, nullptr);
            until.set();
        }).join();
        ASSERT_TRUE(all.done());
        ASSERT_FALSE(corodump::profile::stop());
        const support::profile seen = profile_of(take_dump());
        const support::profiled burner = seen.chain({"app::both", "app::burner"});
        const support::profiled blocker = seen.function("app::blocker");
        EXPECT_EQ(burner.calls, 3) << seen.text();
        EXPECT_EQ(burner.resumes, 3);
        EXPECT_LT(blocker.cpu, blocker.running / 4) << "it was blocked";
        agreed = app::within_5_percent(burner.running, burnt.wall) &&
                 app::within_5_percent(burner.cpu, burnt.cpu) &&
                 app::within_5_percent(blocker.running, blocked.wall) &&
                 app::within_5_percent(seen.function("app::sleeper").suspended, slept.waited);
        told += "burner " + std::to_string(burner.running) + " of " + std::to_string(burnt.wall) +
                " s, cpu " + std::to_string(burner.cpu) + " of " + std::to_string(burnt.cpu) +
                ", sleeper " + std::to_string(seen.function("app::sleeper").suspended) + " of " +
                std::to_string(slept.waited) + '\n';
    }
    EXPECT_TRUE(agreed) << told;
}

TEST_F(Profiling, PutsAnEagerTaskBelowWhatAwaitsIt) {
    ASSERT_FALSE(corodump::profile::start({.clock = corodump::profile::clock::off}));
    synced::event until;
    const eager::task all = app::spawner(until);
    until.set();
    ASSERT_TRUE(all.done());
    const support::profile seen = profile_of(take_dump());
    EXPECT_EQ(seen.clock, "off");
    EXPECT_EQ(seen.function("app::quick").calls, 1) << seen.text();
    EXPECT_EQ(seen.chain({"app::spawner", "app::quick"}).resumes, 1) << seen.text();
    EXPECT_EQ(seen.function("app::spawner").resumes, 2) << seen.text();
    EXPECT_EQ(seen.function("app::spawner").running, 0);
}

TEST_F(Profiling, CountsWhatIsSuspendedUpToTheDumpAndWhatLives) {
    ASSERT_FALSE(corodump::profile::start());
    synced::event until;
    const double before = app::clock_seconds(CLOCK_MONOTONIC);
    lazy::task<> one = app::outer(until), other = app::outer(until), never = app::outer(until);
    one.start();
    other.start();
    const double began = app::clock_seconds(CLOCK_MONOTONIC);
    while (app::clock_seconds(CLOCK_MONOTONIC) - began < 0.02) {
    }
    const double waited = app::clock_seconds(CLOCK_MONOTONIC) - began;
    const support::profile seen = profile_of(take_dump());
    const double after = app::clock_seconds(CLOCK_MONOTONIC);
    const support::profiled leaf = seen.chain({"app::outer", "app::middle", "app::leaf"});
    EXPECT_EQ(leaf.live, 2) << seen.text();
    EXPECT_GE(leaf.suspended, 2 * waited * 0.99);
    EXPECT_LE(leaf.suspended, 2 * (after - before) * 1.01);
    EXPECT_EQ(seen.chain({"app::outer"}).live, 2);
    EXPECT_EQ(seen.function("app::outer").live, 3) << "one has not started";
    until.set();
}

TEST_F(Profiling, CutsChainsThatAreVeryDeep) {
    constexpr int levels = 200;
    ASSERT_FALSE(corodump::profile::start());
    lazy::task<int> top = app::down(levels);
    top.start();
    ASSERT_EQ(top.result(), levels);
    const support::profile seen = profile_of(take_dump());
    EXPECT_EQ(seen.function("app::down").calls, levels + 1);
    EXPECT_EQ(seen.dropped, 0);
    EXPECT_LE(seen.chains.size(), 200U);
}

TEST(ProfilingByOption, StartsAndEndsWithTheAgent) {
    {
        corodump::options chosen;
        chosen.profile = corodump::start_profile::wall;
        const corodump::agent agent(chosen);
        EXPECT_TRUE(corodump::profile::running());
        EXPECT_EQ(profile_of(take_dump()).clock, "wall");
    }
    EXPECT_FALSE(corodump::profile::running());
}

}  // namespace
