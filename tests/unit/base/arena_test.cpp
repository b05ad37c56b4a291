#include "agent/base/arena.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include "agent/base/safe_copy.hpp"

namespace corodump::base {
namespace {

std::size_t resident_pages(const void* start, std::size_t bytes) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    std::vector<unsigned char> pages(bytes / page);
    EXPECT_EQ(::mincore(const_cast<void*>(start), bytes, pages.data()), 0);
    std::size_t count = 0;
    for (const unsigned char one : pages) count += one & 1U;
    return count;
}

TEST(Arena, RefusesUntilReserved) {
    arena memory;
    EXPECT_TRUE(memory.allocate_span<int>(1).empty());
    EXPECT_EQ(memory.refusals(), 1U);
    EXPECT_EQ(memory.reserve(0).error(), EINVAL);
    EXPECT_EQ(memory.reserve(SIZE_MAX).error(), EINVAL);
    EXPECT_TRUE(memory.reserve(1).ok());
    EXPECT_EQ(memory.reserve(1).error(), EBUSY);
    EXPECT_FALSE(memory.allocate_span<int>(1).empty());
}

TEST(Arena, AlignsAndInitialises) {
    struct record {
        std::uint64_t number = 7;
        std::uint32_t other = 9;
    };
    arena memory;
    ASSERT_TRUE(memory.reserve(1 << 20).ok());
    EXPECT_EQ(memory.copy("x"), "x");
    const auto records = memory.allocate_span<record>(3);
    ASSERT_EQ(records.size(), 3U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(records.data()) % alignof(record), 0U);
    EXPECT_EQ(records[2].number, 7U);
    EXPECT_EQ(records[2].other, 9U);
    EXPECT_EQ(memory.copy("text").data()[4], '\0');
}

TEST(Arena, CountsWhatDoesNotFitAndStaysAsItWas) {
    arena memory;
    ASSERT_TRUE(memory.reserve(4096).ok());
    const auto first = memory.allocate_span<char>(4000);
    ASSERT_EQ(first.size(), 4000U);
    EXPECT_TRUE(memory.allocate_span<char>(97).empty());
    EXPECT_TRUE(memory.allocate_span<std::uint64_t>(SIZE_MAX / 8).empty());
    EXPECT_TRUE(memory.allocate_span<std::uint64_t>(SIZE_MAX).empty());
    EXPECT_EQ(memory.refusals(), 3U);
    EXPECT_EQ(memory.used(), 4000U);
    EXPECT_EQ(memory.allocate_span<char>(96).size(), 96U);
    EXPECT_TRUE(memory.allocate_span<char>(0).empty());
    EXPECT_EQ(memory.refusals(), 3U);
}

TEST(Arena, InitialisesAgainAfterARewind) {
    arena memory;
    ASSERT_TRUE(memory.reserve(1 << 16).ok());
    const auto mark = memory.mark();
    memory.allocate_span<char>(100)[50] = 'x';
    memory.rewind(mark);
    EXPECT_EQ(memory.allocate_span<char>(100)[50], '\0');
    EXPECT_EQ(memory.peak(), 100U);
}

TEST(Arena, ShrinksOnlyTheNewestAllocation) {
    arena memory;
    ASSERT_TRUE(memory.reserve(1 << 16).ok());
    const auto first = memory.allocate_span<int>(10);
    EXPECT_EQ(memory.shrink_last(first, 4).size(), 4U);
    EXPECT_EQ(memory.used(), 16U);
    const auto second = memory.allocate_span<int>(10);
    EXPECT_EQ(memory.shrink_last(first, 2).size(), 10U);
    EXPECT_EQ(memory.shrink_last(second, 0).size(), 0U);
}

TEST(Arena, GivesPagesBack) {
    arena memory;
    constexpr std::size_t size = 8 << 20;
    ASSERT_TRUE(memory.reserve(size).ok());
    const auto all = memory.allocate_span<char>(size);
    const std::size_t touched = resident_pages(all.data(), size);
    EXPECT_GT(touched, 1000U);
    memory.rewind(size / 2);
    memory.trim();
    EXPECT_LE(resident_pages(all.data(), size), touched / 2 + 1);
    memory.release();
    EXPECT_EQ(resident_pages(all.data(), size), 0U);
    EXPECT_EQ(memory.allocate_span<char>(16)[0], '\0');
}

TEST(Arena, KeepsPagesThatItIsToldToKeep) {
    arena memory;
    constexpr std::size_t size = 8 << 20;
    constexpr std::size_t kept = 1 << 20;
    ASSERT_TRUE(memory.reserve(size).ok());
    const auto all = memory.allocate_span<char>(size);
    const std::size_t touched = resident_pages(all.data(), size);
    memory.release(kept);
    EXPECT_EQ(memory.used(), 0U);
    EXPECT_EQ(resident_pages(all.data(), kept), touched / 8);
    EXPECT_EQ(resident_pages(all.data(), size), touched / 8);
}

TEST(Arena, ZeroesWhatWasTouchedAndLeavesFreshPagesAlone) {
    arena memory;
    constexpr std::size_t size = 8 << 20;
    ASSERT_TRUE(memory.reserve(size).ok());
    const auto dirty = memory.allocate_uninitialized<char>(10000);
    std::ranges::fill(dirty, 'x');
    memory.release(10000);
    const auto table = memory.allocate_zeroed<char>(size);
    ASSERT_EQ(table.size(), size);
    EXPECT_LE(resident_pages(table.data(), size), 8U);
    EXPECT_EQ(std::ranges::count(table, '\0'), static_cast<std::ptrdiff_t>(size));
}

// The kernel does not take locked pages back: they are taken out of the lock first.
TEST(Arena, TakesBackWhatTheHostHasLocked) {
    arena memory;
    constexpr std::size_t size = 1 << 16;
    ASSERT_TRUE(memory.reserve(size).ok());
    const auto dirty = memory.allocate_uninitialized<char>(size);
    std::ranges::fill(dirty, 'x');
    if (::mlock(dirty.data(), size) != 0) GTEST_SKIP() << "no memory may be locked here";
    memory.release();
    EXPECT_EQ(resident_pages(dirty.data(), size), 0U);
    EXPECT_EQ(std::ranges::count(memory.allocate_zeroed<char>(size), '\0'),
              static_cast<std::ptrdiff_t>(size));
}

TEST(Arena, CannotBeAccessedBeyondWhatIsInUse) {
    arena memory;
    constexpr std::size_t size = 64 << 20;
    ASSERT_TRUE(memory.reserve(size).ok());
    const auto* const first = memory.allocate_span<char>(1).data();
    char byte = 0;
    const auto is_open = [&](std::size_t at) {
        return safe_copy(&byte, reinterpret_cast<std::uintptr_t>(first + at), 1) == 1;
    };
    EXPECT_TRUE(is_open(0));
    EXPECT_FALSE(is_open(size / 2));
    const auto room = memory.room<char>(size / 2);
    ASSERT_EQ(room.size(), size / 2);
    EXPECT_TRUE(is_open(size / 2 - 1));
    EXPECT_FALSE(is_open(size - 1));
    memory.release(4096);
    EXPECT_TRUE(is_open(4095));
    EXPECT_FALSE(is_open(size / 2 - 1));
    EXPECT_EQ(memory.allocate_zeroed<char>(size).size(), size);
    EXPECT_TRUE(is_open(size - 1));
}

TEST(Arena, HandsOutOfARoomOnlyWhatIsTaken) {
    arena memory;
    ASSERT_TRUE(memory.reserve(1 << 16).ok());
    ASSERT_EQ(memory.allocate_span<char>(1).size(), 1U);
    const auto room = memory.room<std::uint64_t>(100);
    ASSERT_EQ(room.size(), 100U);
    EXPECT_EQ(memory.used(), 1U);
    std::ranges::fill(room.first(4), ~std::uint64_t{0});
    const auto taken = memory.take(room, 3);
    EXPECT_EQ(taken.data(), room.data());
    EXPECT_EQ(taken.size(), 3U);
    EXPECT_EQ(memory.used(), 32U);
    // The fourth was written to and not taken.
    EXPECT_EQ(memory.allocate_zeroed<std::uint64_t>(1)[0], 0U);
    EXPECT_EQ(memory.room<std::uint64_t>(1 << 20).size(), (1U << 16) / 8 - 5);
}

TEST(Arena, MovesWithItsMemory) {
    arena from;
    ASSERT_TRUE(from.reserve(4096).ok());
    const auto text = from.copy("kept");
    const arena to(std::move(from));
    EXPECT_EQ(text, "kept");
    EXPECT_EQ(to.used(), 5U);
}

}  // namespace
}  // namespace corodump::base
