#include "agent/sources/stack_depot.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <thread>
#include <vector>

#include "agent/sources/stack_walk.hpp"

namespace corodump::sources {
namespace {

using addresses = std::vector<std::uintptr_t>;

addresses stack_number(std::uintptr_t number, std::size_t depth = 5) {
    addresses made(depth, 0x1000);
    made[0] = number;
    return made;
}

/// As the walk makes it.
std::uint64_t hash_of(const addresses& stack) {
    std::uint64_t hash = 0;
    for (const std::uintptr_t address : stack) hash = (hash ^ address) * 0x9e3779b97f4a7c15U;
    return hash;
}

std::uint32_t keep(stack_depot& in, const addresses& stack) {
    return in.keep(stack, hash_of(stack));
}

addresses read(const stack_depot& from, std::uint32_t id) {
    const auto stack = from.stack_of(id);
    return {stack.begin(), stack.end()};
}

TEST(StackDepot, ServesFromMemoryThatItIsGiven) {
    alignas(stack_depot::unit_bytes) static char
        memory[stack_depot::head_bytes + 2 * stack_depot::unit_bytes];
    stack_depot depot(memory);
    const std::uint32_t first = keep(depot, stack_number(1));
    const std::uint32_t second = keep(depot, stack_number(2));
    EXPECT_EQ(read(depot, first), stack_number(1));
    EXPECT_EQ(read(depot, second), stack_number(2));
    EXPECT_EQ(keep(depot, stack_number(3)), 0U);
    EXPECT_EQ(depot.refused(), 1U);
    EXPECT_EQ(keep(depot, stack_number(1)), first);
}

TEST(StackDepot, KeepsEachStackOnce) {
    stack_depot depot;
    ASSERT_EQ(depot.reserve(), 0);
    const std::uint32_t first = keep(depot, {1, 2, 3});
    const std::uint32_t second = keep(depot, {1, 2, 4});
    EXPECT_NE(first, 0U);
    EXPECT_NE(second, first);
    EXPECT_EQ(keep(depot, {1, 2, 3}), first);
    EXPECT_EQ(read(depot, first), (addresses{1, 2, 3}));
    EXPECT_EQ(read(depot, second), (addresses{1, 2, 4}));
    EXPECT_EQ(depot.stacks(), 2U);
}

TEST(StackDepot, TellsStacksOfOneHashApart) {
    stack_depot depot;
    ASSERT_EQ(depot.reserve(), 0);
    const std::uint32_t first = depot.keep(addresses{1, 2}, 7);
    const std::uint32_t second = depot.keep(addresses{1, 3}, 7);
    const std::uint32_t longer = depot.keep(addresses{1, 2, 3}, 7);
    EXPECT_EQ((std::set<std::uint32_t>{first, second, longer, 0}).size(), 4U);
    EXPECT_EQ(depot.keep(addresses{1, 2}, 7), first);
    EXPECT_EQ(read(depot, second), (addresses{1, 3}));
}

TEST(StackDepot, RefusesAndCountsWhatDoesNotFit) {
    stack_depot depot;
    constexpr std::size_t room = 300 * 1024;
    ASSERT_EQ(depot.reserve(room), 0);
    std::uint64_t kept = 0;
    constexpr std::uint64_t tried = 2000;
    for (std::uintptr_t i = 1; i <= tried; ++i)
        if (const std::uint32_t id = keep(depot, stack_number(i)); id != 0) {
            ++kept;
            EXPECT_EQ(read(depot, id), stack_number(i));
        }
    EXPECT_GT(kept, 100U);
    EXPECT_LT(kept, tried);
    EXPECT_EQ(depot.refused(), tried - kept);
    EXPECT_LE(depot.used_bytes(), room);
    EXPECT_NE(keep(depot, stack_number(1)), 0U) << "what is there is found in a full depot";
}

TEST(StackDepot, GivesNothingForIdsThatAreNone) {
    stack_depot depot;
    EXPECT_EQ(keep(depot, {1}), 0U) << "without memory";
    EXPECT_TRUE(depot.stack_of(5000).empty());
    ASSERT_EQ(depot.reserve(), 0);
    EXPECT_TRUE(depot.stack_of(0).empty());
    EXPECT_TRUE(depot.stack_of(1).empty()) << "a unit of the table";
    EXPECT_TRUE(depot.stack_of(0xffffffffU).empty());
    EXPECT_EQ(keep(depot, {}), 0U);
    EXPECT_EQ(keep(depot, stack_number(1, stack_depot::max_depth + 1)), 0U);
    EXPECT_NE(keep(depot, stack_number(1, stack_depot::max_depth)), 0U);
}

TEST(StackDepot, AgreesOnIdsBetweenThreads) {
    constexpr std::uintptr_t stacks = 2000;
    constexpr std::size_t thread_count = 4;
    stack_depot depot;
    ASSERT_EQ(depot.reserve(), 0);
    std::array<std::vector<std::uint32_t>, thread_count> ids;
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < thread_count; ++t)
        threads.emplace_back([&depot, &own = ids[t]] {
            for (std::uintptr_t i = 1; i <= stacks; ++i)
                own.push_back(keep(depot, stack_number(i)));
        });
    for (std::thread& thread : threads) thread.join();
    for (const auto& own : ids) EXPECT_EQ(own, ids[0]);
    for (std::uintptr_t i = 1; i <= stacks; ++i)
        EXPECT_EQ(read(depot, ids[0][i - 1]), stack_number(i));
    EXPECT_EQ(depot.stacks(), stacks);
}

/// Words that look like the stack of a thread.
struct made_stack {
    alignas(16) std::array<std::uintptr_t, 64> words{};

