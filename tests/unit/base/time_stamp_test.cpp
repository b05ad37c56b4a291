#include "agent/base/time_stamp.hpp"

#include <gtest/gtest.h>

#include "agent/base/clock.hpp"

namespace corodump::base {
namespace {

void expect_pace(const stamp_scale& scale) {
    const std::int64_t began = monotonic_ns();
    const std::uint64_t first = scale.now();
    while (monotonic_ns() - began < 20'000'000) {
    }
    const std::uint64_t last = scale.now();
    const auto known = static_cast<double>(monotonic_ns() - began);
    const double measured = static_cast<double>(last - first) * scale.ns_per_step();
    EXPECT_NEAR(measured / known, 1.0, 0.01);
}

TEST(TimeStamp, CountsAtThePaceOfTheMonotonicClock) {
    if (has_steady_counter()) expect_pace(stamp_scale::begin(true));
    expect_pace(stamp_scale::begin(false));
}

TEST(TimeStamp, WithoutACounterIsNanoseconds) {
    const stamp_scale scale = stamp_scale::begin(false);
    EXPECT_EQ(scale.ns_per_step(), 1.0);
    const auto before = static_cast<std::uint64_t>(monotonic_ns());
    EXPECT_GE(scale.now(), before);
}

}  // namespace
}  // namespace corodump::base
