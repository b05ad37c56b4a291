#include "agent/sources/births.hpp"

#include <gtest/gtest.h>

#include <corodump/detail/tracking.hpp>
#include <thread>
#include <vector>

#include "agent/sources/pool.hpp"

namespace corodump::sources {
namespace {

using detail::record;

constexpr std::size_t frame_bytes = 200;

class Births : public ::testing::Test {
protected:
    void TearDown() override { stop_births(); }

    /// As the hot path does it.
    static void* make() {
        void* const frame = corodump_allocate_v1(frame_bytes);
        if (births_wanted()) corodump_born_v1(frame);
        record& own = *record_of(frame);
        own.generation.store(own.generation.load() + 1);
        return frame;
    }
    static void end(void* frame) {
        record& own = *record_of(frame);
        own.generation.store(own.generation.load() + 1);
        corodump_release_v1(frame, frame_bytes);
    }
    static record* record_of(void* frame) { return static_cast<record*>(frame) - 1; }
    static std::uint32_t generation_of(void* frame) { return record_of(frame)->generation.load(); }
    static bool find(void* frame, birth& found) {
        return find_birth(reinterpret_cast<std::uint64_t>(record_of(frame)), generation_of(frame),
                          found);
    }
};

TEST_F(Births, NotesTheCoroutineThatRunsAsCreator) {
    ASSERT_EQ(configure_births({.creators = true}), 0);
    void* const creator = make();
    corodump_enter_v1(record_of(creator));
    void* const created = make();
    corodump_leave_v1(record_of(creator));
    birth found;
    ASSERT_TRUE(find(created, found));
    EXPECT_EQ(found.creator, reinterpret_cast<std::uint64_t>(creator));
    EXPECT_EQ(found.creator_generation, generation_of(creator));
    EXPECT_EQ(found.stack, 0U);
    ASSERT_TRUE(find(creator, found));
    EXPECT_EQ(found.creator, 0U) << "made outside of all coroutines";
    end(created);
    end(creator);
}

TEST_F(Births, AreOfOneGeneration) {
    ASSERT_EQ(configure_births({.creators = true}), 0);
    void* const frame = make();
    const std::uint32_t generation = generation_of(frame);
    birth found;
    EXPECT_TRUE(find(frame, found));
    stop_births();
    end(frame);
    void* const next = make();
    ASSERT_EQ(next, frame) << "the list gives the last one first";
    EXPECT_FALSE(find(next, found));
    EXPECT_FALSE(find_birth(reinterpret_cast<std::uint64_t>(record_of(frame)), generation, found));
    end(next);
}

TEST_F(Births, OfFramesOutsideThePoolAreNotedWithTheirSlots) {
    ASSERT_EQ(configure_births({.creators = true}), 0);
    alignas(16) static char frame[64];
    alignas(16) static char other[64];
    detail::slot* const creator = corodump_slot_v1(frame);
    creator->tracked.generation.fetch_add(1);
    corodump_enter_v1(&creator->tracked);
    detail::slot* const created = corodump_slot_v1(other);
    created->tracked.generation.fetch_add(1);
    corodump_leave_v1(&creator->tracked);
    birth found;
    ASSERT_TRUE(find_birth(reinterpret_cast<std::uint64_t>(&created->tracked),
                           created->tracked.generation.load(), found));
    EXPECT_EQ(found.creator, reinterpret_cast<std::uint64_t>(&frame));
    for (detail::slot* const slot : {created, creator}) {
        slot->tracked.generation.fetch_add(1);
        corodump_untag_v1(reinterpret_cast<std::uintptr_t>(slot) | detail::tag_slot);
    }
}

TEST_F(Births, AreNotFoundAtAddressesThatAreNoRecords) {
    ASSERT_EQ(configure_births({.creators = true}), 0);
    void* const frame = make();
    birth found;
    const auto address = reinterpret_cast<std::uint64_t>(record_of(frame));
    EXPECT_FALSE(find_birth(address + 8, generation_of(frame), found));
    EXPECT_FALSE(find_birth(0, 1, found));
    EXPECT_FALSE(find_birth(reinterpret_cast<std::uint64_t>(&found), 1, found));
    end(frame);
}

TEST_F(Births, HaveRoomForEveryObjectOfASlab) {
    ASSERT_EQ(configure_births({.creators = true}), 0);
    void* const creator = make();
    corodump_enter_v1(record_of(creator));
    std::vector<void*> frames(3 * detail::slab_bytes / frame_bytes);
    for (void*& frame : frames) frame = make();
    corodump_leave_v1(record_of(creator));
    birth found;
    for (void* const frame : frames) {
        ASSERT_TRUE(find(frame, found));
        EXPECT_EQ(found.creator, reinterpret_cast<std::uint64_t>(creator));
    }
    for (void* const frame : frames) end(frame);
    end(creator);
}

TEST_F(Births, GiveTheSameStackTheSameId) {
    ASSERT_EQ(configure_births({.stacks = stack_mode::all, .depth = 8}), 0);
    std::vector<void*> frames(4);
    for (void*& frame : frames) frame = make();
    birth first;
    ASSERT_TRUE(find(frames[0], first));
    ASSERT_NE(first.stack, 0U);
    EXPECT_GE(birth_stack(first.stack).size(), 1U);
    EXPECT_LE(birth_stack(first.stack).size(), 8U);
    for (void* const frame : frames) {
        birth other;
        ASSERT_TRUE(find(frame, other));
        end(frame);
    }
}

TEST_F(Births, AreCountedForThreadsThatHaveEnded) {
    ASSERT_EQ(configure_births({.creators = true}), 0);
    const std::uint64_t before = count_births().noted;
    for (int i = 0; i < 3; ++i) std::thread([] { end(make()); }).join();
    EXPECT_EQ(count_births().noted, before + 3);
}

TEST_F(Births, AreNotNotedOnceStopped) {
    ASSERT_EQ(configure_births({.stacks = stack_mode::all}), 0);
    EXPECT_TRUE(births_wanted());
    EXPECT_TRUE(births_configured().creators) << "stacks bring them";
    stop_births();
    EXPECT_FALSE(births_wanted());
    const birth_totals before = count_births();
    end(make());
    EXPECT_EQ(count_births().noted, before.noted);
    EXPECT_EQ(count_births().stacks, before.stacks);
}

}  // namespace
}  // namespace corodump::sources
