#include "agent/analysis/rules.hpp"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "tests/unit/analysis/written_verdicts.hpp"

namespace corodump::analysis {
namespace {

using test::judged;
using test::written_verdicts;

struct standing_still final : tasks_view {
    std::map<std::uint32_t, double> rests;
    std::map<std::uint32_t, std::uint32_t> waits;
    [[nodiscard]] double rest_seconds(std::uint32_t task) const noexcept override {
        const auto at = rests.find(task);
        return at == rests.end() ? -1 : at->second;
    }
    [[nodiscard]] std::uint32_t resource_of(std::uint32_t task) const noexcept override {
        const auto at = waits.find(task);
        return at == waits.end() ? no_resource : at->second;
    }
};

class rules : public testing::Test {
protected:
    rules() { all.tasks = &tasks; }

    void add_pool(std::uint32_t held, std::uint32_t capacity, std::uint64_t waiters, double wait) {
        pools.push_back({"pool", "stock", held, capacity, holders, true, false, waiters, wait});
        all.resources = pools;
    }

    standing_still tasks;
    facts all;
    std::vector<std::uint32_t> holders{1, 2};
    std::vector<resource> pools;
};

TEST_F(rules, SayNothingOfNothing) {
    EXPECT_TRUE(judged(all).all.empty());
}

TEST_F(rules, NameThePoolsOfADeadlockTheirHoldersAndAllWhoWait) {
    tasks.waits = {{1, 0}, {2, 0}, {3, 0}};
    add_pool(2, 2, 3, 4.0);
    const written_verdicts found = judged(all);
    ASSERT_EQ(found.all.size(), 1U);
    EXPECT_EQ(found.all[0].kind, "wait_cycle");
    EXPECT_EQ(found.all[0].severity, "error");
    EXPECT_EQ(
        found.all[0].statement,
        "Deadlock: pool 'stock' (2 of 2 taken) is exhausted by 2 tasks, task 1 and task 2, which "
        "all wait for it themselves; 3 tasks wait in all.");
    EXPECT_EQ(found.all[0].tasks, (std::vector<std::uint32_t>{1, 2}));
    EXPECT_EQ(found.all[0].evidence[1], "task 2 holds pool 'stock' and waits for pool 'stock'");
}

TEST_F(rules, WarnOfAnExhaustedPoolWhoseHoldersMove) {
    tasks.rests = {{1, 40.0}, {2, 0.5}};
    add_pool(2, 2, 200, 31.0);
    const auto found = judged(all).of("exhausted");
    EXPECT_EQ(found.severity, "warning");
    EXPECT_EQ(
        found.statement,
        "pool 'stock' is exhausted: 2 of 2 taken, 200 tasks wait for it, the longest for 31 s.");
    ASSERT_EQ(found.evidence.size(), 2U);
    EXPECT_EQ(found.evidence[0], "task 1 holds it and stands in the place of 1");
}

TEST_F(rules, CallAnExhaustedPoolAnErrorOnlyWhenNoHolderHasMoved) {
    tasks.rests = {{1, 40.0}, {2, 31.0}};
    add_pool(2, 2, 1, 35.0);
    EXPECT_EQ(judged(all).of("exhausted").severity, "error");
}

TEST_F(rules, DoNotCallAPoolExhaustedThatHasRoomOrThatNobodyWaitsForLong) {
    add_pool(1, 2, 5, 60.0);
    EXPECT_TRUE(judged(all).all.empty());
    pools.clear();
    add_pool(2, 2, 5, 0.2);
    EXPECT_TRUE(judged(all).all.empty());
}

TEST_F(rules, TellOfAResourceWhoseTakerHasEnded) {
    holders = {1, no_task};
    add_pool(2, 2, 4, 60.0);
    pools[0].whole = false;
    pools[0].has_ended_holders = true;
    const written_verdicts found = judged(all);
    EXPECT_EQ(found.of("resource_leak").severity, "error");
    EXPECT_EQ(
        found.of("resource_leak").statement,
        "pool 'stock' was not given back: it is held by a task that has ended (2 of 2 taken, 4 "
        "tasks wait).");
    EXPECT_EQ(found.of("exhausted").severity, "warning") << "not all holders are known";
}

TEST_F(rules, TellOfCoroutinesThatAwaitEachOther) {
    const circle circles[] = {{5, 3}};
    all.circles = circles;
    const auto found = judged(all).of("wait_cycle");
    EXPECT_EQ(found.statement,
              "Deadlock: 1 task awaits itself in a circle: it can never be resumed.");
    EXPECT_EQ(found.evidence.at(0), "task 5 awaits itself, through 3 coroutines");
}

TEST_F(rules, SuspectALostWakeUpAndCallItAnErrorWithTime) {
    std::vector<standing> ready{{7, 3.0}};
    all.ready = ready;
    EXPECT_TRUE(judged(all).all.empty());
    ready[0].seconds = 6.0;
    EXPECT_EQ(judged(all).of("lost_wakeup").severity, "warning");
    ready[0].seconds = 90.0;
    const auto found = judged(all).of("lost_wakeup");
    EXPECT_EQ(found.severity, "error");
    EXPECT_EQ(found.statement,
              "Lost wake-up: 1 task is suspended on what is ready already, the longest for 90 s.");
    EXPECT_EQ(found.tasks, std::vector<std::uint32_t>{7});
}

TEST_F(rules, MissTheChildThatAJoinStillCounts) {
    const join joins[] = {{4, 2, 3, 1, 9, 8.0}};
    all.joins = joins;
    const auto found = judged(all).of("lost_child");
    EXPECT_EQ(
        found.statement,
        "task 4 has waited 8.0 s for 2 more children to end, of which there is 1: what is missing "
        "was destroyed without being counted, or is not tracked.");
}

TEST_F(rules, NameTheLastChildOfAFanInOnlyWhenItStandsStill) {
    const join joins[] = {{4, 1, 5, 1, 9, 40.0}};
    all.joins = joins;
    tasks.rests = {{9, 2.0}};
    EXPECT_TRUE(judged(all).all.empty());
    tasks.rests = {{9, 38.0}};
    const auto found = judged(all).of("last_child");
    EXPECT_EQ(found.statement,
              "task 4 has waited 40 s for the last of 5 children, task 9; the others have ended.");
    EXPECT_EQ(found.tasks, (std::vector<std::uint32_t>{4, 9}));
}

TEST_F(rules, CountTasksThatWereNeverStarted) {
    const standing tasks_there[] = {{1, 12.0}, {2, 700.0}};
    all.never_resumed = tasks_there;
    all.never_resumed_count = 300;
    const auto found = judged(all).of("never_resumed");
    EXPECT_EQ(
        found.statement,
        "300 tasks were created and never started, the oldest 11 min ago: nobody awaits them, or "
        "the executor does not run.");
    EXPECT_EQ(found.task_count, 300U);
    EXPECT_EQ(found.tasks.size(), 2U);
}

TEST_F(rules, SeeThatAllWaitAtOnePlaceUnlessThatIsTimersOrIdleConnections) {
    site there{{"app::get", "src/cache.cpp", 31, false}, "event", wait_sort::other, 95, 60, 20, 3};
    all.suspended = 100;
    all.sites = {&there, 1};
    const auto found = judged(all).of("one_site");
    EXPECT_EQ(found.severity, "warning");
    EXPECT_EQ(
        found.statement,
        "95 of 100 suspended tasks wait in app::get (src/cache.cpp:31) on event; none has moved "
        "for 20 s, the oldest for 60 s.");
    there.newest_seconds = 1;
    EXPECT_TRUE(judged(all).all.empty()) << "they come and go";
    there.newest_seconds = 600;
    there.sort = wait_sort::timer;
    EXPECT_TRUE(judged(all).all.empty());
    there.sort = wait_sort::input_output;
    EXPECT_EQ(judged(all).of("one_site").severity, "info");
    there.tasks = 80;
    there.sort = wait_sort::other;
    EXPECT_TRUE(judged(all).all.empty()) << "others wait elsewhere";
}

TEST_F(rules, SeeTasksThatOnlyBecomeMore) {
    growth one{{"app::watch", "watch.cpp", 7, false}, 100, 400, 100, 60};
    all.growths = {&one, 1};
    EXPECT_EQ(
        judged(all).of("growth").statement,
        "Tasks of app::watch (watch.cpp:7) only become more: 100 before, 400 now, 60 s later, and "
        "100 of the earlier are still there.");
    one.survivors = 50;
    EXPECT_TRUE(judged(all).all.empty()) << "half of them ended: it is load";
    one.survivors = 100;
    one.now = 120;
    EXPECT_TRUE(judged(all).all.empty()) << "too few to tell";
}

TEST_F(rules, TellABlockedLoopFromABusyAndASpinningOne) {
    busy_thread one{"main", 12, 3, "app::save", "fsync", "fsync", false, 2.0, 0};
    all.busy_threads = {&one, 1};
    auto found = judged(all).of("blocked_loop");
    EXPECT_EQ(found.severity, "warning");
    EXPECT_EQ(
        found.statement,
        "loop 'main' (thread 12) is blocked in fsync (system call fsync) for 2.0 s while resuming "
        "task 3.");
    const std::string_view stack[] = {"fsync", "app::save", "app::run"};
    one.stack = stack;
    EXPECT_EQ(judged(all).of("blocked_loop").evidence.at(0), "fsync ← app::save ← app::run");
    one.queued = 40;
    found = judged(all).of("blocked_loop");
    EXPECT_EQ(found.severity, "error");
    EXPECT_TRUE(found.statement.ends_with("; 40 callbacks wait behind it.")) << found.statement;
    one = {{}, 12, no_task, "app::mine", {}, {}, true, 6.5, 0};
    found = judged(all).of("spinning_loop");
    EXPECT_EQ(found.severity, "warning") << "a long computation on a thread of its own is no error";
    EXPECT_EQ(found.statement, "thread 12 spins for 6.5 s while resuming app::mine.");
}

TEST_F(rules, RememberStallsThatAreOver) {
    all.stalls = {3, 0.2, 40, "main", "app::save", {}};
    EXPECT_EQ(judged(all).of("past_stall").severity, "info");
    all.stalls.longest_seconds = 2;
    EXPECT_EQ(judged(all).of("past_stall").severity, "warning");
    EXPECT_EQ(judged(all).of("past_stall").statement,
              "3 stalls are over; the longest took 2.0 s, 40 s ago, in loop 'main', while resuming "
              "app::save.");
}

TEST_F(rules, TellOfFailuresThatNobodyHasSeen) {
    const unseen_failure one{"std::runtime_error", "no route", "app::send", 3, 4.2};
    all.failures = {&one, 1};
    EXPECT_EQ(
        judged(all).of("unobserved_failure").statement,
        "3 tasks failed in app::send with std::runtime_error (no route), the last 4.2 s ago, and "
        "nobody has seen the exception.");
}

}  // namespace
}  // namespace corodump::analysis
