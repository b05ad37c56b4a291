#include "agent/sources/pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <corodump/detail/tracking.hpp>
#include <corodump/task.hpp>
#include <set>
#include <thread>
#include <vector>

#include "agent/base/arena.hpp"
#include "agent/sources/registry.hpp"

namespace corodump::sources {
namespace {

using detail::record;

record* record_of(void* frame) {
    return static_cast<record*>(frame) - 1;
}

std::vector<void*> allocate(std::size_t count, std::size_t bytes) {
    std::vector<void*> frames(count);
    for (void*& frame : frames) frame = corodump_allocate_v1(bytes);
    return frames;
}

TEST(Pool, GivesAlignedFramesItKnows) {
    for (const std::size_t bytes : {24U, 100U, 1000U, 1024U, 3000U, 8000U}) {
        void* const frame = corodump_allocate_v1(bytes);
        ASSERT_NE(frame, nullptr);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(frame) % 16, 0U);
        EXPECT_TRUE(corodump_pooled_v1(frame));
        EXPECT_FALSE(corodump_pooled_v1(static_cast<char*>(frame) + 16));
        corodump_release_v1(frame, bytes);
    }
}

TEST(Pool, LeavesLargeFramesToMalloc) {
    void* const frame = corodump_allocate_v1(100'000);
    ASSERT_NE(frame, nullptr);
    EXPECT_FALSE(corodump_pooled_v1(frame));
    corodump_release_v1(frame, 100'000);
}

TEST(Pool, KnowsNoAddressOfTheStackOrHeap) {
    int local = 0;
    const auto heap = std::make_unique<int>(0);
    EXPECT_FALSE(corodump_pooled_v1(&local));
    EXPECT_FALSE(corodump_pooled_v1(heap.get()));
    EXPECT_FALSE(corodump_pooled_v1(nullptr));
}

TEST(Pool, NeverGivesAnAddressTheSameGenerationTwice) {
    std::set<std::pair<void*, std::uint32_t>> seen;
    for (int round = 0; round < 4; ++round) {
        // Enough to empty whole slabs, whose pages are given back.
        const auto frames = allocate(4000, 400);
        for (void* const frame : frames) {
            auto& generation = record_of(frame)->generation;
            generation.store(generation.load() + 1);
            EXPECT_EQ(generation.load() % 2, 1U);
            EXPECT_TRUE(seen.emplace(frame, generation.load()).second);
            generation.store(generation.load() + 1);
        }
        for (void* const frame : frames) corodump_release_v1(frame, 400);
        std::thread([] { corodump_release_v1(corodump_allocate_v1(400), 400); }).join();
    }
}

TEST(Pool, TakesFramesBackOnOtherThreads) {
    const std::size_t before = chunk_count();
    for (int i = 0; i < 20; ++i) {
        const auto frames = allocate(1000, 200);
        std::thread([&] {
            for (void* const frame : frames) corodump_release_v1(frame, 200);
        }).join();
    }
    // The frames went round: twenty thousand of them do not fit what is mapped.
    EXPECT_LT((chunk_count() - before) * chunk_bytes, std::size_t{20'000} * 256);
}

TEST(Pool, FindsTheObjectAnAddressLiesIn) {
    char* const frame = static_cast<char*>(corodump_allocate_v1(300));
    const object_place place = place_of(reinterpret_cast<std::uintptr_t>(frame + 299));
    ASSERT_NE(place.slab, nullptr);
    EXPECT_EQ(place.begin, reinterpret_cast<std::uintptr_t>(frame) - sizeof(record));
    corodump_release_v1(frame, 300);
}

TEST(Registry, CopiesLiveRecordsAndCountsThoseOverTheCap) {
    const auto frames = allocate(100, 96);
    detail::promise_info promise{};
    detail::site_data site{"f.cpp", "f", 1, 1};
    std::vector<detail::frame_tag> tags(frames.size());
    for (std::size_t i = 0; i < frames.size(); ++i)
        detail::begin(frames[i], tags[i], promise, &site);
    base::arena memory;
    ASSERT_TRUE(memory.reserve(std::size_t{16} << 20U));
    EXPECT_EQ(copy_records(memory, 1'000'000).frames.size(), 100U);
    const copied_frames capped = copy_records(memory, 40);
    EXPECT_EQ(capped.frames.size(), 40U);
    EXPECT_EQ(capped.dropped, 60U);
    for (std::size_t i = 0; i < frames.size(); ++i) {
        detail::rest(record_of(frames[i]), detail::rests_at_end, detail::rests);
        detail::end(frames[i], tags[i]);
        corodump_release_v1(frames[i], 96);
    }
    EXPECT_TRUE(copy_records(memory, 1'000'000).frames.empty());
}

TEST(Registry, SaysWhetherAFrameWaits) {
    void* const frame = corodump_allocate_v1(96);
    detail::promise_info promise{};
    detail::site_data site{"f.cpp", "f", 1, 1};
    detail::frame_tag tag;
    record* const own = detail::begin(frame, tag, promise, &site);
    base::arena memory;
    ASSERT_TRUE(memory.reserve(std::size_t{1} << 20U));
    detail::start(own);
    EXPECT_EQ(copy_records(memory, 8).frames[0].activity, model::activity::running);
    char* const awaiter = static_cast<char*>(frame) + 40;
    static constexpr detail::awaitable_info what{detail::layout_version, 0, "", 0, 0, 0, 0};
    detail::suspend(own, what, awaiter);
    const model::frame waiting = copy_records(memory, 8).frames[0];
    EXPECT_EQ(waiting.activity, model::activity::suspended);
    EXPECT_EQ(waiting.awaiter, reinterpret_cast<std::uint64_t>(awaiter));
    EXPECT_EQ(waiting.awaitable, reinterpret_cast<std::uint64_t>(&what));
    EXPECT_EQ(waiting.resumes, 0U);
    detail::resume(own);
    EXPECT_EQ(copy_records(memory, 8).frames[0].resumes, 1U);
    detail::leave(own);
    detail::rest(own, detail::rests_at_end, detail::rests);
    EXPECT_EQ(copy_records(memory, 8).frames[0].state, model::task_state::done);
    EXPECT_EQ(copy_records(memory, 8).frames[0].awaiter, 0U);
    detail::end(frame, tag);
    corodump_release_v1(frame, 96);
}

TEST(Registry, TellsACoroutineThatNeverStarted) {
    void* const frame = corodump_allocate_v1(96);
    detail::promise_info promise{};
    detail::site_data site{"f.cpp", "f", 1, 1};
    detail::frame_tag tag;
    record* const own = detail::begin(frame, tag, promise, &site);
    detail::rest(own, detail::rests_before_start, std::uint64_t{7} << 32U | 1U);
    base::arena memory;
    ASSERT_TRUE(memory.reserve(std::size_t{1} << 20U));
    const model::frame waiting = copy_records(memory, 8).frames[0];
    EXPECT_EQ(waiting.activity, model::activity::not_started);
    EXPECT_EQ(waiting.state, model::task_state::pending);
    EXPECT_EQ(waiting.suspended_tick, 7U);
    detail::end(frame, tag);
    corodump_release_v1(frame, 96);
}

TEST(RunningCoroutine, IsTheInnerOneWhileOneResumesAnother) {
    record first{}, second{}, third{};
    EXPECT_EQ(corodump_current_v1(), nullptr);
    detail::start(&first);
    detail::start(&second);
    detail::start(&third);
    EXPECT_EQ(corodump_current_v1(), &third);
    detail::leave(&third);
    EXPECT_EQ(corodump_current_v1(), &second);
    detail::leave(&first);  // out of order, as fibers do
    EXPECT_EQ(corodump_current_v1(), &second);
    detail::leave(&second);
    EXPECT_EQ(corodump_current_v1(), nullptr);
}

}  // namespace
}  // namespace corodump::sources
