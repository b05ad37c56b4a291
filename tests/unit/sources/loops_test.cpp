#include "agent/sources/loops.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <corodump/loop_monitor.hpp>
#include <string>
#include <thread>

#include "agent/sources/stall_watch.hpp"

namespace corodump::sources {
namespace {

constexpr std::int64_t ms = 1'000'000;

void set_tick(std::uint32_t tick) {
    corodump_clock_v1.store(std::uint64_t{tick} << 32U | 1U);
}

const detail::loop_slot& slot_of_this_thread() {
    return *corodump_loop_slot_v1;
}

TEST(Loops, CountsACallbackThatTheClockDidNotSeeWithoutATime) {
    set_tick(1);
    const loop_monitor monitor("a");
    {
        const loop_monitor::callback running(monitor);
    }
    EXPECT_EQ(slot_of_this_thread().count, 1U);
    EXPECT_EQ(slot_of_this_thread().sum_ns, 0U);
    EXPECT_EQ(slot_of_this_thread().began, 0U);
}

TEST(Loops, CountsTheStepsThatTheClockTook) {
    set_tick(10);
    const loop_monitor monitor("a");
    {
        const loop_monitor::callback running(monitor);
        set_tick(13);
    }
    EXPECT_EQ(slot_of_this_thread().sum_ns, 24U * ms);
    EXPECT_EQ(slot_of_this_thread().longest_ns, 24U * ms);
    EXPECT_EQ(slot_of_this_thread().histogram[bucket_of(24 * ms)], 1U);
}

TEST(Loops, DoesNotCountTheTimeThatTheWatchdogWasAway) {
    set_tick(100);
    const loop_monitor monitor("a");
    {
        const loop_monitor::callback running(monitor);
        note_clock_jump(100, 200);
        set_tick(200);
    }
    EXPECT_EQ(slot_of_this_thread().longest_ns, 8U * ms);
    note_clock_jump(0, 0);
}

TEST(Loops, NamesAreCutAndGoneWithTheLoop) {
    const std::string name(100, 'x');
    std::uint64_t id = 0;
    {
        id = corodump_loop_open_v1(name.data(), name.size(), "k", 1, 0, 0);
        const loop_entry* const found = find_loop(id);
        ASSERT_NE(found, nullptr);
        EXPECT_EQ(name_of_loop(*found, id).view(), std::string(63, 'x'));
        EXPECT_EQ(kind_of_loop(*found, id).view(), "k");
        corodump_loop_close_v1(id);
        EXPECT_EQ(name_of_loop(*found, id).view(), "");
    }
    EXPECT_EQ(find_loop(id), nullptr);
    EXPECT_EQ(corodump_loop_attach_v1(id), nullptr);
}

TEST(Loops, BucketsDoubleAndTheLastIsOpen) {
    EXPECT_EQ(bucket_of(0), 0U);
    EXPECT_EQ(bucket_of(15'624), 0U);
    EXPECT_EQ(bucket_of(15'625), 1U);
    EXPECT_EQ(bucket_of(8 * ms - 1), 9U);
    EXPECT_EQ(bucket_of(8 * ms), 10U);
    EXPECT_EQ(bucket_of(~std::uint64_t{0}), detail::loop_slot::histogram_size - 1);
}

/// Looks each 8 ms from `from_ms` until before `to_ms`; how many stalls that gave.
std::size_t look(stall_watch& watch, std::int64_t from_ms, std::int64_t to_ms,
                 stall_sign* into = nullptr) {
    std::size_t found = 0;
    for (std::int64_t at = from_ms; at < to_ms; at += 8) {
        stall_sign fresh[4];
        const std::size_t count = watch.look(at * ms, fresh);
        if (count != 0 && into != nullptr) *into = fresh[0];
        found += count;
    }
    return found;
}

class Watch : public testing::Test {
protected:
    void SetUp() override {
        set_default_threshold(50 * ms);
        watch_.begin(50 * ms);
    }
    stall_watch watch_;
};

TEST_F(Watch, TellsOfACallbackOnceWithinOneAndAHalfThresholds) {
    const loop_monitor monitor("a");
    static_cast<void>(look(watch_, 1000, 1008));
    monitor.callback_begin();
    stall_sign found;
    EXPECT_EQ(look(watch_, 1008, 1056), 0U);
    EXPECT_EQ(look(watch_, 1056, 1075, &found), 1U);
    EXPECT_EQ(look(watch_, 1080, 3000), 0U);
    EXPECT_TRUE(stall_watch::lasts(found));
    monitor.callback_end();
    EXPECT_FALSE(stall_watch::lasts(found));
    EXPECT_EQ(slot_of_this_thread().over_threshold, 0U) << "the clock of this test stood still";
}

TEST_F(Watch, DoesNotTellOfCallbacksThatFollowEachOther) {
    const loop_monitor monitor("a");
    for (std::int64_t at = 0; at < 1000; at += 8) {
        const loop_monitor::callback running(monitor);
        EXPECT_EQ(look(watch_, at, at + 8), 0U);
    }
}

TEST_F(Watch, TakesAProcessThatWasStoppedForNoStall) {
    const loop_monitor monitor("a");
    const loop_monitor::callback running(monitor);
    EXPECT_EQ(look(watch_, 1000, 1016), 0U);
    EXPECT_EQ(look(watch_, 61'000, 61'008), 0U);
}

TEST_F(Watch, TellsOfAHeartbeatThatDoesNotCome) {
    const loop_monitor monitor("a");
    monitor.heartbeat(std::chrono::milliseconds(0), std::chrono::milliseconds(5));
    const std::int64_t now =
        std::chrono::steady_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
    EXPECT_EQ(look(watch_, now, now + 50), 0U);
    stall_sign found;
    EXPECT_EQ(look(watch_, now + 56, now + 90, &found), 1U);
    EXPECT_EQ(found.kind, stall_sign::what::heartbeat);
    monitor.heartbeat(std::chrono::milliseconds(0));
    EXPECT_FALSE(stall_watch::lasts(found));
}

TEST_F(Watch, IsSilentWhereStallsAreOff) {
    set_default_threshold(0);
    watch_.begin(0);
    const loop_monitor monitor("a", {.threshold = std::chrono::milliseconds(10)});
    const loop_monitor::callback running(monitor);
    EXPECT_EQ(look(watch_, 1000, 2000), 0U);
}

TEST_F(Watch, HeedsTheLoopsOwnThreshold) {
    const loop_monitor monitor("a", {.threshold = std::chrono::milliseconds(500)});
    const loop_monitor::callback running(monitor);
    EXPECT_EQ(look(watch_, 1000, 1496), 0U);
    EXPECT_EQ(look(watch_, 1496, 1520), 1U);
}

}  // namespace
}  // namespace corodump::sources
