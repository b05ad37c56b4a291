#include "agent/sources/throw_stacks.hpp"

#include <gtest/gtest.h>

#include <corodump/detail/abi.hpp>
#include <cstdint>
#include <vector>

namespace corodump::sources {
namespace {

/// Frames as frame pointers chain them: [the caller's frame][return address].
struct fake_stack {
    explicit fake_stack(std::size_t frames, std::uintptr_t first_address = 0x10000)
        : words(2 * frames) {
        for (std::size_t i = 0; i < frames; ++i) {
            words[2 * i] = i + 1 < frames ? reinterpret_cast<std::uintptr_t>(&words[2 * i + 2]) : 0;
            words[2 * i + 1] = first_address + i;
        }
    }
    [[nodiscard]] std::uint32_t note() const { return note_stack(words.data()); }
    std::vector<std::uintptr_t> words;
};

TEST(ThrowStacks, AreReadFromTheInnermostOut) {
    const auto frames = frames_of_throw(fake_stack(3).note());
    ASSERT_EQ(frames.size(), 3U);
    EXPECT_EQ(frames[0], 0x10000U);
    EXPECT_EQ(frames[2], 0x10002U);
}

TEST(ThrowStacks, ThatAreEqualAreKeptOnce) {
    const std::uint32_t first = fake_stack(5).note();
    EXPECT_NE(first, 0U);
    EXPECT_EQ(fake_stack(5).note(), first);
    EXPECT_NE(fake_stack(4).note(), first);
    EXPECT_NE(fake_stack(5, 0x20000).note(), first);
}

TEST(ThrowStacks, AreCutAtTheirBound) {
    EXPECT_EQ(frames_of_throw(fake_stack(max_throw_frames + 5).note()).size(), max_throw_frames);
}

TEST(ThrowStacks, EndWhereAChainLeadsAstray) {
    fake_stack broken(4);
    broken.words[2] = 8 * 4096;  // downwards
    EXPECT_EQ(frames_of_throw(broken.note()).size(), 2U);
    broken.words[2] = ~std::uintptr_t{7};  // where nothing can be read
    EXPECT_EQ(frames_of_throw(broken.note()).size(), 2U);
    broken.words[2] = reinterpret_cast<std::uintptr_t>(&broken.words[4]) + 1;
    EXPECT_EQ(frames_of_throw(broken.note()).size(), 2U);
    broken.words[1] = 7;  // no return address
    EXPECT_EQ(broken.note(), 0U);
    EXPECT_EQ(note_stack(nullptr), 0U);
}

TEST(ThrowStacks, OfAnUnknownNumberAreEmpty) {
    EXPECT_TRUE(frames_of_throw(0).empty());
    EXPECT_TRUE(frames_of_throw(~0U).empty());
}

TEST(ThrowStacks, AreFoundByTheirException) {
    const fake_stack from(6, 0x30000);
    const int thrown = 0;
    const int other = 0;
    EXPECT_EQ(stack_of_throw(&thrown), 0U);
    corodump_thrown_v1(&thrown, from.words.data());
    EXPECT_EQ(frames_of_throw(stack_of_throw(&thrown)).size(), 6U);
    EXPECT_EQ(stack_of_throw(&other), 0U);
    EXPECT_EQ(stack_of_throw(nullptr), 0U);
    note_throws(false);
    corodump_thrown_v1(&other, from.words.data());
    EXPECT_EQ(stack_of_throw(&other), 0U);
    note_throws(true);
}

TEST(ThrowStacks, ForWhichThereIsNoRoomAreCounted) {
    std::uint32_t id = 1;
    for (std::uintptr_t i = 0; id != 0 && i < 100'000; ++i)
        id = fake_stack(max_throw_frames, 0x100'0000 + i * 0x100).note();
    EXPECT_EQ(id, 0U);
    EXPECT_EQ(throw_stacks_dropped(), 1U);
    EXPECT_NE(fake_stack(3).note(), 0U) << "what is kept stays known";
}

}  // namespace
}  // namespace corodump::sources