    std::uintptr_t at(std::size_t index) const {
        return reinterpret_cast<std::uintptr_t>(&words[index]);
    }
    void link(std::size_t from, std::size_t to, std::uintptr_t address) {
        words[from] = at(to);
        words[from + 1] = address;
    }
    std::vector<std::uintptr_t> walk(std::size_t from, std::size_t end,
                                     std::size_t most = 32) const {
        std::vector<std::uintptr_t> into(most);
        into.resize(walk_stack(at(from), at(end), into).depth);
        return into;
    }
};

TEST(StackWalk, FollowsTheChainToTheEndOfTheStack) {
    made_stack stack;
    stack.link(0, 10, 0xa);
    stack.link(10, 40, 0xb);
    stack.link(40, 62, 0xc);
    stack.link(62, 63, 0xd);
    EXPECT_EQ(stack.walk(0, 64 - 1), (addresses{0xa, 0xb, 0xc})) << "the last pair is cut off";
    EXPECT_EQ(stack.walk(0, 42), (addresses{0xa, 0xb, 0xc}));
    EXPECT_EQ(stack.walk(0, 41), (addresses{0xa, 0xb}));
    EXPECT_EQ(stack.walk(0, 42, 2), (addresses{0xa, 0xb}));
}

TEST(StackWalk, StopsWhereTheChainIsBroken) {
    made_stack stack;
    stack.link(4, 10, 0xa);
    stack.link(10, 4, 0xb);
    EXPECT_EQ(stack.walk(4, 60), (addresses{0xa, 0xb})) << "back down";
    stack.link(10, 10, 0xb);
    EXPECT_EQ(stack.walk(4, 60), (addresses{0xa, 0xb})) << "to itself";
    stack.words[10] = stack.at(20) + 1;
    EXPECT_EQ(stack.walk(4, 60), (addresses{0xa, 0xb})) << "not aligned";
    for (const std::uintptr_t wild : {std::uintptr_t{0}, std::uintptr_t{8}, ~std::uintptr_t{7},
                                      ~std::uintptr_t{0} - 15, stack.at(60)}) {
        stack.words[10] = wild;
        EXPECT_EQ(stack.walk(4, 60), (addresses{0xa, 0xb})) << wild;
    }
    stack.words[11] = 0;
    EXPECT_EQ(stack.walk(4, 60), (addresses{0xa})) << "no address";
}

TEST(StackWalk, HashesEqualStacksAlike) {
    made_stack stack;
    stack.link(0, 10, 0xa);
    stack.link(10, 40, 0xb);
    made_stack other;
    other.link(0, 20, 0xa);
    other.link(20, 50, 0xb);
    std::array<std::uintptr_t, 2> into{};
    const walked first = walk_stack(stack.at(0), stack.at(63), into);
    EXPECT_EQ(first.hash, walk_stack(other.at(0), other.at(63), into).hash);
    EXPECT_EQ(first.hash, hash_of({0xa, 0xb}));
    other.words[21] = 0xc;
    EXPECT_NE(first.hash, walk_stack(other.at(0), other.at(63), into).hash);
}

}  // namespace
}  // namespace corodump::sources
