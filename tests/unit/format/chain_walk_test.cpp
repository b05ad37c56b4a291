#include "agent/format/chain_walk.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace corodump::format {
namespace {

using model::no_index;

/// Frames whose links a test sets by index.
struct links {
    explicit links(std::size_t count) : frames(count) { all.frames = frames; }
    void link(std::uint32_t parent, std::uint32_t child) {
        frames[parent].first_child = child;
        frames[child].parent = parent;
    }
    /// One chain of all frames.
    void link_all() {
        for (std::uint32_t at = 1; at < frames.size(); ++at) link(at - 1, at);
    }
    std::vector<model::frame> frames;
    model::snapshot all;
};

TEST(ChainWalk, FollowsAChainToItsLeaf) {
    links three(3);
    three.link_all();
    chain_walk walk(three.all);
    const chain_walk::frames chain = walk.follow(0);
    ASSERT_EQ(chain.size(), 3U);
    EXPECT_EQ(chain.front(), &three.frames[0]);
    EXPECT_EQ(chain.back(), &three.frames[2]);
    EXPECT_EQ(walk.cut_frames(), 0U);
}

TEST(ChainWalk, EndsAtAJoin) {
    links join(3);
    join.link_all();
    join.frames[2].root = true;
    chain_walk walk(join.all);
    EXPECT_EQ(walk.follow(0).size(), 2U);
    EXPECT_EQ(walk.cut_frames(), 0U);
}

TEST(ChainWalk, AgreesWithTheModelOnTheLeaf) {
    for (const std::size_t depth : {1U, 2U, 255U, 256U, 257U, 1000U}) {
        links chain(depth);
        chain.link_all();
        chain_walk walk(chain.all);
        EXPECT_EQ(walk.follow(0).back(), &chain.frames[model::leaf_of(chain.all, 0)]);
    }
}

TEST(ChainWalk, CountsTheFramesBehindTheBound) {
    links deep(model::max_chain_frames + 44);
    deep.link_all();
    chain_walk walk(deep.all);
    EXPECT_EQ(walk.follow(0).size(), model::max_chain_frames);
    EXPECT_EQ(walk.cut_frames(), 44U);
}

TEST(ChainWalk, StopsInACycle) {
    links ring(2);
    ring.link_all();
    ring.link(1, 0);
    chain_walk walk(ring.all);
    for (int task = 0; task < 1000; ++task)
        EXPECT_EQ(walk.follow(0).size(), model::max_chain_frames);
    EXPECT_LE(walk.cut_frames(), 4U);
    EXPECT_EQ(walk.root_of(0), nullptr);
}

TEST(ChainWalk, TakesAnIndexOutOfRangeForNoFrame) {
    links one(1);
    one.frames[0].first_child = 77;
    chain_walk walk(one.all);
    EXPECT_EQ(walk.follow(0).size(), 1U);
    EXPECT_TRUE(walk.follow(1).empty());
    EXPECT_TRUE(walk.follow(no_index).empty());
    EXPECT_EQ(walk.frame_at(1), nullptr);
    EXPECT_EQ(walk.root_of(no_index), nullptr);
}

TEST(ChainWalk, FindsTheRootOfAFrame) {
    links join(4);
    join.link_all();
    join.frames[2].root = true;
    const chain_walk walk(join.all);
    EXPECT_EQ(walk.root_of(1), &join.frames[0]);
    EXPECT_EQ(walk.root_of(2), &join.frames[2]);
    EXPECT_EQ(walk.root_of(3), &join.frames[2]);
}

TEST(ChainWalk, FindsTheRootOfADeepChain) {
    links deep(5 * model::max_chain_frames);
    deep.link_all();
    const chain_walk walk(deep.all);
    EXPECT_EQ(walk.root_of(5 * model::max_chain_frames - 1), &deep.frames[0]);
}

TEST(ChainWalk, KeepsBothEndsOfADeepChain) {
    links deep(1000);
    deep.link_all();
    deep.all.limits.depth = 7;
    chain_walk walk(deep.all);
    const chain_walk::frames chain = walk.follow(0);
    ASSERT_EQ(chain.size(), 7U);
    constexpr std::size_t kept[] = {0, 1, 2, 996, 997, 998, 999};
    for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(chain[i], &deep.frames[kept[i]]) << i;
    EXPECT_EQ(walk.last_cut(), 993U);
    EXPECT_EQ(walk.follow(995).size(), 5U);
    EXPECT_EQ(walk.last_cut(), 0U);
    EXPECT_EQ(walk.cut_frames(), 993U);
}

TEST(ChainWalk, CountsAllChildrenAndKeepsTheFirst) {
    links join(101);
    join.frames[0].first_child = 1;
    for (std::uint32_t child = 1; child <= 100; ++child) {
        join.frames[child].root = true;
        join.frames[child].next_sibling = child < 100 ? child + 1 : no_index;
    }
    chain_walk walk(join.all);
    std::array<const model::frame*, 3> some{};
    EXPECT_EQ(walk.children_of(join.frames[0], some), 100U);
    EXPECT_EQ(some[0], &join.frames[1]);
    EXPECT_EQ(some[2], &join.frames[3]);
}

TEST(ChainWalk, StopsInACycleOfSiblings) {
    links join(3);
    join.frames[0].first_child = 1;
    join.frames[1].next_sibling = 2;
    join.frames[2].next_sibling = 1;
    join.frames[1].root = join.frames[2].root = true;
    chain_walk walk(join.all);
    EXPECT_LE(walk.children_of(join.frames[0], {}), 6U);
}

TEST(ChainWalk, PrefetchesNothingOutOfRange) {
    links chain(3);
    chain.link_all();
    chain.frames[2].first_child = 1000;
    const std::array<std::uint32_t, 3> roots = {0, no_index, 2};
    chain.all.roots = roots;
    const chain_walk walk(chain.all);
    for (std::size_t at = 0; at < 20; ++at) walk.prefetch(at);
    EXPECT_EQ(walk.cut_frames(), 0U);
}

}  // namespace
}  // namespace corodump::format
