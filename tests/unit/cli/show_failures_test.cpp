#include "agent/cli/show_failures.hpp"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "agent/cli/show.hpp"
#include "agent/format/reader_source.hpp"
#include "tests/golden/golden.hpp"

namespace corodump::cli {
namespace {

struct shown {
    int code = 0;
    std::string text, problems;
};

shown show(const std::string& file, bool all = false, std::string task = {}) {
    format::memory_source source(file);
    show_options options;
    options.file = "dump.json";
    options.view.all = all;
    if (!task.empty()) options.task = task;
    std::ostringstream out;
    std::ostringstream problems;
    shown result;
    result.code = run_show(source, options, out, problems);
    result.text = out.str();
    result.problems = problems.str();
    return result;
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

TEST(ShowFailures, PutsWhatNobodySawFirst) {
    const std::string text = show(test::golden("failures")).text;
    EXPECT_TRUE(has(text, "FAILURES  1 of 2 seen by nobody")) << text;
    EXPECT_TRUE(has(text, "std::runtime_error: no such table: orders")) << text;
    EXPECT_TRUE(has(text, "\"report 17\", report, seen by nobody")) << text;
    EXPECT_TRUE(has(text, "thrown at sqlite::fail")) << text;
    EXPECT_LT(text.find("no such table"), text.find("    in unknown"));
}

TEST(ShowFailures, SaysWhyTheProcessDied) {
    const std::string text = show(test::golden("failures")).text;
    EXPECT_TRUE(has(text, "made because the process died of signal 11")) << text;
}

TEST(ShowFailures, CountsTasksThatEndedAndNamesWhoCancelled) {
    const std::string text = show(test::golden("failures")).text;
    EXPECT_TRUE(has(text, "FINISHED  the last 3 tasks: 1 done, 1 failed, 1 cancelled")) << text;
    EXPECT_TRUE(has(text, "7f52b0801c40.5, poll: cancelled by 7f52b0801fb0.1 after 16ms")) << text;
    EXPECT_FALSE(has(text, "7f52b0801c40.7")) << text;
    EXPECT_TRUE(has(show(test::golden("failures"), true).text, "7f52b0801c40.7, poll: done"));
}

TEST(ShowFailures, SaysNothingWhereThereIsNothing) {
    const std::string text = show(test::golden("threads")).text;
    EXPECT_FALSE(has(text, "FAILURES"));
    EXPECT_FALSE(has(text, "FINISHED"));
}

TEST(ShowFailures, KnowsWhatBecameOfATask) {
    const shown result = show(test::golden("failures"), false, "7f52b0801c40.5");
    EXPECT_TRUE(has(result.problems, "it has ended: 7f52b0801c40.5, poll: cancelled"))
        << result.problems;
    EXPECT_NE(result.code, 0);
}

}  // namespace
}  // namespace corodump::cli
