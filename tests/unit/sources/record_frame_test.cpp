#include "agent/sources/record_frame.hpp"

#include <gtest/gtest.h>

#include "agent/sources/descriptions.hpp"
#include "agent/sources/sides.hpp"

namespace corodump::sources {
namespace {

TEST(RecordFrame, LiesBehindAPooledRecord) {
    void* const frame = corodump_allocate_v1(200);
    const auto* const own = static_cast<detail::record*>(frame) - 1;
    EXPECT_EQ(frame_of(own), reinterpret_cast<std::uint64_t>(frame));
    EXPECT_EQ(slot_of(own), nullptr);
    corodump_release_v1(frame, 200);
}

TEST(RecordFrame, IsWhereTheSlotSays) {
    alignas(16) char outside[64] = {};
    detail::slot* const slot = corodump_slot_v1(outside);
    ASSERT_NE(slot, nullptr);
    EXPECT_EQ(frame_of(&slot->tracked), reinterpret_cast<std::uint64_t>(outside));
    EXPECT_EQ(slot_of(&slot->tracked), slot);
    corodump_untag_v1(reinterpret_cast<std::uintptr_t>(slot) | detail::tag_slot);
}

/// No slab begins where its address is rounded to: nothing there is to be read.
TEST(RecordFrame, OfTheSinkIsNone) {
    detail::record* const sink = &corodump_sink_v1.tracked;
    EXPECT_EQ(frame_of(sink), 0U);
    EXPECT_EQ(slot_of(sink), nullptr);
    EXPECT_EQ(corodump_side_v1(sink), nullptr);
}

TEST(FrameTag, SaysWhereTheDefinitionIsAndTheSideRecord) {
    static const int definition = 0;
    const auto address = reinterpret_cast<std::uint64_t>(&definition);
    EXPECT_EQ(read_tag(address).definition, address);
    EXPECT_EQ(read_tag(address).side, model::no_index);

    alignas(16) char outside[64] = {};
    detail::slot* const slot = corodump_slot_v1(outside);
    ASSERT_NE(slot, nullptr);
    slot->definition = &definition;
    detail::side_record* const side = corodump_side_v1(&slot->tracked);
    ASSERT_NE(side, nullptr);
    for (const std::uint64_t word : {reinterpret_cast<std::uint64_t>(slot) | detail::tag_slot,
                                     reinterpret_cast<std::uint64_t>(side) | detail::tag_side}) {
        EXPECT_EQ(read_tag(word).definition, address);
        EXPECT_EQ(read_tag(word).side, side_number(reinterpret_cast<std::uint64_t>(side)));
    }
    corodump_untag_v1(reinterpret_cast<std::uintptr_t>(slot) | detail::tag_slot);
}

}  // namespace
}  // namespace corodump::sources
