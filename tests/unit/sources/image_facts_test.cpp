#include "agent/sources/image_facts.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <thread>
#include <vector>

namespace corodump::sources {
namespace {

struct facts {
    std::uint64_t first;
    std::uint64_t second;
};

std::uint64_t address_of(const facts& of) {
    return reinterpret_cast<std::uint64_t>(&of);
}

TEST(ImageFacts, AreThoseThatLieThere) {
    static image_facts<facts> known;
    const facts there{3, 4};
    for (int i = 0; i < 2; ++i) {
        facts found{};
        ASSERT_TRUE(known.read(address_of(there), found));
        EXPECT_EQ(found.first, 3U);
        EXPECT_EQ(found.second, 4U);
    }
}

TEST(ImageFacts, ThatCannotBeReadAreNotThere) {
    static image_facts<facts> known;
    facts found{};
    EXPECT_FALSE(known.read(0, found));
    EXPECT_FALSE(known.read(4096, found));
}

TEST(ImageFacts, AreRememberedWhereTheirImageIsGone) {
    static image_facts<facts> known;
    void* const image =
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(image, MAP_FAILED);
    auto* const there = new (image) facts{7, 8};
    facts found{};
    ASSERT_TRUE(known.read(address_of(*there), found));
    ASSERT_EQ(munmap(image, 4096), 0);
    found = {};
    ASSERT_TRUE(known.read(reinterpret_cast<std::uint64_t>(image), found));
    EXPECT_EQ(found.second, 8U);
}

TEST(ImageFacts, OfTwoThatMeetInOnePlaceAreNeverMixed) {
    static image_facts<facts> known;
    std::vector<facts> many(5000);
    for (std::size_t i = 0; i < many.size(); ++i) many[i] = {i, ~i};
    const auto read_all = [&] {
        for (int round = 0; round < 3; ++round)
            for (const facts& one : many) {
                facts found{};
                ASSERT_TRUE(known.read(address_of(one), found));
                ASSERT_EQ(found.first, one.first);
                ASSERT_EQ(found.second, one.second);
            }
    };
    std::thread other(read_all);
    read_all();
    other.join();
}

}  // namespace
}  // namespace corodump::sources
