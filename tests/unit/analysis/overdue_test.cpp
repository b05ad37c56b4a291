#include <gtest/gtest.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "agent/analysis/rules.hpp"
#include "tests/unit/analysis/written_verdicts.hpp"

namespace corodump::analysis {
namespace {

using test::written_verdict;
using test::written_verdicts;

written_verdict verdict_on(const overdue& one) {
    facts of;
    of.overdues = {&one, 1};
    written_verdicts found;
    find_overdue(of, found);
    return found.all.empty() ? written_verdict{} : found.all.front();
}

TEST(Overdue, NamesThePlaceAndOneTaskForEach) {
    const overdue_place places[] = {
        {{"acquire", "/src/pool.cpp", 42, false}, 1200, 7500, 3},
        {{"", "", 0, false}, 1, 400, no_task},
        {{"lend", "pool.cpp", 50, false}, 1, 350, 3},
    };
    const written_verdict found = verdict_on({.kind = "connection",
                                              .live = 1300,
                                              .count = 1202,
                                              .limit_seconds = 300,
                                              .oldest_seconds = 7500,
                                              .places = places});
    EXPECT_EQ(found.kind, "resource_leak");
    EXPECT_EQ(found.severity, "warning");
    EXPECT_EQ(
        found.statement,
        "1202 of 1300 open resources of kind 'connection' are older than 5 min, the oldest is "
        "2 h old.");
    ASSERT_EQ(found.evidence.size(), 3U);
    EXPECT_EQ(found.evidence[0],
              "1200 were opened in acquire (pool.cpp:42), the oldest 2 h ago; one by task 3, which "
              "stands in the place of 3");
    EXPECT_EQ(found.evidence[1], "1 was opened in a function without a name 6 min ago");
    EXPECT_EQ(
        found.evidence[2],
        "1 was opened in lend (pool.cpp:50) 5 min ago by task 3, which stands in the place of "
        "3");
    EXPECT_EQ(found.tasks, std::vector<std::uint32_t>{3});
    EXPECT_EQ(found.task_count, 1U);
}

TEST(Overdue, CountsTasksBeyondThoseThatAreListed) {
    std::vector<std::uint32_t> tasks(100);
    for (std::uint32_t i = 0; i < tasks.size(); ++i) tasks[i] = i;
    const written_verdict found = verdict_on({.of = overdue::sort::tasks,
                                              .kind = "task",
                                              .live = 500,
                                              .count = 400,
                                              .limit_seconds = 60,
                                              .oldest_seconds = 90,
                                              .tasks = tasks});
    EXPECT_EQ(found.statement, "400 of 500 tasks are older than 60 s, the oldest is 90 s old.");
    EXPECT_EQ(found.tasks.size(), max_listed);
    EXPECT_EQ(found.task_count, 400U);
    EXPECT_EQ(found.evidence[1], "task 1 stands in the place of 1");
}

TEST(Overdue, TellsWhatDescriptorsAre) {
    const std::string_view what[] = {"descriptor 7, socket:[81], first seen 90.0 s ago"};
    const written_verdict found = verdict_on({.of = overdue::sort::descriptors,
                                              .kind = "descriptor",
                                              .live = 12,
                                              .count = 1,
                                              .limit_seconds = 60,
                                              .oldest_seconds = 90,
                                              .descriptions = what});
    EXPECT_EQ(found.statement, "1 of 12 open file descriptors is older than 60 s: it is 90 s old.");
    EXPECT_EQ(found.evidence[0], what[0]);
    EXPECT_EQ(found.task_count, 0U);
}

TEST(Overdue, SaysNothingWhereNothingIsOverTheLimit) {
    EXPECT_EQ(verdict_on({.kind = "connection", .live = 1000, .limit_seconds = 5}).kind, "");
}

}  // namespace
}  // namespace corodump::analysis
