#include "agent/sources/value_reader.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <corodump/detail/values.hpp>
#include <limits>
#include <string>

namespace corodump::sources {
namespace {

struct shown {
    value_outcome outcome;
    std::string text;
};

template <class T>
shown show(const T& value) {
    char buffer[4096];
    base::text text(buffer);
    const value_shape shape{static_cast<std::uint8_t>(detail::kind_of<T>()), sizeof(T), 0};
    const auto outcome =
        read_value(shape, reinterpret_cast<std::uint64_t>(&value), max_string_bytes, text);
    return {outcome, std::string(text.view())};
}

TEST(ValueReader, ShowsNumbersAsLiterals) {
    EXPECT_EQ(show(std::int8_t{-128}).text, "-128");
    EXPECT_EQ(show(std::numeric_limits<std::int64_t>::min()).text, "-9223372036854775808");
    EXPECT_EQ(show(std::numeric_limits<std::uint64_t>::max()).text, "18446744073709551615");
    EXPECT_EQ(show(1.5).text, "1.5");
    EXPECT_EQ(show(0.1F).outcome, value_outcome::literal);
    EXPECT_EQ(show(true).text, "true");
}

TEST(ValueReader, ShowsWhatJsonHasNoNumberForAsText) {
    EXPECT_EQ(show(std::nan("")).outcome, value_outcome::text);
    EXPECT_EQ(show(std::numeric_limits<double>::infinity()).outcome, value_outcome::text);
}

TEST(ValueReader, ShowsEnumsByTheirNumber) {
    enum class color : short { red = -3 };
    EXPECT_EQ(show(color::red).text, "-3");
}

TEST(ValueReader, ShowsShortAndLongStrings) {
    EXPECT_EQ(show(std::string("short")).text, "short");
    EXPECT_EQ(show(std::string(200, 'x')).text, std::string(200, 'x'));
    EXPECT_EQ(show(std::string_view("view")).text, "view");
    const char* const terminated = "terminated";
    EXPECT_EQ(show(terminated).text, "terminated");
}

TEST(ValueReader, CutsLongStrings) {
    const std::string text = show(std::string(5000, 'x')).text;
    EXPECT_EQ(text.find_first_not_of('x'), 1024U);
    EXPECT_EQ(text.substr(1024), "\xE2\x80\xA6 +3976 bytes");
}

TEST(ValueReader, SaysWhatItCannotRead) {
    char buffer[64];
    base::text text(buffer);
    const value_shape shape{static_cast<std::uint8_t>(detail::value_kind::signed_integer), 4, 0};
    EXPECT_EQ(read_value(shape, 16, max_string_bytes, text), value_outcome::unreadable);
    const char* const dangling = reinterpret_cast<const char*>(16);
    EXPECT_EQ(show(dangling).outcome, value_outcome::unreadable);
}

}  // namespace
}  // namespace corodump::sources
