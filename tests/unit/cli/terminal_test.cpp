#include "agent/cli/terminal.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <string_view>

namespace corodump::cli {
namespace {

TEST(Printable, EscapesWhatATerminalObeys) {
    EXPECT_EQ(printable("\x1b[31m"), "\\x1b[31m");
    EXPECT_EQ(printable("a\nb\tc\rd\x7f"), "a\\nb\\tc\\rd\\x7f");
    EXPECT_EQ(printable(std::string_view("\0x", 2)), "\\x00x");
    EXPECT_EQ(printable("\u009b2J"), "\\u{9b}2J");
}

TEST(Printable, EscapesWhatHidesOrTurnsText) {
    EXPECT_EQ(printable("\u202egnp.exe\u2069"), "\\u{202e}gnp.exe\\u{2069}");
    EXPECT_EQ(printable("\u200b\ufeff\u2028\u00ad"), "\\u{200b}\\u{feff}\\u{2028}\\u{ad}");
    EXPECT_EQ(printable("\U000e0041"), "\\u{e0041}");
}

TEST(Printable, EscapesInvalidUtf8) {
    EXPECT_EQ(printable("a\xff\xc3"), "a\\xff\\xc3");
    EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");
    EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");
    EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
    EXPECT_EQ(printable("\x9b"), "\\x9b");
}

TEST(Printable, LeavesOrdinaryTextAlone) {
    EXPECT_EQ(printable("orderd::pool<int>::acquire"), "orderd::pool<int>::acquire");
    EXPECT_EQ(printable("grüße 你好 😀"), "grüße 你好 😀");
}

TEST(Printable, LetsNoControlByteOfAnyInputThrough) {
    for (unsigned first = 0; first < 256; ++first) {
        for (unsigned second = 0; second < 256; ++second) {
            const std::string raw = {static_cast<char>(first), static_cast<char>(second)};
            for (const char c : printable(raw)) {
                const auto byte = static_cast<unsigned char>(c);
                ASSERT_TRUE(byte >= 0x20 && byte != 0x7f) << first << ' ' << second;
            }
            const bool above_c1 = first == 0xc2 && second >= 0xa0;
            const bool kept = printable(raw).find('\xc2') != std::string::npos;
            ASSERT_TRUE(!kept || above_c1) << first << ' ' << second;
        }
    }
}

TEST(Quoted, EscapesQuotesInside) {
    EXPECT_EQ(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\n\"");
}

TEST(DisplayWidth, CountsColumnsNotBytes) {
    EXPECT_EQ(display_width("abc"), 3U);
    EXPECT_EQ(display_width("grüße"), 5U);
    EXPECT_EQ(display_width("你好"), 4U);
    EXPECT_EQ(display_width("e\u0301"), 1U);
}

TEST(Wrapped, BreaksAtSpacesAndLosesNothing) {
    const auto lines = wrapped("one two three four", 9);
    ASSERT_EQ(lines.size(), 3U);
    EXPECT_EQ(lines[0], "one two");
    EXPECT_EQ(lines[1], "three");
    EXPECT_EQ(lines[2], "four");
    EXPECT_EQ(wrapped("abcdefgh", 4).size(), 2U);
    EXPECT_EQ(wrapped("", 4).size(), 1U);
}

TEST(CutTo, MarksTheCut) {
    EXPECT_EQ(cut_to("abcdef", 6), "abcdef");
    EXPECT_EQ(cut_to("abcdef", 4), "abc…");
    EXPECT_EQ(cut_to("你好你好", 5), "你好…");
}

TEST(Painter, PaintsOnlyWhereColoursAreWanted) {
    EXPECT_EQ(painter(false)(paint::alarm, "x"), "x");
    EXPECT_EQ(painter(true)(paint::alarm, "x"), "\x1b[1;31mx\x1b[0m");
    EXPECT_EQ(painter(true)(paint::plain, "x"), "x");
}

TEST(HumanDuration, KeepsTwoUnits) {
    EXPECT_EQ(human_duration(0), "0ms");
    EXPECT_EQ(human_duration(0.0404), "40ms");
    EXPECT_EQ(human_duration(3.24), "3.2s");
    EXPECT_EQ(human_duration(59.4), "59s");
    EXPECT_EQ(human_duration(59.9), "1m 00s");
    EXPECT_EQ(human_duration(735.2), "12m 15s");
    EXPECT_EQ(human_duration(3600 * 5 + 60 * 7), "5h 07m");
    EXPECT_EQ(human_duration(275852), "3d 4h");
    EXPECT_EQ(human_duration(-2.5), "-2.5s");
    EXPECT_EQ(human_duration(1e300), "1e+300s");
}

TEST(HumanCount, GroupsDigits) {
    EXPECT_EQ(human_count(0), "0");
    EXPECT_EQ(human_count(999), "999");
    EXPECT_EQ(human_count(1234567), "1,234,567");
    EXPECT_EQ(counted(1, "task"), "1 task");
    EXPECT_EQ(counted(1000, "task"), "1,000 tasks");
}

TEST(WantsColours, NeverWithoutATerminal) {
    EXPECT_FALSE(wants_colours(-1));
}

}  // namespace
}  // namespace corodump::cli
