// The profile in a dump: written, read, checked.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/format/dump_reader.hpp"
#include "agent/format/dump_writer.hpp"
#include "agent/model/profile.hpp"
#include "sinks.hpp"
#include "tests/golden/golden.hpp"

namespace corodump::format {
namespace {

using test::golden;
using test::with;

class named_places final : public model::details {
public:
    model::location where(std::uint64_t key) override {
        if (key == 1) return {"orderd::session", "/src/orderd.cpp", 42, false};
        if (key == 2) return {"asio::entry", "/usr/include/asio.hpp", 7, true};
        return {};
    }
    std::span<const model::local> locals(const model::frame&) override { return {}; }
    model::leaf awaited(const model::frame&) override { return {}; }
    model::side given(const model::frame&) override { return {}; }
};

constexpr model::profile_counts some{.calls = 2,
                                     .resumes = 3,
                                     .running_ns = 1'500'000'042,
                                     .cpu_ns = -1,
                                     .suspended_ns = 7,
                                     .longest_ns = 1'000'000'000,
                                     .live = 1};

std::string written_by(const model::snapshot& all) {
    std::vector<std::byte> workspace(dump_writer::min_workspace_bytes);
    testing_sinks::string_sink sink;
    EXPECT_TRUE(dump_writer(workspace, sink).write(all).whole);
    return sink.text;
}

read_result read(const std::string& text) {
    memory_source source(text);
    return read_dump(source, {});
}

std::string told(const std::string& text) {
    memory_source source(text);
    std::string all;
    for (const problem& one : check_dump(source, {}).problems)
        all += one.pointer + ": " + one.text + '\n';
    return all;
}

TEST(DumpWriter, WritesTheProfile) {
    const model::profile_function functions[] = {{1, some}, {2, {}}, {3, {}}};
    const model::profile_chain chains[] = {{.function = 1, .counts = {}},
                                           {.function = 0, .parent = 0, .counts = some},
                                           {.function = 2, .cut = true, .counts = {}}};
    const model::profile all{.session = 3,
                             .running = true,
                             .clock = "wall",
                             .seconds = 12.5,
                             .functions = functions,
                             .chains = chains,
                             .dropped_resumes = 9};
    named_places places;
    model::snapshot snapshot;
    snapshot.details = &places;
    snapshot.profile = &all;
    const auto json = nlohmann::ordered_json::parse(written_by(snapshot))["profile"];
    EXPECT_EQ(json["session"], 3);
    EXPECT_EQ(json["clock"], "wall");
    EXPECT_EQ(json["seconds"], 12.5);
    EXPECT_EQ(json["dropped_resumes"], 9);
    EXPECT_EQ(json["functions"][0].dump(),
              R"({"function":"orderd::session","file":"/src/orderd.cpp","line":42,"calls":2,)"
              R"("resumes":3,"running_seconds":1.500000042,"cpu_seconds":null,)"
              R"("suspended_seconds":7e-09,"longest_run_seconds":1.0,"live":1})");
    EXPECT_EQ(json["functions"][1]["library"], true);
    EXPECT_TRUE(json["functions"][2]["function"].is_null());
    EXPECT_TRUE(json["chains"][0]["parent"].is_null());
    EXPECT_EQ(json["chains"][1]["parent"], 0);
    EXPECT_FALSE(json["chains"][1].contains("cut"));
    EXPECT_EQ(json["chains"][2]["cut"], true);
    snapshot.profile = nullptr;
    EXPECT_FALSE(nlohmann::json::parse(written_by(snapshot)).contains("profile"));
}

TEST(DumpReader, ReadsTheProfile) {
    const read_result got = read(golden("profile"));
    ASSERT_FALSE(got.error);
    const profile& all = got.dump.profile;
    EXPECT_TRUE(all.there && all.running && all.clock == "cpu");
    EXPECT_EQ(all.session, 1U);
    EXPECT_NEAR(all.seconds.value_or(0), 0.608, 1e-9);
    ASSERT_EQ(all.functions.size(), 9U);
    EXPECT_TRUE(all.functions[0].where->library);
    EXPECT_TRUE(all.functions[5].where->function == "orderd::price");
    EXPECT_EQ(all.functions[5].counts.resumes, 510U);
    EXPECT_NEAR(all.functions[5].counts.running.value_or(0), 0.194331932, 1e-12);
    ASSERT_EQ(all.chains.size(), 11U);
    EXPECT_FALSE(all.chains[0].parent);
    EXPECT_EQ(all.chains[9].parent, 7U);
    EXPECT_EQ(all.chains[9].function, 6U);
    EXPECT_FALSE(read(golden("loops")).dump.profile.there);
}

TEST(DumpReader, FollowsNoChainOfAProfileForward) {
    const std::string text =
        with(golden("profile"), R"({"function":2,"parent":0,)", R"({"function":2,"parent":2,)");
    const read_result got = read(text);
    ASSERT_TRUE(got.error);
    EXPECT_NE(got.error->pointer.find("/profile/chains/2/parent"), std::string::npos);
    EXPECT_TRUE(read(with(golden("profile"), R"({"function":2,"parent":0,)",
                          R"({"function":9,"parent":0,)"))
                    .error);
}

TEST(DumpCheck, FindsWhatIsWrongWithAProfile) {
    const std::string whole = golden("profile");
    EXPECT_NE(told(with(whole, R"("resumes":510)", R"("resumes":511)"))
                  .find("/profile/functions/5/resumes"),
              std::string::npos);
    EXPECT_NE(told(with(whole, R"("clock":"cpu")", R"("clock":"sun")")).find("/profile/clock"),
              std::string::npos);
    EXPECT_NE(told(with(whole, R"({"function":1,"parent":0,)", R"({"function":1,"parent":4,)"))
                  .find("/profile/chains/1/parent"),
              std::string::npos);
}

/// A newer format may say more than this reader understands, but must not lead it astray.
TEST(DumpReader, LeadsNowhereWrongInAProfileOfANewerFormat) {
    std::string text = with(golden("profile"), R"("format_version":1)", R"("format_version":2)");
    text = with(text, R"({"function":2,"parent":0,)", R"({"function":99,"parent":77,)");
    const read_result got = read(text);
    ASSERT_FALSE(got.error);
    ASSERT_EQ(got.dump.profile.chains.size(), 11U);
    for (std::size_t i = 0; i < got.dump.profile.chains.size(); ++i) {
        EXPECT_LT(got.dump.profile.chains[i].function, got.dump.profile.functions.size());
        EXPECT_LT(got.dump.profile.chains[i].parent.value_or(0), i + 1);
    }
}

}  // namespace
}  // namespace corodump::format
