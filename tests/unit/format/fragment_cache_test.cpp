#include "agent/format/fragment_cache.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace corodump::format {
namespace {

std::string_view text_of(const fragment& found) {
    return {found.text, found.size};
}

std::string place(std::uint64_t site) {
    return "place " + std::to_string(site * 977);
}

TEST(FragmentCache, FindsWhatWasInserted) {
    std::vector<std::byte> memory(64 * 1024);
    fragment_cache cache(memory);
    EXPECT_EQ(cache.find({1, 2}).text, nullptr);
    cache.insert({1, 2}, "one", false);
    cache.insert({1, 3}, "other", true);
    cache.insert({0, 0}, "nowhere", false);
    EXPECT_EQ(text_of(cache.find({1, 2})), "one");
    EXPECT_FALSE(cache.find({1, 2}).library);
    EXPECT_EQ(text_of(cache.find({1, 3})), "other");
    EXPECT_TRUE(cache.find({1, 3}).library);
    EXPECT_EQ(text_of(cache.find({0, 0})), "nowhere");
    EXPECT_EQ(cache.find({2, 1}).text, nullptr);
}

TEST(FragmentCache, HoldsTheSitesOfALargeService) {
    std::vector<std::byte> memory(1024 * 1024);
    fragment_cache cache(memory);
    const std::string padding(100, '.');
    for (std::uint64_t site = 0; site < 3000; ++site)
        cache.insert({0x55d0c0000000 + site * 32, 0x55d0c1000000 + site / 3 * 32},
                     place(site) + padding, false);
    std::size_t found = 0;
    for (std::uint64_t site = 0; site < 3000; ++site) {
        const place_key key{0x55d0c0000000 + site * 32, 0x55d0c1000000 + site / 3 * 32};
        found += text_of(cache.find(key)) == place(site) + padding ? 1 : 0;
    }
    EXPECT_GE(found, 2950U);
}

TEST(FragmentCache, DropsWhatDoesNotFitAndKeepsTheRest) {
    std::vector<std::byte> memory(8 * 1024);
    fragment_cache cache(memory);
    for (std::uint64_t site = 0; site < 10'000; ++site) cache.insert({site, 0}, place(site), false);
    std::size_t found = 0;
    for (std::uint64_t site = 0; site < 10'000; ++site) {
        const fragment known = cache.find({site, 0});
        if (known.text == nullptr) continue;
        ++found;
        ASSERT_EQ(text_of(known), place(site));
    }
    EXPECT_GT(found, 10U);
    EXPECT_LT(found, 300U);
}

TEST(FragmentCache, RefusesTextOverItsBound) {
    std::vector<std::byte> memory(64 * 1024);
    fragment_cache cache(memory);
    cache.insert({1, 0}, std::string(fragment_cache::max_fragment_bytes, 'x'), false);
    cache.insert({2, 0}, std::string(fragment_cache::max_fragment_bytes + 1, 'x'), false);
    EXPECT_EQ(cache.find({1, 0}).size, fragment_cache::max_fragment_bytes);
    EXPECT_EQ(cache.find({2, 0}).text, nullptr);
}

TEST(FragmentCache, HoldsNothingWithoutMemory) {
    for (std::size_t size = 0; size < 300; ++size) {
        std::vector<std::byte> memory(size);
        fragment_cache cache(memory);
        cache.insert({1, 0}, "x", false);
        const fragment found = cache.find({1, 0});
        if (found.text != nullptr) {
            EXPECT_EQ(text_of(found), "x");
        }
    }
}

TEST(FragmentCache, KnowsNothingOfAnEarlierOneInTheSameMemory) {
    std::vector<std::byte> memory(64 * 1024);
    fragment_cache(memory).insert({1, 0}, "old", false);
    EXPECT_EQ(fragment_cache(memory).find({1, 0}).text, nullptr);
}

TEST(FragmentCache, CanBeCopiedFromInBlocksUpToItsLastText) {
    // Under ASan a read behind the memory would be reported.
    std::vector<std::byte> memory(1000);
    fragment_cache cache(memory);
    for (std::uint64_t site = 0; site < 100; ++site) cache.insert({site, 0}, "x", false);
    std::vector<char> copy(slack_bytes + 1);
    for (std::uint64_t site = 0; site < 100; ++site) {
        const fragment found = cache.find({site, 0});
        if (found.text == nullptr) continue;
        put_padded(copy.data(), found.text, found.size);
        EXPECT_EQ(copy[0], 'x');
    }
}

}  // namespace
}  // namespace corodump::format
