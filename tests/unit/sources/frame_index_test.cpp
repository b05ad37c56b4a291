#include "agent/sources/frame_index.hpp"

#include <gtest/gtest.h>

#include <corodump/detail/tracking.hpp>
#include <memory>
#include <vector>

#include "agent/base/arena.hpp"
#include "agent/sources/registry.hpp"
#include "agent/sources/type_facts.hpp"

namespace corodump::sources {
namespace {

using detail::record;

std::uint64_t address_of(const void* pointer) {
    return reinterpret_cast<std::uint64_t>(pointer);
}

/// Frames of the pool whose records say that they are live.
class live_frames {
public:
    void add(std::size_t count, std::size_t bytes) {
        for (std::size_t i = 0; i < count; ++i) {
            void* const frame = corodump_allocate_v1(bytes);
            turn(frame);
            frames_.push_back({frame, bytes});
        }
    }
    live_frames() = default;
    live_frames(const live_frames&) = delete;
    live_frames& operator=(const live_frames&) = delete;
    ~live_frames() {
        for (const auto& [frame, bytes] : frames_) {
            turn(frame);
            corodump_release_v1(frame, bytes);
        }
    }
    struct one {
        void* frame;
        std::size_t bytes;
    };
    [[nodiscard]] const std::vector<one>& all() const { return frames_; }

private:
    /// From free to live, and back.
    static void turn(void* frame) {
        auto& generation = (static_cast<record*>(frame) - 1)->generation;
        generation.store(generation.load() + 1);
    }
    std::vector<one> frames_;
};

/// The index of all that is live now.
class indexed {
public:
    indexed() {
        EXPECT_TRUE(memory_.reserve(std::size_t{64} << 20U).ok());
        copied_ = copy_records(memory_, 1'000'000);
        types_ = std::make_unique<type_facts>(memory_);
        index_ = std::make_unique<frame_index>(memory_, copied_.frames, copied_.outside, *types_);
    }
    [[nodiscard]] const frame_index& index() const { return *index_; }
    [[nodiscard]] std::uint64_t address(std::uint32_t frame) const {
        return frame < copied_.frames.size() ? copied_.frames[frame].address : 0;
    }

private:
    base::arena memory_;
    copied_frames copied_;
    std::unique_ptr<type_facts> types_;
    std::unique_ptr<frame_index> index_;
};

TEST(FrameIndex, FindsAFrameFromEachOfItsWordsInEachSizeClass) {
    live_frames frames;
    for (std::size_t object = 80; object <= detail::max_pooled_bytes;
         object = detail::bytes_of_class(detail::class_of(object + 1)))
        frames.add(200, object - sizeof(record));
    const indexed all;
    for (const auto& [frame, bytes] : frames.all()) {
        const std::uint64_t begin = address_of(frame);
        ASSERT_EQ(all.address(all.index().containing(begin)), begin) << bytes;
        ASSERT_EQ(all.address(all.index().containing(begin + bytes - 1)), begin) << bytes;
        ASSERT_EQ(all.address(all.index().containing(begin + bytes / 2)), begin) << bytes;
        // The record in front is no part of it, nor is what lies behind it.
        ASSERT_EQ(all.index().containing(begin - 1), model::no_index) << bytes;
        ASSERT_EQ(all.index().containing(begin - sizeof(record)), model::no_index) << bytes;
        ASSERT_NE(all.address(all.index().containing(begin + bytes)), begin) << bytes;
        ASSERT_EQ(all.index().object_end(begin), begin + bytes) << bytes;
        ASSERT_EQ(all.index().object_end(begin + bytes - 1), begin + bytes) << bytes;
        ASSERT_EQ(all.index().named(begin), all.index().containing(begin)) << bytes;
        ASSERT_EQ(all.index().record_of(all.index().containing(begin)), begin - sizeof(record));
    }
}

TEST(FrameIndex, KnowsNothingOfOtherMemory) {
    live_frames frames;
    frames.add(100, 200);
    const indexed all;
    int local = 0;
    const auto heap = std::make_unique<std::uint64_t>(7);
    for (const std::uint64_t address :
         {std::uint64_t{0}, std::uint64_t{8}, ~std::uint64_t{7},
          address_of(&local) & ~std::uint64_t{7}, address_of(heap.get()), address_of(&all)}) {
        EXPECT_EQ(all.index().containing(address), model::no_index);
        EXPECT_EQ(all.index().named(address), model::no_index);
        EXPECT_EQ(all.index().object_end(address), 0U);
    }
    EXPECT_EQ(all.index().read_word(address_of(heap.get())), 7U);
    EXPECT_EQ(all.index().read_word(8), 0U);
}

TEST(FrameIndex, ReadsNoFurtherThanTheObject) {
    live_frames frames;
    frames.add(10, 208 - sizeof(record));
    const indexed all;
    auto* const words = static_cast<std::uint64_t*>(frames.all()[3].frame);
    for (std::uint64_t i = 0; i < 20; ++i) words[i] = i;
    std::uint64_t read[32] = {};
    ASSERT_EQ(all.index().read_words(address_of(words + 4), read), 16U);
    EXPECT_EQ(read[0], 4U);
    EXPECT_EQ(read[15], 19U);
}

TEST(FrameIndex, FindsNoFrameThatIsGone) {
    std::uint64_t gone = 0;
    {
        live_frames frames;
        frames.add(1, 3000);
        gone = address_of(frames.all()[0].frame);
        const indexed before;
        EXPECT_EQ(before.address(before.index().containing(gone)), gone);
    }
    const indexed after;
    EXPECT_EQ(after.index().containing(gone), model::no_index);
}

}  // namespace
}  // namespace corodump::sources
