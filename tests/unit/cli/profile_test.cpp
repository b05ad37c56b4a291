// `corodump profile`, over the golden dump and dumps made from it.
#include "agent/cli/profile.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "agent/cli/exit_code.hpp"
#include "agent/cli/profile_exports.hpp"
#include "agent/cli/profile_report.hpp"
#include "agent/cli/show.hpp"
#include "tests/golden/golden.hpp"

namespace corodump::cli {
namespace {

using nlohmann::json;
using test::golden;
using test::golden_path;
using test::with;

struct outcome {
    int code;
    std::string out, problems;
};

outcome profile(const std::string& text, profile_options options = {},
                const std::string& older = {}) {
    options.file = "new.json";
    options.against_file = "old.json";
    format::memory_source source(text), older_source(older);
    if (!older.empty()) options.against = &older_source;
    std::ostringstream out, problems;
    const int code = run_profile(source, options, out, problems);
    return {code, out.str(), problems.str()};
}

outcome profile_as(const std::string& text, const std::string& format, const std::string& by = {}) {
    profile_options options;
    options.format = format;
    options.by = by;
    return profile(text, options);
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

/// A dump whose profile is this; times in nanoseconds, of the running time only.
struct made {
    std::string functions, chains;
    int session = 1;
    std::string uptime = "0.610";

    made& function(const std::string& name, const std::string& counts) {
        functions += (functions.empty() ? "" : ",") + (R"({"function":)" + json(name).dump()) +
                     R"(,"file":"a.cpp","line":1,)" + counts + "}";
        return *this;
    }
    made& chain(int function, const std::string& parent, const std::string& counts) {
        chains += (chains.empty() ? "" : ",") + (R"({"function":)" + std::to_string(function)) +
                  R"(,"parent":)" + parent + "," + counts + "}";
        return *this;
    }
    [[nodiscard]] std::string text() const {
        json all = json::parse(golden("profile"));
        all["profile"]["session"] = session;
        all["profile"]["functions"] = json::parse("[" + functions + "]");
        all["profile"]["chains"] = json::parse("[" + chains + "]");
        all["profile"]["seconds"] = std::stod(uptime);
        all["process"]["uptime_seconds"] = std::stod(uptime);
        // The members' order is part of the format.
        nlohmann::ordered_json ordered = nlohmann::ordered_json::parse(golden("profile"));
        for (auto& [key, value] : ordered.items())
            value = nlohmann::ordered_json::parse(all[key].dump());
        return ordered.dump();
    }
};

std::string counts(int calls, int resumes, const std::string& running,
                   const std::string& suspended = "0.0") {
    return R"("calls":)" + std::to_string(calls) + R"(,"resumes":)" + std::to_string(resumes) +
           R"(,"running_seconds":)" + running + R"(,"cpu_seconds":0.0,"suspended_seconds":)" +
           suspended + R"(,"longest_run_seconds":)" + running + R"(,"live":0)";
}

TEST(ProfileTable, PutsWhatTookMostFirst) {
    const outcome got = profile(golden("profile"));
    ASSERT_EQ(got.code, exit_ok) << got.problems;
    const std::vector<std::string> lines = lines_of(got.out);
    ASSERT_EQ(lines.size(), 11U) << got.out;
    EXPECT_EQ(lines[0], "PROFILE  wall and processor time, 608ms, still running");
    EXPECT_TRUE(lines[2].ends_with("orderd::price  orderd.cpp:15")) << lines[2];
    EXPECT_NE(lines[2].find(" 194ms  44.0%    37.1ms      381us"), std::string::npos) << lines[2];
    EXPECT_TRUE(lines[3].ends_with("orderd::reload_prices  orderd.cpp:17")) << lines[3];
    const std::size_t column = lines[1].find("FUNCTION");
    EXPECT_EQ(lines[2].find("orderd::price"), column);
    EXPECT_EQ(got.out.find('\x1b'), std::string::npos) << "no colours where none are wanted";
    profile_options coloured;
    coloured.colours = true;
    EXPECT_NE(profile(golden("profile"), coloured).out.find('\x1b'), std::string::npos);
}

TEST(ProfileTable, SortsByWhatIsAskedFor) {
    EXPECT_TRUE(lines_of(profile_as(golden("profile"), "text", "waiting").out)[2].find(
                    "orderd::sleep_for") != std::string::npos);
    EXPECT_TRUE(lines_of(profile_as(golden("profile"), "text", "cpu").out)[2].find(
                    "orderd::price") != std::string::npos);
    profile_options options;
    options.top = 2;
    const outcome got = profile(golden("profile"), options);
    EXPECT_EQ(lines_of(got.out).size(), 5U) << got.out;
    EXPECT_TRUE(got.out.ends_with("7 more functions not shown\n")) << got.out;
}

TEST(ProfileTable, SaysWhatWasNotMeasured) {
    const std::string wall = with(golden("profile"), R"("clock":"cpu")", R"("clock":"wall")");
    EXPECT_EQ(profile(wall).out.find("CPU"), std::string::npos);
    const outcome refused = profile_as(wall, "text", "cpu");
    EXPECT_EQ(refused.code, exit_problem);
    EXPECT_NE(refused.problems.find("not measured"), std::string::npos) << refused.problems;
    const std::string off = with(golden("profile"), R"("clock":"cpu")", R"("clock":"off")");
    const outcome counted = profile(off);
    EXPECT_NE(lines_of(counted.out)[2].find("orderd::sleep_for"), std::string::npos)
        << "by resumes: " << counted.out;
    EXPECT_NE(lines_of(counted.out)[0].find("counts only"), std::string::npos);
}

TEST(ProfileTable, IsAPartOfShow) {
    const std::string text = golden("profile");
    format::memory_source source(text);
    std::ostringstream out, problems;
    ASSERT_EQ(run_show(source, show_options{}, out, problems), exit_ok) << problems.str();
    EXPECT_NE(out.str().find("\nPROFILE  "), std::string::npos) << out.str();
}

TEST(ProfileTable, WritesTimesThatPeopleRead) {
    EXPECT_EQ(human_time(0), "0ns");
    EXPECT_EQ(human_time(999), "999ns");
    EXPECT_EQ(human_time(1'234), "1.23us");
    EXPECT_EQ(human_time(45'678'000), "45.7ms");
    EXPECT_EQ(human_time(1'500'000'000), "1.50s");
    EXPECT_EQ(human_time(125'000'000'000), "2m 05s");
}

TEST(Profile, SaysThatThereIsNone) {
    const outcome got = profile(golden("loops"));
    EXPECT_EQ(got.code, exit_problem);
    EXPECT_TRUE(got.problems.starts_with("corodump: new.json: has no profile")) << got.problems;
    EXPECT_EQ(profile("{}").code, exit_unreadable);
}

TEST(ProfileFolded, HasALineForEachChainThatTookTime) {
    const outcome got = profile_as(golden("profile"), "folded");
    ASSERT_EQ(got.code, exit_ok) << got.problems;
    EXPECT_NE(got.out.find("boost::asio::detail::co_spawn_entry_point;orderd::session;"
                           "orderd::price;orderd::query 8995\n"),
              std::string::npos)
        << got.out;
    for (const std::string& line : lines_of(got.out))
        EXPECT_EQ(std::ranges::count(line, ' '), 1) << line;
}

TEST(ProfileFolded, CleansNamesAndMarksWhatIsCut) {
    made dump;
    dump.function("a b;c<int, long>", counts(1, 1, "0.002"));
    dump.chain(0, "null", R"("cut":true,)" + counts(1, 1, "0.002"));
    EXPECT_EQ(profile_as(dump.text(), "folded").out, "(...);a_b:c<int,long> 2000\n");
}

TEST(ProfileFolded, CountsATimeOfWaitingOnce) {
    made dump;
    dump.function("outer", counts(1, 2, "0.001", "0.100"));
    dump.function("inner", counts(1, 2, "0.010", "0.070"));
    dump.chain(0, "null", counts(1, 2, "0.001", "0.100"));
    dump.chain(1, "0", counts(1, 2, "0.010", "0.070"));
    const std::string expected = "outer 20000\nouter;inner 70000\n";
    EXPECT_EQ(profile_as(dump.text(), "folded", "waiting").out, expected);
    EXPECT_EQ(profile_as(dump.text(), "folded", "suspended").out, expected);
}

TEST(ProfileSpeedscope, IsWhatItsSchemaAsksFor) {
    const outcome got = profile_as(golden("profile"), "speedscope");
    ASSERT_EQ(got.code, exit_ok) << got.problems;
    const json all = json::parse(got.out);
    EXPECT_EQ(all["$schema"], "https://www.speedscope.app/file-format-schema.json");
    const std::size_t frames = all["shared"]["frames"].size();
    EXPECT_EQ(frames, 9U);
    for (const json& frame : all["shared"]["frames"]) EXPECT_TRUE(frame["name"].is_string());
    std::vector<std::string> names;
    for (const json& one : all["profiles"]) {
        names.push_back(one["name"]);
        EXPECT_EQ(one["type"], "sampled");
        EXPECT_EQ(one["unit"], one["name"] == "resumes" ? "none" : "nanoseconds");
        ASSERT_EQ(one["samples"].size(), one["weights"].size());
        for (const json& sample : one["samples"]) {
            EXPECT_FALSE(sample.empty());
            for (const json& frame : sample) EXPECT_LT(frame.get<std::size_t>(), frames);
        }
        const auto whole = std::accumulate(
            one["weights"].begin(), one["weights"].end(), std::uint64_t{0},
            [](std::uint64_t sum, const json& w) { return sum + w.get<std::uint64_t>(); });
        EXPECT_EQ(one["startValue"], 0);
        EXPECT_EQ(one["endValue"], whole);
    }
    EXPECT_EQ(names, (std::vector<std::string>{"running", "cpu", "waiting", "resumes"}));
    EXPECT_EQ(all["profiles"][0]["endValue"], 441'928'203) << "all of the running time";
}

TEST(ProfileJson, AddsUpChains) {
    const json all = json::parse(profile_as(golden("profile"), "json").out);
    EXPECT_EQ(all["functions"].size(), 9U);
    EXPECT_EQ(all["chains"][0]["with_children"]["running_ns"], 441'928'203);
    EXPECT_EQ(all["chains"][0]["own"]["running_ns"], 6'518'041);
    EXPECT_EQ(all["chains"][9]["parent"], 7);
    EXPECT_TRUE(
        json::parse(
            profile_as(with(golden("profile"), R"("clock":"cpu")", R"("clock":"wall")"), "json")
                .out)["functions"][0]["cpu_ns"]
            .is_null());
}

TEST(ProfileCallgrind, NamesAFunctionInsideOfItselfAsAnother) {
    made dump;
    dump.function("walk", counts(3, 3, "0.000006"));
    dump.chain(0, "null", counts(1, 1, "0.000003"));
    dump.chain(0, "0", counts(1, 1, "0.000002"));
    dump.chain(0, "1", counts(1, 1, "0.000001"));
    const std::string out = profile_as(dump.text(), "callgrind").out;
    EXPECT_NE(out.find("fn=walk\n1 3000 0 0 1\ncfi=a.cpp\ncfn=walk'2\ncalls=1 1\n1 3000 0 0 2\n"),
              std::string::npos)
        << out;
    EXPECT_NE(out.find("fn=walk'3\n1 1000 0 0 1\n"), std::string::npos) << out;
}

/// Valgrind's own reader has the last word, where it is installed.
TEST(ProfileCallgrind, IsReadByCallgrindAnnotate) {
    const std::string path =
        ::testing::TempDir() + "corodump-callgrind-" + std::to_string(::getpid());
    std::ofstream(path) << profile_as(golden("profile"), "callgrind").out;
    const std::string text = [&] {
        std::ifstream in(path);
        return std::string(std::istreambuf_iterator<char>(in), {});
    }();
    EXPECT_TRUE(text.starts_with("# callgrind format\nversion: 1\n"));
    EXPECT_NE(text.find("\nevents: Running Cpu Waiting Resumes\n"), std::string::npos);
    if (::access("/usr/bin/callgrind_annotate", X_OK) == 0) {
        const std::string command = "/usr/bin/callgrind_annotate --inclusive=yes " + path + " 2>&1";
        FILE* const pipe = ::popen(command.c_str(), "r");
        ASSERT_NE(pipe, nullptr);
        std::string report;
        std::array<char, 4096> part{};
        while (const std::size_t bytes = std::fread(part.data(), 1, part.size(), pipe))
            report.append(part.data(), bytes);
        EXPECT_EQ(::pclose(pipe), 0) << report;
        EXPECT_NE(report.find("441,928,203 (100.0%)"), std::string::npos) << report;
        EXPECT_NE(report.find("orderd::session"), std::string::npos) << report;
    }
    ::unlink(path.c_str());
}

TEST(ProfileAgainst, TakesAwayWhatWasBefore) {
    made then, now;
    then.uptime = "0.200";
    then.function("f", counts(1, 4, "0.010"));
    then.chain(0, "null", counts(1, 4, "0.010"));
    now.function("g", counts(1, 1, "0.005"));
    now.function("f", counts(2, 10, "0.025"));
    now.chain(1, "null", counts(2, 10, "0.025"));
    now.chain(0, "0", counts(1, 1, "0.005"));
    profile_options folded;
    folded.format = "folded";
    const outcome got = profile(now.text(), folded, then.text());
    ASSERT_EQ(got.code, exit_ok) << got.problems;
    EXPECT_EQ(got.out, "f 15000\nf;g 5000\n");
    const outcome table = profile(now.text(), {}, then.text());
    EXPECT_TRUE(table.out.starts_with("PROFILE  wall and processor time, 410ms")) << table.out;
}

TEST(ProfileAgainst, RefusesAnotherSession) {
    made then, now;
    then.uptime = "0.200";
    now.session = 2;
    for (made* one : {&then, &now})
        one->function("f", counts(1, 1, "0.1")).chain(0, "null", counts(1, 1, "0.1"));
    const outcome got = profile(now.text(), {}, then.text());
    EXPECT_EQ(got.code, exit_problem);
    EXPECT_NE(got.problems.find("old.json"), std::string::npos) << got.problems;
    now.session = 1;
    EXPECT_EQ(profile(then.text(), {}, now.text()).code, exit_problem) << "the wrong way round";
}

}  // namespace
}  // namespace corodump::cli
