#include "agent/format/json_text.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>
#include <vector>

#include "agent/format/json_writer.hpp"

namespace corodump::format {
namespace {

using namespace std::string_literals;

template <class Put, class Value>
std::string written(Put put_value, Value value) {
    std::array<char, number_room + slack_bytes> text{};
    return {text.data(), put_value(text.data(), value)};
}

std::string escaped(std::string_view text) {
    std::vector<char> room(escaped_room(text.size()) + slack_bytes);
    return {room.data(), put_escaped(room.data(), text)};
}

const std::string replacement = "\xef\xbf\xbd";

TEST(JsonText, SplitsEveryNumberOfFourDigitsInBothHalves) {
    for (std::uint32_t four = 0; four < 10'000; ++four) {
        std::array<char, 16> expected{};
        std::snprintf(expected.data(), expected.size(), "%04u%04u", four, 9999 - four);
        const std::uint64_t text = eight_digits(four * 10'000 + 9999 - four) | 0x3030303030303030U;
        ASSERT_EQ(std::memcmp(&text, expected.data(), 8), 0) << four;
    }
}

TEST(JsonText, WritesDecimalsOfEveryLength) {
    for (std::uint64_t power = 1;; power *= 10) {
        for (const std::uint64_t value : {power - 1, power, power + 1, power * 2 + 7})
            EXPECT_EQ(written(put_decimal, value), std::to_string(value));
        if (power == 10'000'000'000'000'000'000U) break;
    }
    constexpr auto most = std::numeric_limits<std::uint64_t>::max();
    EXPECT_EQ(written(put_decimal, most), std::to_string(most));
}

TEST(JsonText, WritesSignedExtremes) {
    for (const std::int64_t value : {std::numeric_limits<std::int64_t>::min(), std::int64_t{-1},
                                     std::int64_t{0}, std::numeric_limits<std::int64_t>::max()})
        EXPECT_EQ(written(put_signed, value), std::to_string(value));
}

TEST(JsonText, WritesHexOfEveryLength) {
    std::mt19937_64 random(7);
    for (int bits = 0; bits <= 64; ++bits) {
        for (int round = 0; round < 100; ++round) {
            const std::uint64_t value = bits == 0 ? 0 : random() >> (64 - bits);
            std::array<char, 24> expected{};
            std::snprintf(expected.data(), expected.size(), "%lx", value);
            ASSERT_EQ(written(put_hex, value), expected.data());
        }
    }
}

TEST(JsonText, SpreadsNibblesWithoutVectorInstructions) {
    std::mt19937 random(9);
    for (int round = 0; round < 10'000; ++round) {
        const auto value = static_cast<std::uint32_t>(random());
        std::array<char, 16> expected{};
        std::snprintf(expected.data(), expected.size(), "%08x", value);
        const std::uint64_t text = eight_nibbles(value);
        ASSERT_EQ(std::memcmp(&text, expected.data(), 8), 0) << value;
    }
}

TEST(JsonText, WritesSecondsWithThreeDecimals) {
    EXPECT_EQ(written(put_seconds, 0U), "0.000");
    EXPECT_EQ(written(put_seconds, 8U), "0.008");
    for (std::uint64_t milliseconds = 12'000; milliseconds < 14'000; ++milliseconds) {
        std::string expected = std::to_string(milliseconds);
        ASSERT_EQ(written(put_seconds, milliseconds), expected.insert(2, "."));
    }
    EXPECT_EQ(written(put_seconds, 34'359'738'367'999U), "34359738367.999");
}

TEST(JsonText, RoundsDurations) {
    EXPECT_EQ(written(put_duration, 1.0006), "1.001");
    EXPECT_EQ(written(put_duration, -0.25), "-0.250");
    EXPECT_EQ(written(put_duration, -999'999'999'999.125), "-999999999999.125");
}

TEST(JsonText, TakesNoDurationThatIsNotFinite) {
    EXPECT_TRUE(is_duration(-5));
    EXPECT_FALSE(is_duration(std::numeric_limits<double>::quiet_NaN()));
    EXPECT_FALSE(is_duration(std::numeric_limits<double>::infinity()));
    EXPECT_FALSE(is_duration(-std::numeric_limits<double>::infinity()));
    EXPECT_FALSE(is_duration(std::numeric_limits<double>::max()));
}

TEST(JsonText, EscapesWhatJsonMustEscape) {
    EXPECT_EQ(escaped("a\"b\\c/d"), R"(a\"b\\c/d)");
    EXPECT_EQ(escaped("\b\t\n\f\r"), R"(\b\t\n\f\r)");
    EXPECT_EQ(escaped("\0\x01\x0b\x1f"s + "7"), R"(\u0000\u0001\u000b\u001f7)");
}

TEST(JsonText, EscapesDelAndTheUpperControls) {
    EXPECT_EQ(escaped("\x7f"), R"(\u007f)");
    EXPECT_EQ(escaped("\xc2\x80\xc2\x9b\xc2\x9f"), R"(\u0080\u009b\u009f)");
    EXPECT_EQ(escaped("\xc2\xa0"), "\xc2\xa0");
}

TEST(JsonText, FindsASpecialByteAtEveryPlaceOfEveryLength) {
    for (const char special : {'"', '\\', '\n', '\x1f', '\x7f', '\xff'}) {
        const std::string escape = escaped({&special, 1});
        for (std::size_t size = 1; size <= 70; ++size) {
            for (std::size_t at = 0; at < size; ++at) {
                std::string text(size, 'x');
                text[at] = special;
                ASSERT_EQ(escaped(text),
                          std::string(at, 'x') + escape + std::string(size - at - 1, 'x'));
            }
        }
    }
}

TEST(JsonText, LeavesEveryPlainByteAsItIs) {
    std::string text;
    for (char byte = ' '; byte < '\x7f'; ++byte)
        if (byte != '"' && byte != '\\') text += byte;
    EXPECT_EQ(escaped(text), text);
}

TEST(JsonText, KeepsTheEdgesOfWellFormedUtf8) {
    for (const std::string_view edge : {"\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                                        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
        EXPECT_EQ(escaped(edge), edge);
}

TEST(JsonText, ReplacesEachByteOfMalformedUtf8) {
    for (const std::string_view bad :
         {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf",
          "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe", "\xff", "\xc2",
          "\xe1\x80", "\xf1\x80\x80"}) {
        std::string expected;
        for (std::size_t at = 0; at < bad.size(); ++at) expected += replacement;
        EXPECT_EQ(escaped(bad), expected);
        EXPECT_EQ(escaped("a" + std::string(bad) + "b"), "a" + expected + "b");
    }
}

TEST(JsonText, KeepsTextOfTheFullLength) {
    const std::string full(max_text_bytes, 'x');
    EXPECT_EQ(escaped(full), full);
    std::string wide;
    while (wide.size() < max_text_bytes) wide += "\xc3\xa9";
    EXPECT_EQ(escaped(wide), wide);
}

TEST(JsonText, CutsLongerTextAtACodePoint) {
    const std::string ellipsis = "\xe2\x80\xa6";
    EXPECT_EQ(escaped(std::string(max_text_bytes + 1, 'x')),
              std::string(max_text_bytes - 3, 'x') + ellipsis);
    for (std::size_t shift = 0; shift < 4; ++shift) {
        std::string text(shift, 'x');
        while (text.size() <= 2 * max_text_bytes) text += "\xf0\x9f\x98\x80";
        const std::string cut = escaped(text);
        EXPECT_LE(cut.size(), max_text_bytes);
        EXPECT_GT(cut.size(), max_text_bytes - 4);
        EXPECT_TRUE(cut.ends_with("\xf0\x9f\x98\x80" + ellipsis));
    }
}

TEST(JsonText, CountsReplacedBytesAsTheyAreWritten) {
    EXPECT_EQ(escaped(std::string(1365, '\xff')).size(), 3 * 1365U);
    const std::string cut = escaped(std::string(1366, '\xff'));
    EXPECT_LE(cut.size(), max_text_bytes);
    EXPECT_TRUE(cut.ends_with(replacement + "\xe2\x80\xa6"));
}

TEST(JsonText, StaysInItsRoomForAnyBytes) {
    std::mt19937 random(3);
    for (const std::size_t size : {1U, 15U, 16U, 17U, 1365U, 1366U, 4096U, 4097U, 9000U}) {
        for (int round = 0; round < 200; ++round) {
            std::string text(size, '\0');
            const unsigned mask = round % 2 == 0 ? 0xffU : 0x1fU;
            for (char& byte : text) byte = static_cast<char>(random() & mask);
            std::vector<char> room(escaped_room(size) + slack_bytes);
            const char* const end = put_escaped(room.data(), text);
            ASSERT_LE(end - room.data(), static_cast<std::ptrdiff_t>(escaped_room(size)));
        }
    }
}

TEST(JsonText, WritesTimesInUtc) {
    EXPECT_EQ(written(put_rfc3339, std::int64_t{0}), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(written(put_rfc3339, 1'795'345'152'345'678'901), "2026-11-22T10:59:12.345Z");
    EXPECT_EQ(written(put_rfc3339, 951'782'399'999'000'000), "2000-02-28T23:59:59.999Z");
    EXPECT_EQ(written(put_rfc3339, 951'868'799'000'000'000), "2000-02-29T23:59:59.000Z");
    EXPECT_EQ(written(put_rfc3339, std::int64_t{-1}), "1969-12-31T23:59:59.999Z");
}

TEST(JsonText, AgreesWithTheLibraryOnEveryDay) {
    for (std::int64_t day = -30'000; day < 100'000; ++day) {
        const std::time_t seconds = day * 86'400 + 3723;
        std::tm parts{};
        gmtime_r(&seconds, &parts);
        std::array<char, 40> expected{};
        std::strftime(expected.data(), expected.size(), "%Y-%m-%dT%H:%M:%S.000Z", &parts);
        ASSERT_EQ(written(put_rfc3339, seconds * 1'000'000'000), expected.data());
    }
}

TEST(JsonText, KnowsJsonLiterals) {
    for (const std::string_view literal :
         {"true", "false", "0", "-0", "7", "-12", "1.5", "-0.001", "1e5", "1E+05", "2.5e-300",
          "18446744073709551615", "9.99e307"})
        EXPECT_TRUE(is_json_literal(literal)) << literal;
    for (const std::string_view other :
         {"",     "-",  "+1", "01",    "1.",   ".5",  "1e",    "1e+",     "nan",     "inf", "-inf",
          "0x10", "1 ", " 1", "true ", "null", "1,2", "1e999", "1e99999", "1.8e308", "--1", "'a'"})
        EXPECT_FALSE(is_json_literal(other)) << other;
}

}  // namespace
}  // namespace corodump::format
