#include "agent/base/clock.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <ctime>
#include <random>
#include <string>

namespace corodump::base {
namespace {

std::string rfc3339(std::int64_t unix_ns) {
    char buffer[64];
    text out(buffer);
    return std::string(append_rfc3339(out, unix_ns).view());
}

TEST(Clock, WritesKnownMoments) {
    EXPECT_EQ(rfc3339(0), "1970-01-01T00:00:00.000000Z");
    EXPECT_EQ(rfc3339(951'782'399'999'999'999), "2000-02-28T23:59:59.999999Z");
    EXPECT_EQ(rfc3339(951'782'400'000'000'000), "2000-02-29T00:00:00.000000Z");
    EXPECT_EQ(rfc3339(1'795'345'152'000'042'000), "2026-11-22T10:59:12.000042Z");
    EXPECT_EQ(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
    EXPECT_EQ(rfc3339(4'107'542'400'000'000'000), "2100-03-01T00:00:00.000000Z");
}

TEST(Clock, WritesTheFormOfFileNames) {
    char buffer[64];
    text out(buffer);
    EXPECT_EQ(append_compact_utc(out, 1'795'345'152'000'042'000).view(), "20261122T105912Z");
}

TEST(Clock, AgreesWithGmtime) {
    std::mt19937_64 random(1);
    std::uniform_int_distribution<std::int64_t> moments(-9'000'000'000, 9'000'000'000);
    for (int i = 0; i < 20000; ++i) {
        const std::int64_t seconds = moments(random);
        const auto when = static_cast<std::time_t>(seconds);
        std::tm expected{};
        ASSERT_NE(::gmtime_r(&when, &expected), nullptr);
        const civil_time got = to_civil(seconds * 1'000'000'000 + 1000);
        ASSERT_EQ(got.year, expected.tm_year + 1900) << seconds;
        ASSERT_EQ(got.month, static_cast<unsigned>(expected.tm_mon + 1)) << seconds;
        ASSERT_EQ(got.day, static_cast<unsigned>(expected.tm_mday)) << seconds;
        ASSERT_EQ(got.hour, static_cast<unsigned>(expected.tm_hour)) << seconds;
        ASSERT_EQ(got.minute, static_cast<unsigned>(expected.tm_min)) << seconds;
        ASSERT_EQ(got.second, static_cast<unsigned>(expected.tm_sec)) << seconds;
        ASSERT_EQ(got.microsecond, 1U);
    }
}

TEST(Clock, GoesForward) {
    const std::int64_t first = monotonic_ns();
    EXPECT_GE(monotonic_ns(), first);
    EXPECT_GE(boottime_ns(), first);
    EXPECT_GT(realtime_ns(), 1'600'000'000'000'000'000);
}

}  // namespace
}  // namespace corodump::base
