// How creations are written, and what the reader makes of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/format/dump_reader.hpp"
#include "agent/format/dump_writer.hpp"
#include "agent/model/creation.hpp"
#include "tests/golden/golden.hpp"
#include "tests/unit/format/sinks.hpp"

namespace corodump::format {
namespace {

using nlohmann::json;
using test::golden;
using test::with;

/// Two tasks of one frame each, of which the first created the second.
class traced_snapshot {
public:
    traced_snapshot() {
        for (std::size_t i = 0; i < frames.size(); ++i) {
            frames[i].address = 0x7000 + i * 0x100;
            frames[i].generation = 2 * static_cast<std::uint32_t>(i) + 1;
            frames[i].activity = model::activity::not_started;
        }
        births[1] = {.creator = 0x7000, .creator_generation = 1, .creator_task = 0, .stack = 4100};
        calls[0] = {.address = 0x4005, .offset = 0x5, .function = "orderd::spawn", .module = 0};
        stacks[0] = {.id = 4100, .count = 1, .frames = calls};
        traced.mode = "all";
        traced.depth = 20;
        traced.births = 7;
        traced.of_tasks = births;
        traced.of_stacks = stacks;
        all.creation = &traced;
    }

    json write() {
        all.id = "1-2-3";
        all.frames = frames;
        all.roots = roots;
        all.modules = modules;
        testing_sinks::string_sink sink;
        std::vector<std::byte> workspace(dump_writer::min_workspace_bytes);
        EXPECT_TRUE(dump_writer(workspace, sink).write(all).whole);
        return json::parse(sink.text);
    }

    std::array<model::frame, 2> frames;
    std::array<std::uint32_t, 2> roots{0, 1};
    std::array<model::birth, 2> births;
    std::array<model::native_frame, 20> calls;
    std::array<model::creation_stack, 1> stacks;
    std::array<model::module, 1> modules{{{"/usr/bin/orderd", "ab", 0x4000, 0x5000}}};
    model::creation traced;
    model::snapshot all;
};

TEST(CreationWriter, SaysWhoCreatedATaskAndOnWhichStack) {
    const json written = traced_snapshot().write();
    EXPECT_EQ(written["tasks"][1]["created"]["by"], written["tasks"][0]["id"]);
    EXPECT_EQ(written["tasks"][1]["created"]["stack"], 4100);
    EXPECT_TRUE(written["tasks"][0]["created"]["by"].is_null());
    EXPECT_TRUE(written["tasks"][0]["created"]["stack"].is_null());
    EXPECT_EQ(written["creation_stacks"][0]["id"], 4100);
    EXPECT_EQ(written["creation_stacks"][0]["frames"][0]["function"], "orderd::spawn");
    EXPECT_EQ(written["creation_stacks"][0]["frames"][0]["module"], "/usr/bin/orderd");
    EXPECT_EQ(written["creation"]["births"], 7);
    EXPECT_TRUE(written["creation"]["budget_percent"].is_null());
}

TEST(CreationWriter, GivesTheOwnIdOfACreatorThatIsGone) {
    traced_snapshot of;
    of.births[1] = {.creator = 0x9000, .creator_generation = 5};
    EXPECT_EQ(of.write()["tasks"][1]["created"]["by"], "9000.5");
}

TEST(CreationWriter, LeavesOutWhatIsNotTraced) {
    traced_snapshot of;
    of.all.creation = nullptr;
    const json nothing = of.write();
    EXPECT_FALSE(nothing.contains("creation"));
    EXPECT_FALSE(nothing.contains("creation_stacks"));
    EXPECT_FALSE(nothing["tasks"][1]["created"].contains("stack"));
    EXPECT_TRUE(nothing["tasks"][1]["created"]["by"].is_null());
    of.all.creation = &of.traced;
    of.traced.mode = "creators";
    of.traced.depth = 0;
    const json creators = of.write();
    EXPECT_FALSE(creators.contains("creation_stacks"));
    EXPECT_FALSE(creators["tasks"][1]["created"].contains("stack"));
    EXPECT_FALSE(creators["creation"].contains("stacks_taken"));
}

TEST(CreationWriter, CountsStacksThatWouldTakeTheFileOverItsLimit) {
    traced_snapshot of;
    of.all.limits.bytes = 9000;
    const json written = of.write();
    EXPECT_TRUE(written["creation_stacks"].empty());
    EXPECT_EQ(written["creation"]["stacks_left_out"], 1);
}

read_result read(std::string_view text) {
    memory_source source(text);
    return read_dump(source, {default_max_bytes});
}

std::string told(std::string_view text) {
    memory_source source(text);
    std::string all;
    for (const problem& p : check_dump(source).problems) all += p.pointer + ": " + p.text + '\n';
    return all;
}

TEST(CreationReader, ReadsCreatorsAndStacks) {
    const read_result got = read(golden("creation"));
    ASSERT_FALSE(got.error);
    EXPECT_EQ(got.dump.creation.mode, "all");
    EXPECT_EQ(got.dump.creation.births, 6U);
    ASSERT_EQ(got.dump.creation_stacks.size(), 4U);
    const creation_stack& shared = got.dump.creation_stacks[0];
    EXPECT_EQ(shared.count, 2U);
    EXPECT_EQ(shared.frames.at(1).function, "orderd::settle_later");
    EXPECT_EQ(std::ranges::count(got.dump.tasks, shared.id, &task::created_stack), 2);
    EXPECT_EQ(told(golden("creation")), "");
}

TEST(CreationReader, TakesDumpsWithoutThem) {
    const read_result got = read(golden("threads"));
    ASSERT_FALSE(got.error);
    EXPECT_FALSE(got.dump.creation.mode);
    EXPECT_TRUE(got.dump.creation_stacks.empty());
}

TEST(CreationReader, FindsFaults) {
    const std::string whole = golden("creation");
    EXPECT_NE(told(with(whole, R"("mode":"all")", R"("mode":"some")")).find("/creation/mode"),
              std::string::npos);
    EXPECT_NE(told(with(whole, R"(,"count":2,)", R"(,"count":3,)")).find("tasks created on it"),
              std::string::npos);
    EXPECT_NE(told(with(whole, R"("stack":4096})", R"("stack":9})"))
                  .find("has no stack 9, on which a task was created"),
              std::string::npos);
    EXPECT_NE(told(with(whole, R"("distinct_stacks":6,)", "")).find("/creation"),
              std::string::npos);
}

}  // namespace
}  // namespace corodump::format
