#include "agent/analysis/wait_cycle.hpp"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace corodump::analysis {
namespace {

struct waits final : waits_for {
    std::map<std::uint32_t, std::uint32_t> by_task;
    [[nodiscard]] std::uint32_t resource_of(std::uint32_t task) const noexcept override {
        const auto at = by_task.find(task);
        return at == by_task.end() ? no_resource : at->second;
    }
};

TEST(FindStuck, FindsTwoLocksTakenInOppositeOrder) {
    const std::vector<std::uint32_t> first{1};
    const std::vector<std::uint32_t> second{2};
    std::vector<held_resource> resources{{first, true, false}, {second, true, false}};
    waits who;
    who.by_task = {{1, 1}, {2, 0}};
    EXPECT_EQ(find_stuck(resources, who), 2U);
}

TEST(FindStuck, FindsAPoolWhoseHoldersAllWaitForIt) {
    const std::vector<std::uint32_t> holders{1, 2, 3, 4};
    std::vector<held_resource> resources{{holders, true, false}};
    waits who;
    for (const std::uint32_t task : {1U, 2U, 3U, 4U, 5U, 6U}) who.by_task[task] = 0;
    EXPECT_EQ(find_stuck(resources, who), 1U);
}

TEST(FindStuck, SparesAPoolWithOneHolderThatCanGoOn) {
    const std::vector<std::uint32_t> holders{1, 2, 3, 4};
    std::vector<held_resource> resources{{holders, true, false}};
    waits who;
    who.by_task = {{1, 0}, {2, 0}, {3, 0}};
    EXPECT_EQ(find_stuck(resources, who), 0U);
}

TEST(FindStuck, SparesWhatHangsOnlyBehindAFreeHolder) {
    // 0 is held by task 1, which waits for 1, whose holder runs.
    const std::vector<std::uint32_t> first{1};
    const std::vector<std::uint32_t> second{2};
    std::vector<held_resource> resources{{first, true, false}, {second, true, false}};
    waits who;
    who.by_task = {{1, 1}};
    EXPECT_EQ(find_stuck(resources, who), 0U);
}

TEST(FindStuck, CountsWhatWaitsBehindACycleAsStuck) {
    const std::vector<std::uint32_t> a{1};
    const std::vector<std::uint32_t> b{2};
    const std::vector<std::uint32_t> c{3};
    std::vector<held_resource> resources{{a, true, false}, {b, true, false}, {c, true, false}};
    waits who;
    who.by_task = {{1, 1}, {2, 0}, {3, 0}};
    EXPECT_EQ(find_stuck(resources, who), 3U);
}

TEST(FindStuck, NeverJudgesByHoldersItDoesNotKnow) {
    const std::vector<std::uint32_t> holders{1};
    std::vector<held_resource> resources{{holders, false, false}, {{}, true, false}};
    waits who;
    who.by_task = {{1, 0}};
    EXPECT_EQ(find_stuck(resources, who), 0U);
}

}  // namespace
}  // namespace corodump::analysis
