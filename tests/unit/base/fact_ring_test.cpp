#include "agent/base/fact_ring.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace corodump::base {
namespace {

struct facts {
    std::uint64_t first, second, third;
};
using ring = fact_ring<facts, 4>;

facts number(std::uint64_t n) {
    return {n, n * 2, n * 3};
}

void expect_read(const ring& from, std::uint64_t at) {
    facts read{};
    ASSERT_TRUE(from.read(at, read)) << at;
    EXPECT_EQ(read.first, at);
    EXPECT_EQ(read.third, at * 3);
}

TEST(FactRing, IsEmptyAtFirst) {
    const ring empty;
    facts read{};
    EXPECT_EQ(empty.total(), 0U);
    EXPECT_EQ(empty.first(), 0U);
    EXPECT_FALSE(empty.read(0, read));
}

TEST(FactRing, KeepsTheLastOnes) {
    ring some;
    for (std::uint64_t n = 0; n < 10; ++n) some.put(number(n));
    EXPECT_EQ(some.total(), 10U);
    EXPECT_EQ(some.first(), 6U);
    for (std::uint64_t n = 6; n < 10; ++n) expect_read(some, n);
    facts read{};
    EXPECT_FALSE(some.read(5, read)) << "overwritten";
    EXPECT_FALSE(some.read(10, read)) << "not noted yet";
    EXPECT_EQ(some.dropped(), 0U);
}

TEST(FactRing, ShowsAFactOnlyWhenItIsWhole) {
    ring some;
    const std::uint64_t begun = some.begin();
    facts read{};
    EXPECT_FALSE(some.read(begun, read));
    EXPECT_EQ(some.total(), 1U);
    some.finish(begun, number(0));
    expect_read(some, begun);
}

TEST(FactRing, DropsAndCountsWhatFindsItsSlotInUse) {
    ring some;
    const std::uint64_t slow = some.begin();
    for (std::uint64_t n = 1; n < 4; ++n) some.put(number(n));
    EXPECT_EQ(some.begin(), ring::no_number) << "the slot of the slow one";
    EXPECT_EQ(some.dropped(), 1U);
    some.finish(slow, number(0));
    EXPECT_EQ(some.total(), 5U);
    some.put(number(5));
    expect_read(some, 5);
    facts read{};
    EXPECT_FALSE(some.read(4, read)) << "dropped, and not the older fact of that slot";
    expect_read(some, slow);
}

TEST(FactRing, NeverShowsHalfOfAFact) {
    static ring shared;
    std::atomic<bool> stop{false};
    std::vector<std::thread> writers;
    for (std::uint64_t base : {1U, 1'000'000'000U})
        writers.emplace_back([&stop, base] {
            for (std::uint64_t n = base; !stop; ++n) shared.put(number(n));
        });
    std::uint64_t read_whole = 0;
    while (read_whole < 10'000) {
        const std::uint64_t end = shared.total();
        for (std::uint64_t at = shared.first(); at < end; ++at) {
            facts read{};
            if (!shared.read(at, read)) continue;
            ++read_whole;
            EXPECT_EQ(read.second, read.first * 2);
            EXPECT_EQ(read.third, read.first * 3);
        }
    }
    stop = true;
    for (std::thread& one : writers) one.join();
}

}  // namespace
}  // namespace corodump::base
