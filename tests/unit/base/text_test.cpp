#include "agent/base/text.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "agent/base/fixed_string.hpp"

namespace corodump::base {
namespace {

template <class Append>
std::string written(Append append) {
    char buffer[128];
    text out(buffer);
    append(out);
    return std::string(out.view());
}

TEST(Text, WritesIntegersAtTheirLimits) {
    EXPECT_EQ(written([](text& t) { t.decimal(0); }), "0");
    EXPECT_EQ(written([](text& t) { t.decimal(UINT64_MAX); }), "18446744073709551615");
    EXPECT_EQ(written([](text& t) { t.decimal_signed(INT64_MIN); }), "-9223372036854775808");
    EXPECT_EQ(written([](text& t) { t.decimal(7, 3); }), "007");
    EXPECT_EQ(written([](text& t) { t.hex(0xdeadbeef); }), "deadbeef");
    EXPECT_EQ(written([](text& t) { t.hex(0xa, 2); }), "0a");
}

TEST(Text, WritesFixedPointRoundedAwayFromZero) {
    EXPECT_EQ(written([](text& t) { t.fixed(1.5, 3); }), "1.500");
    EXPECT_EQ(written([](text& t) { t.fixed(-0.0625, 3); }), "-0.063");
    EXPECT_EQ(written([](text& t) { t.fixed(0.9996, 3); }), "1.000");
    EXPECT_EQ(written([](text& t) { t.fixed(-0.0001, 3); }), "0.000");
    EXPECT_EQ(written([](text& t) { t.fixed(42.4, 0); }), "42");
}

TEST(Text, WritesNullForWhatJsonCannotSay) {
    EXPECT_EQ(written([](text& t) { t.fixed(std::nan(""), 3); }), "null");
    EXPECT_EQ(written([](text& t) { t.fixed(-std::numeric_limits<double>::infinity(), 3); }),
              "null");
    EXPECT_EQ(written([](text& t) { t.fixed(1e300, 3); }), "null");
    EXPECT_EQ(written([](text& t) { t.fixed(1e18, 3); }), "null");
}

TEST(Text, CutsAndRemembersIt) {
    char buffer[4];
    text out(buffer);
    out.append("abc");
    EXPECT_FALSE(out.truncated());
    out.append("de");
    EXPECT_EQ(out.view(), "abcd");
    EXPECT_TRUE(out.truncated());
    out.shrink(4);
    EXPECT_TRUE(out.truncated());
    out.shrink(2);
    EXPECT_FALSE(out.truncated());
    EXPECT_EQ(out.append("z").view(), "abz");
}

TEST(ParseUnsigned, TakesWholeNumbersOnly) {
    std::uint64_t value = 99;
    EXPECT_TRUE(parse_unsigned("0", value) && value == 0);
    EXPECT_TRUE(parse_unsigned("18446744073709551615", value) && value == UINT64_MAX);
    EXPECT_TRUE(parse_hex("7fffFFFF", value) && value == 0x7fffffff);
    value = 5;
    for (const char* bad : {"", "-1", "+1", " 1", "1 ", "1x", "0x1", "18446744073709551616"}) {
        EXPECT_FALSE(parse_unsigned(bad, value)) << bad;
    }
    EXPECT_EQ(value, 5U);
}

TEST(SplitOff, TakesTheHeadAndLeavesTheRest) {
    std::string_view rest = "a,,b";
    EXPECT_EQ(split_off(rest, ','), "a");
    EXPECT_EQ(split_off(rest, ','), "");
    EXPECT_EQ(split_off(rest, ','), "b");
    EXPECT_TRUE(rest.empty());
    EXPECT_EQ(split_off(rest, ','), "");
}

TEST(FixedString, IsAlwaysTerminated) {
    fixed_string<4> name("abcdef");
    EXPECT_EQ(name, "abcd");
    EXPECT_STREQ(name.c_str(), "abcd");
    EXPECT_TRUE(name.truncated());
    name.assign(name.view().substr(1, 2));
    EXPECT_EQ(name, "bc");
    EXPECT_FALSE(name.truncated());
    name.storage()[2] = 'x';
    name.resize(3);
    EXPECT_STREQ(name.c_str(), "bcx");
    name.resize(99);
    EXPECT_EQ(name.size(), 4U);
}

}  // namespace
}  // namespace corodump::base
