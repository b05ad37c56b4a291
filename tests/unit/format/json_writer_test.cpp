#include "agent/format/json_writer.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "tests/unit/format/sinks.hpp"

namespace corodump::format {
namespace {

using testing_sinks::limited_sink;
using testing_sinks::string_sink;

/// What `write_values` makes of a writer with the least buffer.
template <class WriteValues>
std::string written(WriteValues write_values) {
    std::vector<char> buffer(json_writer::min_buffer_bytes);
    string_sink sink;
    json_writer out(sink, buffer);
    write_values(out);
    out.flush();
    EXPECT_FALSE(out.failed());
    EXPECT_EQ(out.bytes_written(), sink.text.size());
    return sink.text;
}

TEST(JsonWriter, PlacesCommasBetweenElementsOnly) {
    EXPECT_EQ(written([](json_writer& out) {
                  out.begin_object();
                  out.member("a").number(1);
                  out.member("b").begin_array();
                  out.number(2);
                  out.begin_object();
                  out.end_object();
                  out.begin_array();
                  out.end_array();
                  out.null();
                  out.end_array();
                  out.member("c").boolean(true);
                  out.end_object();
              }),
              R"({"a":1,"b":[2,{},[],null],"c":true})");
}

TEST(JsonWriter, StartsALineBehindTheComma) {
    EXPECT_EQ(written([](json_writer& out) {
                  out.begin_array();
                  out.line();
                  out.number(1);
                  out.line();
                  out.number(2);
                  out.line();
                  out.end_array();
              }),
              "[\n1,\n2\n]");
}

TEST(JsonWriter, EscapesTexts) {
    EXPECT_EQ(written([](json_writer& out) { out.text("say \"hi\"\n\xff"); }),
              "\"say \\\"hi\\\"\\n\xef\xbf\xbd\"");
}

TEST(JsonWriter, WritesUnknownValuesAsNull) {
    EXPECT_EQ(written([](json_writer& out) {
                  out.begin_array();
                  out.text_or_null("");
                  out.text_or_null("x");
                  out.number_or_null(-1);
                  out.number_or_null(0);
                  out.address_or_null(0);
                  out.address_or_null(0x7f12a4003040);
                  out.seconds_or_null(std::numeric_limits<double>::quiet_NaN());
                  out.seconds_or_null(std::numeric_limits<double>::infinity());
                  out.seconds_or_null(-1.5);
                  out.end_array();
              }),
              R"([null,"x",null,0,null,"7f12a4003040",null,null,-1.500])");
}

TEST(JsonWriter, HandsFullBuffersToTheSinkInOrder) {
    std::string expected = "[";
    for (int value = 0; value < 100'000; ++value)
        expected += (value > 0 ? "," : "") + std::to_string(value);
    EXPECT_EQ(written([](json_writer& out) {
                  out.begin_array();
                  for (unsigned value = 0; value < 100'000; ++value) out.number(value);
                  out.end_array();
              }),
              expected + "]");
}

TEST(JsonWriter, HoldsTheLongestTextsInTheLeastBuffer) {
    const std::string worst(max_text_bytes, '\x01');
    std::string expected = "[";
    for (int copy = 0; copy < 20; ++copy) {
        expected += copy > 0 ? ",\"" : "\"";
        for (std::size_t at = 0; at < worst.size(); ++at) expected += "\\u0001";
        expected += '"';
    }
    EXPECT_EQ(written([&](json_writer& out) {
                  out.begin_array();
                  for (int copy = 0; copy < 20; ++copy) out.text(worst);
                  out.end_array();
              }),
              expected + "]");
}

TEST(JsonWriter, NeverCallsASinkAgainThatRefused) {
    std::vector<char> buffer(json_writer::min_buffer_bytes);
    limited_sink sink(0);
    json_writer out(sink, buffer);
    out.begin_array();
    for (unsigned value = 0; value < 100'000; ++value) out.number(value);
    out.end_array();
    out.flush();
    EXPECT_TRUE(out.failed());
    EXPECT_EQ(sink.calls, 1U);
    EXPECT_EQ(out.bytes_written(), 0U);
}

TEST(JsonWriter, CommitsWhatWasLaidDownInReservedRoom) {
    EXPECT_EQ(written([](json_writer& out) {
                  out.begin_object();
                  out.member("a");
                  out.commit_element(put(out.element(8), "[1]"));
                  out.member("b").number(2);
                  out.end_object();
              }),
              R"({"a":[1],"b":2})");
}

}  // namespace
}  // namespace corodump::format
