#include "agent/analysis/count_table.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace corodump::analysis {
namespace {

TEST(CountTable, CountsByKeyAndGivesTheLargestFirst) {
    std::vector<counted<int>> storage(16);
    count_table<int> table(storage);
    for (const std::uint64_t key : {7U, 9U, 7U, 7U, 9U, 4U}) table.add(key);
    const auto largest = table.largest(2);
    ASSERT_EQ(largest.size(), 2U);
    EXPECT_EQ(largest[0].key, 7U);
    EXPECT_EQ(largest[0].count, 3U);
    EXPECT_EQ(largest[1].key, 9U);
    EXPECT_EQ(table.others(), 1U);
}

TEST(CountTable, CountsWhatDoesNotFitTogether) {
    std::vector<counted<int>> storage(8);
    count_table<int> table(storage);
    for (std::uint64_t key = 1; key <= 10; ++key) table.add(key);
    EXPECT_EQ(table.add(99), nullptr);
    EXPECT_NE(table.add(1), nullptr);
    EXPECT_EQ(table.others(), 7U);
}

TEST(CountTable, CountsWithoutStorage) {
    count_table<int> table({});
    EXPECT_EQ(table.add(5), nullptr);
    EXPECT_EQ(table.others(), 1U);
    EXPECT_TRUE(table.largest(4).empty());
}

}  // namespace
}  // namespace corodump::analysis
