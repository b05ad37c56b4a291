#include "agent/format/dump_writer.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "agent/model/loops.hpp"
#include "agent/model/resources.hpp"
#include "tests/unit/format/sinks.hpp"

namespace corodump::format {
namespace {

using nlohmann::ordered_json;
using testing_sinks::limited_sink;
using testing_sinks::string_sink;

/// Answers from tables, and hands out copies that it overwrites in the next call: the writer may
/// not use a view longer than the model promises.
class table_details final : public model::details {
public:
    model::location where(std::uint64_t key) override {
        ++calls;
        function_.assign(function_.size(), '!');
        file_.assign(file_.size(), '!');
        const auto found = places.find(key);
        if (found == places.end()) return {};
        function_ = found->second.function;
        file_ = found->second.file;
        return {function_, file_, found->second.line, found->second.library};
    }
    std::span<const model::local> locals(const model::frame& frame) override {
        ++calls;
        const auto found = locals_of.find(frame.address);
        return found == locals_of.end() ? std::span<const model::local>() : found->second;
    }
    model::leaf awaited(const model::frame& frame) override {
        ++calls;
        const auto found = leaves.find(frame.address);
        return found == leaves.end() ? model::leaf{} : found->second;
    }

    model::side given(const model::frame& frame) override {
        ++calls;
        given_labels_.assign(given_labels_.size(), {"stale", "stale"});
        given_name_.assign(given_name_.size(), '!');
        const auto& [name, labels, cancelled] = sides.at(frame.address);
        given_name_ = name;
        given_labels_.assign(labels.begin(), labels.end());
        return {given_name_, given_labels_, cancelled};
    }

    std::span<const model::label> bound(std::span<const model::frame* const> chain) override {
        const auto found = bound_in.find(chain.back()->address);
        bound_labels_.assign(bound_labels_.size(), {"stale", "stale"});
        if (found == bound_in.end()) return {};
        bound_labels_ = found->second;
        return bound_labels_;
    }

    std::map<std::uint64_t, model::side> sides;
    std::map<std::uint64_t, std::vector<model::label>> bound_in;
    std::map<std::uint64_t, model::location> places;
    std::map<std::uint64_t, std::vector<model::local>> locals_of;
    std::map<std::uint64_t, model::leaf> leaves;
    std::size_t calls = 0;

private:
    std::string function_, file_, given_name_;
    std::vector<model::label> given_labels_, bound_labels_;
};

model::leaf leaf_on(std::string_view awaitable) {
    model::leaf leaf;
    leaf.awaitable = awaitable;
    return leaf;
}

model::side side_with(std::string_view name, std::span<const model::label> labels = {},
                      bool cancelled = false) {
    return {name, labels, cancelled};
}

/// A small service: `world.chain(3)` adds a task of three suspended frames.
class world {
public:
    world() {
        all.id = "4242-1234567-1";
        all.trigger = {.kind = "signal", .signal = 10};
        all.time_unix_ns = 1'795'345'152'345'678'901;
        all.now_tick = 1000;
        all.process.comm = "orderd";
    }

    std::uint32_t frame() {
        const auto index = static_cast<std::uint32_t>(frames.size());
        model::frame& made = frames.emplace_back();
        made.address = 0x7f12a4003040 + index * 0x100;
        made.generation = index + 1;
        made.resumes = 2;
        made.created_tick = 500;
        made.suspended_tick = 750;
        made.thread = 4243;
        made.site = 0x1000 + index;
        made.definition = 0x2000 + index;
        made.awaiter = made.address + 0x20;
        made.activity = model::activity::suspended;
        return index;
    }
    /// The index of the root.
    std::uint32_t chain(std::size_t depth) {
        const std::uint32_t root = frame();
        for (std::uint32_t parent = root; --depth > 0;) {
            const std::uint32_t child = frame();
            frames[parent].first_child = child;
            frames[child].parent = parent;
            parent = child;
        }
        roots.push_back(root);
        return root;
    }
    void give(std::uint32_t index, model::side given) {
        frames[index].side = 0;
        details.sides[frames[index].address] = given;
    }
    void join(std::uint32_t leaf, std::uint32_t child) {
        frames[child].parent = leaf;
        frames[child].root = true;
        frames[child].next_sibling = frames[leaf].first_child;
        frames[leaf].first_child = child;
    }
    [[nodiscard]] std::string id(std::uint32_t index) const {
        std::array<char, 64> text;
        std::snprintf(text.data(), text.size(), "%lx.%u", frames[index].address,
                      frames[index].generation);
        return text.data();
    }

    const model::snapshot& snapshot() {
        all.frames = frames;
        all.roots = roots;
        all.details = &details;
        return all;
    }

    written write_to(byte_sink& sink) {
        std::vector<std::byte> workspace(workspace_bytes);
        return dump_writer(workspace, sink).write(snapshot());
    }
    std::string text() {
        string_sink sink;
        outcome = write_to(sink);
        EXPECT_TRUE(outcome.whole);
        EXPECT_EQ(outcome.bytes, sink.text.size());
        return sink.text;
    }
    /// Parsing throws, and so fails the test, where the text is not JSON.
    ordered_json json() { return ordered_json::parse(text()); }
    ordered_json task(std::size_t at = 0) { return json()["tasks"].at(at); }

    std::vector<model::frame> frames;
    std::vector<std::uint32_t> roots;
    table_details details;
    model::snapshot all;
    written outcome;
    std::size_t workspace_bytes = dump_writer::min_workspace_bytes;
};

std::vector<std::string> members_of(const ordered_json& object) {
    std::vector<std::string> names;
    for (const auto& [name, value] : object.items()) names.push_back(name);
    return names;
}

using names = std::vector<std::string>;

TEST(DumpWriter, WritesTheMembersInTheOrderOfTheFormat) {
    world w;
    w.chain(1);
    const ordered_json json = w.json();
    EXPECT_EQ(members_of(json), (names{"format", "format_version", "dump", "process", "verdicts",
                                       "summary", "groups", "tasks", "modules"}));
    EXPECT_EQ(json["format"], "corodump");
    EXPECT_EQ(json["format_version"], 1);
    EXPECT_EQ(members_of(json["dump"]),
              (names{"id", "trigger", "time", "duration_us", "complete", "warnings", "counts"}));
    EXPECT_EQ(members_of(json["dump"]["counts"]),
              (names{"tasks", "frames", "dropped", "torn", "unreadable", "untracked", "cut"}));
    EXPECT_EQ(
        members_of(json["process"]),
        (names{"pid", "comm", "exe", "build_id", "hostname", "uid", "cgroup", "start_time",
               "uptime_seconds", "threads", "rss_bytes", "open_fds", "fd_limit", "agent_version"}));
    EXPECT_EQ(members_of(json["summary"]),
              (names{"by_state", "by_activity", "by_await_site", "by_object", "other_await_sites",
                     "other_objects", "other_groups_tasks"}));
    EXPECT_EQ(members_of(json["tasks"][0]),
              (names{"id", "name", "state", "activity", "cancelled", "age_seconds",
                     "suspended_seconds", "resumes", "thread", "created", "await_chain"}));
}

TEST(DumpWriter, WritesEachTaskOnALineOfItsOwn) {
    world w;
    for (int task = 0; task < 5; ++task) w.chain(3);
    const std::string text = w.text();
    EXPECT_TRUE(text.ends_with("}\n"));
    for (const std::uint32_t root : w.roots) {
        const std::size_t begin = text.find("{\"id\":\"" + w.id(root) + "\"");
        ASSERT_NE(begin, std::string::npos);
        EXPECT_EQ(text[begin - 1], '\n');
        std::string line = text.substr(begin, text.find('\n', begin) - begin);
        if (line.ends_with(',')) line.pop_back();
        EXPECT_EQ(ordered_json::parse(line)["await_chain"].size(), 3U);
    }
}

TEST(DumpWriter, WritesAnEmptySnapshot) {
    model::snapshot nothing;
    std::vector<std::byte> workspace(dump_writer::min_workspace_bytes);
    string_sink sink;
    EXPECT_TRUE(dump_writer(workspace, sink).write(nothing).whole);
    const ordered_json json = ordered_json::parse(sink.text);
    for (const char* array : {"verdicts", "groups", "tasks", "modules"})
        EXPECT_EQ(json[array], ordered_json::array()) << array;
}

TEST(DumpWriter, TellsAboutTheDump) {
    world w;
    w.all.trigger = {
        .kind = "signal", .signal = 10, .sender_pid = 77, .sender_uid = 0, .merged = 2};
    w.all.duration_us = 1234;
    const std::string_view warnings[] = {"first \"warning\"", "second"};
    w.all.warnings = warnings;
    w.all.counts = {.tasks = 1,
                    .frames = 2,
                    .dropped = 3,
                    .torn = 4,
                    .unreadable = 5,
                    .untracked = 6,
                    .cut = 7};
    const ordered_json dump = w.json()["dump"];
    EXPECT_EQ(dump, ordered_json::parse(R"({
        "id": "4242-1234567-1",
        "trigger": {"kind": "signal", "signal": 10, "sender_pid": 77, "sender_uid": 0, "merged": 2},
        "time": "2026-11-22T10:59:12.345Z", "duration_us": 1234, "complete": false,
        "warnings": ["first \"warning\"", "second"],
        "counts": {"tasks": 1, "frames": 2, "dropped": 3, "torn": 4, "unreadable": 5,
                   "untracked": 6, "cut": 7}})"));
}

TEST(DumpWriter, LeavesTheSenderOutForTheApi) {
    world w;
    w.all.trigger = {.kind = "api"};
    EXPECT_EQ(w.json()["dump"]["trigger"], ordered_json::parse(R"({"kind":"api","merged":0})"));
}

TEST(DumpWriter, WritesAnUnknownSenderAsNull) {
    world w;
    const ordered_json trigger = w.json()["dump"]["trigger"];
    EXPECT_TRUE(trigger["sender_pid"].is_null());
    EXPECT_TRUE(trigger["sender_uid"].is_null());
    EXPECT_TRUE(w.json()["dump"]["complete"]);
}

TEST(DumpWriter, DescribesTheProcess) {
    world w;
    w.all.process = {.pid = 4242,
                     .comm = "orderd",
                     .exe = "/usr/bin/orderd",
                     .build_id = "0a1b",
                     .hostname = "host",
                     .cgroup = "/system.slice",
                     .uid = 0,
                     .start_time_unix_ns = 0,
                     .uptime_seconds = 12.5,
                     .threads = 4,
                     .rss_bytes = 123456789012,
                     .open_fds = 0,
                     .fd_limit = 1024,
                     .agent_version = "0.1.0"};
    EXPECT_EQ(w.json()["process"], ordered_json::parse(R"({
        "pid": 4242, "comm": "orderd", "exe": "/usr/bin/orderd", "build_id": "0a1b",
        "hostname": "host", "uid": 0, "cgroup": "/system.slice",
        "start_time": "1970-01-01T00:00:00.000Z", "uptime_seconds": 12.5, "threads": 4,
        "rss_bytes": 123456789012, "open_fds": 0, "fd_limit": 1024, "agent_version": "0.1.0"})"));
}

TEST(DumpWriter, WritesWhatTheKernelWouldNotTellAsNull) {
    world w;
    w.all.process = {};
    const ordered_json process = w.json()["process"];
    for (const auto& [name, value] : process.items())
        if (name != "pid") {
            EXPECT_TRUE(value.is_null()) << name;
        }
}

TEST(DumpWriter, WritesATask) {
    world w;
    const std::uint32_t root = w.chain(2);
    w.details.places[0x1000] = {"serve", "serve.cpp", 11, false};
    w.details.places[0x1001] = {"pool::acquire", "pool.cpp", 22, false};
    w.details.places[0x2000] = {"serve", "serve.cpp", 5, false};
    w.details.leaves[w.frames[1].address] = leaf_on("pool::acquire_awaiter");
    w.frames[root].state = model::task_state::cancelled;
    EXPECT_EQ(w.task(), ordered_json::parse(R"({
        "id": "7f12a4003040.1", "name": null, "state": "cancelled", "activity": "suspended",
        "cancelled": false, "age_seconds": 4.0, "suspended_seconds": 2.0, "resumes": 2,
        "thread": 4243,
        "created": {"location": {"function": "serve", "file": "serve.cpp", "line": 5}, "by": null},
        "await_chain": [
            {"function": "serve", "file": "serve.cpp", "line": 11, "address": "7f12a4003040"},
            {"function": "pool::acquire", "file": "pool.cpp", "line": 22,
             "address": "7f12a4003140"},
            {"awaitable": "pool::acquire_awaiter", "object": "7f12a4003160"}]})"));
    EXPECT_EQ(w.outcome.tasks, 1U);
    EXPECT_EQ(w.outcome.omitted, 0U);
}

TEST(DumpWriter, TakesStateFromTheRootAndActivityFromTheLeaf) {
    world w;
    w.chain(2);
    w.frames[0].state = model::task_state::failed;
    w.frames[0].resumes = 1;
    w.frames[1].activity = model::activity::running;
    w.frames[1].resumes = 0x80000000U;
    w.frames[1].thread = 7;
    const ordered_json task = w.task();
    EXPECT_EQ(task["state"], "failed");
    EXPECT_EQ(task["activity"], "running");
    EXPECT_EQ(task["resumes"], 0x80000000U);
    EXPECT_EQ(task["thread"], 7);
}

TEST(DumpWriter, NamesEveryStateAndActivity) {
    for (unsigned state = 0; state < 4; ++state) {
        for (unsigned activity = 0; activity < 4; ++activity) {
            world w;
            w.chain(1);
            w.frames[0].state = static_cast<model::task_state>(state);
            w.frames[0].activity = static_cast<model::activity>(activity);
            const ordered_json task = w.task();
            EXPECT_EQ(task["state"], name_of(w.frames[0].state));
            EXPECT_EQ(task["activity"], name_of(w.frames[0].activity));
        }
    }
}

TEST(DumpWriter, WritesAgesInTicksOfEightMilliseconds) {
    world w;
    w.chain(1);
    w.frames[0].created_tick = 1;
    w.frames[0].suspended_tick = 999;
    EXPECT_EQ(w.task()["age_seconds"], 7.992);
    EXPECT_EQ(w.task()["suspended_seconds"], 0.008);
}

TEST(DumpWriter, WritesUnknownAgesAsNull) {
    world w;
    w.chain(1);
    w.frames[0].created_tick = 0;
    w.frames[0].suspended_tick = 0;
    w.frames[0].thread = 0;
    const ordered_json task = w.task();
    EXPECT_TRUE(task["age_seconds"].is_null());
    EXPECT_TRUE(task["suspended_seconds"].is_null());
    EXPECT_TRUE(task["thread"].is_null());
}

TEST(DumpWriter, WritesNoSuspensionForARunningTask) {
    world w;
    w.chain(1);
    w.frames[0].activity = model::activity::running;
    w.details.leaves[w.frames[0].address] = leaf_on("stale");
    EXPECT_TRUE(w.task()["suspended_seconds"].is_null());
    EXPECT_EQ(w.task()["await_chain"].size(), 1U);
}

TEST(DumpWriter, SurvivesAClockThatMovedOnOrWrapped) {
    world w;
    w.chain(1);
    w.frames[0].created_tick = w.all.now_tick + 100;
    EXPECT_EQ(w.task()["age_seconds"], 0.0);
    w.all.now_tick = 5;
    w.frames[0].created_tick = 0xfff00000U;
    EXPECT_EQ(w.task()["age_seconds"], 8388.648);  // 0x100005 ticks
}

TEST(DumpWriter, KnowsNoAgesWithoutAClock) {
    for (const double tick : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(),
                              std::numeric_limits<double>::infinity()}) {
        world w;
        w.chain(1);
        w.all.seconds_per_tick = tick;
        EXPECT_TRUE(w.task()["age_seconds"].is_null());
    }
}

TEST(DumpWriter, WritesUnknownPlacesAsNull) {
    world w;
    w.chain(1);
    const ordered_json frame = w.task()["await_chain"][0];
    EXPECT_TRUE(frame["function"].is_null());
    EXPECT_TRUE(frame["file"].is_null());
    EXPECT_TRUE(frame["line"].is_null());
}

TEST(DumpWriter, ShowsAFrameThatNeverSuspendedAtItsDefinition) {
    world w;
    w.chain(1);
    w.frames[0].site = 0;
    w.details.places[0x2000] = {"serve", "serve.cpp", 5, false};
    EXPECT_EQ(w.task()["await_chain"][0]["line"], 5);
}

TEST(DumpWriter, TakesAMissingFunctionNameFromTheDefinition) {
    world w;
    w.chain(1);
    w.details.places[0x1000] = {"", "serve.cpp", 11, true};
    w.details.places[0x2000] = {"serve", "other.cpp", 5, false};
    const ordered_json frame = w.task()["await_chain"][0];
    EXPECT_EQ(frame["function"], "serve");
    EXPECT_EQ(frame["file"], "serve.cpp");
    EXPECT_EQ(frame["line"], 11);
    EXPECT_EQ(frame["library"], true);
}

TEST(DumpWriter, MarksLibraryFramesOnly) {
    world w;
    w.chain(3);
    w.details.places[0x1000] = {"library::by_place", "x.hpp", 1, true};
    w.frames[1].library = true;
    const ordered_json chain = w.task()["await_chain"];
    EXPECT_EQ(chain[0]["library"], true);
    EXPECT_EQ(chain[1]["library"], true);
    EXPECT_FALSE(chain[2].contains("library"));
    EXPECT_EQ(members_of(chain[0]), (names{"function", "file", "line", "address", "library"}));
}

TEST(DumpWriter, WritesTheSamePlaceFromTheCacheAndWithout) {
    world w;
    const std::string long_name(3000, 'f');  // too long for the cache
    for (int task = 0; task < 4; ++task) {
        w.chain(1);
        w.frames.back().site = task % 2 == 0 ? 0x10 : 0x20;
    }
    w.details.places[0x10] = {"a \"quoted\" function", "a.cpp", 1, true};
    w.details.places[0x20] = {long_name, "b.cpp", 2, false};
    const ordered_json tasks = w.json()["tasks"];
    for (const std::size_t task : {0U, 2U}) {
        EXPECT_EQ(tasks[task]["await_chain"][0]["function"], "a \"quoted\" function");
        EXPECT_EQ(tasks[task]["await_chain"][0]["library"], true);
        EXPECT_EQ(tasks[task + 1]["await_chain"][0]["function"], long_name);
    }
}

TEST(DumpWriter, WritesMorePlacesThanTheCacheHolds) {
    world w;
    std::vector<std::string> functions;
    for (int task = 0; task < 2000; ++task)
        functions.push_back("function_" + std::to_string(task) + std::string(200, '.'));
    for (std::uint32_t task = 0; task < 2000; ++task) {
        w.chain(1);
        w.details.places[0x1000 + task] = {functions[task], "f.cpp", task + 1, false};
        w.frames[task].definition = 0;
    }
    const ordered_json tasks = w.json()["tasks"];
    for (std::size_t task = 0; task < 2000; ++task) {
        EXPECT_EQ(tasks[task]["await_chain"][0]["function"], functions[task]);
        EXPECT_EQ(tasks[task]["await_chain"][0]["line"], task + 1);
    }
}

TEST(DumpWriter, AsksForAPlaceOncePerDump) {
    world w;
    for (int task = 0; task < 1000; ++task) {
        w.chain(1);
        w.frames.back().site = 0x10;
        w.frames.back().definition = 0x20;
    }
    w.details.places[0x10] = {"f", "f.cpp", 1, false};
    (void)w.text();
    EXPECT_EQ(w.details.calls, 2 + 2 * 1000U);  // two places; locals and leaf of each task
}

TEST(DumpWriter, WritesNameLabelsAndCancellation) {
    world w;
    const model::label labels[] = {{"tenant", "acme"}, {"route", "/orders"}};
    w.chain(1);
    w.give(0, {.name = "session 7", .labels = labels, .cancelled = true});
    const ordered_json task = w.task();
    EXPECT_EQ(task["name"], "session 7");
    EXPECT_EQ(task["cancelled"], true);
    EXPECT_EQ(task["labels"], ordered_json::parse(R"({"tenant":"acme","route":"/orders"})"));
    EXPECT_EQ(members_of(task), (names{"id", "name", "state", "activity", "cancelled",
                                       "age_seconds", "suspended_seconds", "resumes", "thread",
                                       "labels", "created", "await_chain"}));
}

TEST(DumpWriter, TakesTheOutermostNameOfAChain) {
    world w;
    w.chain(4);
    w.give(0, side_with(""));
    w.give(2, side_with("named inside"));
    w.give(3, side_with("innermost", {}, true));
    EXPECT_EQ(w.task()["name"], "named inside");
    EXPECT_EQ(w.task()["cancelled"], true);
}

TEST(DumpWriter, MergesLabelsAndKeepsTheInnerValue) {
    world w;
    const model::label outer[] = {{"tenant", "acme"}, {"stage", "parse"}};
    const model::label inner[] = {{"stage", "query"}, {"table", "orders"}};
    w.chain(3);
    w.give(0, {.name = {}, .labels = outer});
    w.give(2, {.name = {}, .labels = inner});
    EXPECT_EQ(w.task()["labels"].dump(), R"({"tenant":"acme","stage":"query","table":"orders"})");
}

TEST(DumpWriter, ShowsWhatIsBoundInTheInnermostFrameWhereNoLabelOfTheNameWasGiven) {
    world w;
    const model::label by_hand[] = {{"tenant", "by hand"}};
    w.chain(3);
    w.give(1, {.name = {}, .labels = by_hand});
    w.details.bound_in[w.frames[2].address] = {
        {"tenant", "bound"}, {"request_id", "first"}, {"step", "2"}, {"request_id", "last"}};
    EXPECT_EQ(w.task()["labels"].dump(), R"({"tenant":"by hand","request_id":"last","step":"2"})");
}

TEST(DumpWriter, AsksOnceForWhatOneFrameWasGiven) {
    world w;
    const model::label labels[] = {{"tenant", "acme"}, {"route", "/orders"}};
    w.chain(3);
    const std::size_t calls_without = (void(w.text()), w.details.calls);
    w.give(1, side_with("session 7", labels));
    w.details.calls = 0;
    (void)w.text();
    EXPECT_EQ(w.details.calls, calls_without + 1);
}

TEST(DumpWriter, CountsLabelsOverTheirBound) {
    world w;
    std::vector<std::string> texts;
    for (int label = 0; label < 70; ++label) texts.push_back("label " + std::to_string(label));
    std::vector<model::label> labels;
    for (const std::string& text : texts) labels.push_back({text, text});
    w.chain(1);
    w.give(0, {.name = {}, .labels = labels});
    EXPECT_EQ(w.task()["labels"].size(), 64U);
    EXPECT_EQ(w.outcome.omitted, 6U);
}

TEST(DumpWriter, WritesLocals) {
    world w;
    w.chain(1);
    w.details.locals_of[w.frames[0].address] = {
        {.name = "user", .type = "std::string", .value = "Zo\xc3\xab"},
        {.name = "count", .type = "int", .value = "-3", .literal = true},
        {.name = "ready", .type = "bool", .value = "true", .literal = true},
        {.name = "ratio", .type = "double", .value = "nan", .literal = true},
        {.name = "gone", .type = "int", .value = "5", .literal = true, .readable = false},
        {.name = "password", .type = "", .value = "hunter2", .redacted = true}};
    const ordered_json frame = w.task()["await_chain"][0];
    EXPECT_EQ(members_of(frame), (names{"function", "file", "line", "locals", "address"}));
    EXPECT_EQ(frame["locals"], ordered_json::parse(R"({
        "user": {"type": "std::string", "value": "Zo\u00eb"},
        "count": {"type": "int", "value": -3},
        "ready": {"type": "bool", "value": true},
        "ratio": {"type": "double", "value": "nan"},
        "gone": {"type": "int", "value": null},
        "password": {"type": null, "value": "<redacted>"}})"));
    EXPECT_EQ(w.text().find("hunter2"), std::string::npos);
}

TEST(DumpWriter, TellsLocalsOfOneNameApart) {
    world w;
    w.chain(1);
    w.details.locals_of[w.frames[0].address] = {
        {.name = "i", .type = "int", .value = "1", .literal = true},
        {.name = "i", .type = "int", .value = "2", .literal = true},
        {.name = "i", .type = "int", .value = "3", .literal = true}};
    const ordered_json locals = w.task()["await_chain"][0]["locals"];
    EXPECT_EQ(members_of(locals), (names{"i", "i#2", "i#3"}));
    EXPECT_EQ(locals["i#3"]["value"], 3);
}

TEST(DumpWriter, CountsLocalsOverTheirBound) {
    world w;
    w.chain(1);
    w.details.locals_of[w.frames[0].address].resize(100,
                                                    {.name = "x", .type = "int", .value = "1"});
    EXPECT_EQ(w.task()["await_chain"][0]["locals"].size(), 64U);
    EXPECT_EQ(w.outcome.omitted, 36U);
}

TEST(DumpWriter, DescribesTheObjectOfTheLeaf) {
    world w;
    const std::uint32_t holder = w.chain(2);
    const std::uint32_t waiter = w.chain(1);
    const std::uint32_t owners[] = {holder + 1, model::no_index, waiter};
    w.details.leaves[w.frames[waiter].address] = {.awaitable = "pool::acquire_awaiter",
                                                  .object = 0x55d0c0001000,
                                                  .kind = "pool",
                                                  .name = "backend",
                                                  .owners = owners,
                                                  .descriptor = 0,
                                                  .local_endpoint = "127.0.0.1:8080",
                                                  .remote_endpoint = "[::1]:9",
                                                  .has_deadline = true,
                                                  .deadline_in_seconds = -1.25};
    EXPECT_EQ(w.task(1)["await_chain"].back().dump(),
              R"({"awaitable":"pool::acquire_awaiter","object":"55d0c0001000","kind":"pool",)"
              R"("name":"backend","owners":[")" +
                  w.id(holder) + R"(",null,")" + w.id(waiter) +
                  R"("],"descriptor":0,"local_endpoint":"127.0.0.1:8080",)"
                  R"("remote_endpoint":"[::1]:9","deadline_in_seconds":-1.25})");
}

TEST(DumpWriter, LeavesOutADeadlineThatIsNoNumber) {
    world w;
    w.chain(1);
    model::leaf& leaf = w.details.leaves[w.frames[0].address] = leaf_on("a");
    leaf.has_deadline = true;
    leaf.deadline_in_seconds = std::numeric_limits<double>::quiet_NaN();
    EXPECT_EQ(members_of(w.task()["await_chain"].back()), (names{"awaitable", "object"}));
}

TEST(DumpWriter, CountsOwnersOverTheirBound) {
    world w;
    w.chain(1);
    const std::vector<std::uint32_t> owners(70, 0);
    (w.details.leaves[w.frames[0].address] = leaf_on("a")).owners = owners;
    EXPECT_EQ(w.task()["await_chain"].back()["owners"].size(), 64U);
    EXPECT_EQ(w.outcome.omitted, 6U);
}

TEST(DumpWriter, ConnectsAJoinWithItsChildren) {
    world w;
    const std::uint32_t joining = w.chain(2);
    const std::uint32_t first = w.chain(3);
    const std::uint32_t second = w.chain(1);
    w.join(joining + 1, second);
    w.join(joining + 1, first);
    const ordered_json tasks = w.json()["tasks"];
    EXPECT_EQ(tasks[0]["children"], (ordered_json{w.id(first), w.id(second)}));
    EXPECT_EQ(tasks[0]["child_count"], 2);
    EXPECT_EQ(tasks[0]["await_chain"].size(), 2U);
    EXPECT_FALSE(tasks[0].contains("awaited_by"));
    EXPECT_EQ(tasks[1]["awaited_by"], w.id(joining));
    EXPECT_EQ(tasks[2]["awaited_by"], w.id(joining));
    EXPECT_EQ(members_of(tasks[0]), (names{"id", "name", "state", "activity", "cancelled",
                                           "age_seconds", "suspended_seconds", "resumes", "thread",
                                           "created", "children", "child_count", "await_chain"}));
}

TEST(DumpWriter, ListsAtMost64ChildrenAndCountsAll) {
    world w;
    const std::uint32_t joining = w.chain(1);
    for (int child = 0; child < 200; ++child) w.join(joining, w.chain(1));
    const ordered_json task = w.task();
    EXPECT_EQ(task["children"].size(), 64U);
    EXPECT_EQ(task["child_count"], 200);
}

TEST(DumpWriter, CutsDeepChainsAndCountsTheRest) {
    world w;
    w.chain(model::max_chain_frames + 10);
    EXPECT_EQ(w.task()["await_chain"].size(), model::max_chain_frames);
    EXPECT_EQ(w.outcome.cut_frames, 10U);
}

TEST(DumpWriter, TellsWhereADeepChainLacksItsMiddle) {
    world w;
    w.chain(20);
    w.all.limits.depth = 6;
    const ordered_json task = w.task();
    EXPECT_EQ(task["cut"], 14);
    EXPECT_EQ(task["await_chain"].size(), 6U);
    EXPECT_EQ(task["await_chain"][5]["address"], w.id(19).substr(0, w.id(19).find('.')));
}

TEST(DumpWriter, LeavesOutTasksOverTheLimitAndSaysSo) {
    world w;
    for (int i = 0; i < 5; ++i) w.chain(2);
    w.all.limits.tasks = 3;
    const ordered_json all = w.json();
    EXPECT_EQ(all["tasks"].size(), 3U);
    EXPECT_EQ(all["left_out"], ordered_json::parse(R"({"tasks": 2, "reason": "max_tasks"})"));
    EXPECT_EQ(all["dump"]["complete"], false);
    EXPECT_EQ(w.outcome.left_out, 2U);
}

TEST(DumpWriter, EndsBeforeTheLimitOfBytesWhereverTheHeadIsByThen) {
    world w;
    for (int i = 0; i < 5000; ++i) w.chain(3);
    w.all.limits.bytes = std::uint64_t{1} << 20U;
    const ordered_json all = w.json();
    EXPECT_EQ(all["dump"]["complete"], false);
    EXPECT_EQ(all["left_out"]["reason"], "max_bytes");
    EXPECT_EQ(all["tasks"].size() + all["left_out"]["tasks"].get<std::size_t>(), 5000U);
    EXPECT_LE(w.outcome.bytes, w.all.limits.bytes);
    EXPECT_GT(w.outcome.bytes, w.all.limits.bytes / 2);
}

TEST(DumpWriter, EndsAtTheDeadline) {
    world w;
    for (int i = 0; i < 100; ++i) w.chain(1);
    w.all.limits.deadline_ns = 1;  // long ago
    const ordered_json all = w.json();
    EXPECT_TRUE(all["tasks"].empty());
    EXPECT_EQ(all["left_out"], ordered_json::parse(R"({"tasks": 100, "reason": "deadline"})"));
}

TEST(DumpWriter, CountsCutFramesOnceWhereAGroupShowsTheChain) {
    world w;
    const std::uint32_t deep = w.chain(model::max_chain_frames + 10);
    const model::group groups[] = {{.count = 1, .oldest = deep, .newest = deep}};
    w.all.groups = groups;
    EXPECT_EQ(w.json()["groups"][0]["chain"].size(), model::max_chain_frames);
    EXPECT_EQ(w.outcome.cut_frames, 10U);
}

TEST(DumpWriter, SkipsARootThatIsNoFrame) {
    world w;
    w.chain(1);
    w.roots.insert(w.roots.begin(), 1000);
    w.roots.push_back(model::no_index);
    EXPECT_EQ(w.json()["tasks"].size(), 1U);
    EXPECT_EQ(w.outcome.tasks, 1U);
}

TEST(DumpWriter, WritesVerdicts) {
    world w;
    const std::uint32_t task = w.chain(2);
    const std::uint32_t tasks[] = {task};
    const std::string_view evidence[] = {"pool backend: 4 of 4 held"};
    const model::verdict verdicts[] = {{.kind = "wait_cycle",
                                        .severity = "error",
                                        .statement = "4 tasks wait for each other",
                                        .tasks = tasks,
                                        .task_count = 4,
                                        .evidence = evidence}};
    w.all.verdicts = verdicts;
    EXPECT_EQ(
        w.json()["verdicts"][0].dump(),
        R"({"kind":"wait_cycle","severity":"error","statement":"4 tasks wait for each other",)"
        R"("tasks":[")" +
            w.id(task) + R"("],"task_count":4,"evidence":["pool backend: 4 of 4 held"]})");
}

TEST(DumpWriter, WritesTheSummary) {
    world w;
    const std::uint32_t task = w.chain(1);
    const std::uint32_t holders[] = {task, model::no_index};
    const model::site_count by_site[] = {{.site = 0x1000, .awaitable = "timer", .count = 5},
                                         {.site = 0, .awaitable = "", .count = 1}};
    const model::object_count by_object[] = {
        {.kind = "pool",
         .name = "backend",
         .object = 0x10,
         .count = 3,
         .described = true,
         .holders = holders},
        {.kind = "", .name = "", .object = 0, .count = 1, .described = false, .holders = {}}};
    w.details.places[0x1000] = {"serve", "serve.cpp", 11, false};
    model::summary& summary = w.all.summary;
    for (std::uint64_t at = 0; at < 4; ++at) {
        summary.by_state[at] = at + 1;
        summary.by_activity[at] = at + 5;
    }
    summary.by_await_site = by_site;
    summary.by_object = by_object;
    summary.other_await_sites = 9;
    summary.other_objects = 10;
    summary.other_groups_tasks = 11;
    EXPECT_EQ(w.json()["summary"], ordered_json::parse(R"({
        "by_state": {"pending": 1, "done": 2, "failed": 3, "cancelled": 4},
        "by_activity": {"not_started": 5, "suspended": 6, "running": 7, "unknown": 8},
        "by_await_site": [
            {"function": "serve", "file": "serve.cpp", "line": 11, "awaitable": "timer",
             "count": 5},
            {"function": null, "file": null, "line": null, "awaitable": null, "count": 1}],
        "by_object": [
            {"kind": "pool", "name": "backend", "object": "10", "count": 3,
             "holders": [")" + w.id(task) + R"(", null]},
            {"kind": null, "name": null, "object": null, "count": 1}],
        "other_await_sites": 9, "other_objects": 10, "other_groups_tasks": 11})"));
}

TEST(DumpWriter, KeepsTheBoundsOfTheSummaryAndCountsTheRest) {
    world w;
    const std::vector<model::site_count> by_site(70, {.site = 0, .awaitable = "a", .count = 2});
    const std::vector<model::object_count> by_object(
        65, {.kind = "k", .name = "n", .object = 1, .count = 7, .described = false, .holders = {}});
    const std::vector<model::group> groups(1030, {.count = 3});
    w.all.summary.by_await_site = by_site;
    w.all.summary.by_object = by_object;
    w.all.summary.other_await_sites = 100;
    w.all.groups = groups;
    const ordered_json json = w.json();
    const ordered_json& summary = json["summary"];
    EXPECT_EQ(summary["by_await_site"].size(), 64U);
    EXPECT_EQ(summary["other_await_sites"], 112);
    EXPECT_EQ(summary["by_object"].size(), 64U);
    EXPECT_EQ(summary["other_objects"], 7);
    EXPECT_EQ(json["groups"].size(), 1024U);
    EXPECT_EQ(summary["other_groups_tasks"], 18);
}

TEST(DumpWriter, WritesGroups) {
    world w;
    const std::uint32_t oldest = w.chain(2);
    const std::uint32_t newest = w.chain(2);
    w.frames[newest + 1].suspended_tick = 875;
    w.frames[oldest].library = true;
    w.details.places[0x1001] = {"leaf", "leaf.cpp", 3, false};
    w.details.leaves[w.frames[oldest + 1].address] = leaf_on("timer");
    const model::group groups[] = {{.count = 2, .oldest = oldest, .newest = newest}};
    w.all.groups = groups;
    EXPECT_EQ(w.json()["groups"][0], ordered_json::parse(R"({
        "count": 2, "state": "pending", "activity": "suspended",
        "oldest": ")" + w.id(oldest) + R"(", "newest": ")" +
                                                         w.id(newest) + R"(",
        "oldest_suspended_seconds": 2.0, "newest_suspended_seconds": 1.0,
        "chain": [{"function": null, "file": null, "line": null, "library": true},
                  {"function": "leaf", "file": "leaf.cpp", "line": 3, "library": false}],
        "awaitable": "timer"})"));
}

TEST(DumpWriter, WritesModules) {
    world w;
    const model::module modules[] = {
        {.path = "/usr/bin/orderd", .build_id = "0a1b", .start = 0x55d0c0000000, .end = 0x55d0c1},
        {.path = "/lib/x.so", .build_id = "", .start = 1, .end = 2}};
    w.all.modules = modules;
    EXPECT_EQ(w.json()["modules"], ordered_json::parse(R"([
        {"path": "/usr/bin/orderd", "build_id": "0a1b", "start": "55d0c0000000", "end": "55d0c1"},
        {"path": "/lib/x.so", "build_id": null, "start": "1", "end": "2"}])"));
}

/// `text` in every place where the process's own text can get to.
void fill_with(world& w, std::string_view text) {
    static std::vector<model::label> labels;
    static std::vector<model::verdict> verdicts;
    static std::vector<model::site_count> by_site;
    static std::vector<model::object_count> by_object;
    static std::vector<model::module> modules;
    static std::vector<std::string_view> texts;
    labels = {{text, text}};
    texts = {text, text};
    verdicts = {{.kind = text,
                 .severity = text,
                 .statement = text,
                 .tasks = {},
                 .task_count = 0,
                 .evidence = texts}};
    by_site = {{.site = 0x1000, .awaitable = text, .count = 1}};
    by_object = {
        {.kind = text, .name = text, .object = 1, .count = 1, .described = true, .holders = {}}};
    modules = {{.path = text, .build_id = text}};
    w.chain(2);
    w.give(0, {.name = text, .labels = labels});
    w.details.places[0x1000] = {text, text, 1, false};
    w.details.locals_of[w.frames[0].address] = {
        {.name = text, .type = text, .value = text},
        {.name = text, .type = text, .value = text, .literal = true}};
    w.details.leaves[w.frames[1].address] = {.awaitable = text,
                                             .kind = text,
                                             .name = text,
                                             .owners = {},
                                             .local_endpoint = text,
                                             .remote_endpoint = text};
    w.all.id = text;
    w.all.trigger.kind = text;
    w.all.process = {.comm = text,
                     .exe = text,
                     .build_id = text,
                     .hostname = text,
                     .cgroup = text,
                     .agent_version = text};
    w.all.warnings = texts;
    w.all.verdicts = verdicts;
    w.all.summary.by_await_site = by_site;
    w.all.summary.by_object = by_object;
    w.all.modules = modules;
}

TEST(DumpWriter, WritesThreadsBetweenTasksAndModules) {
    world w;
    const std::uint32_t suspended = w.chain(1);
    const std::uint32_t running = w.chain(2);
    const std::uint32_t leaf = w.frames[running].first_child;
    w.frames[leaf].activity = model::activity::running;
    const model::module modules[] = {{"/usr/bin/orderd", "c0ffee", 0x1000, 0x9000}};
    const model::native_frame frames[] = {
        {.address = 0x1234, .offset = 0x233, .function = "poll", .module = 0},
        {.address = 0x1300, .offset = 0x2ff, .function = "run", .module = 0, .inferred = true},
        {.address = 0x7f00, .live = true}};
    const model::resumed inside[] = {{.frame = leaf, .native_frames = 2}, {.frame = suspended}};
    const model::thread threads[] = {{.tid = 4243,
                                      .state = 'S',
                                      .name = "worker",
                                      .syscall = 7,
                                      .syscall_name = "poll",
                                      .wait_channel = "poll_schedule_timeout",
                                      .source = model::stack_source::no_signal,
                                      .quality = model::stack_quality::inferred,
                                      .resuming = inside,
                                      .frames = frames},
                                     {.tid = 4244, .reason = "it writes this dump"}};
    w.all.modules = modules;
    w.all.threads = threads;
    const ordered_json json = w.json();
    const names order = members_of(json);
    EXPECT_EQ(order[order.size() - 2], "threads");
    const ordered_json& worker = json["threads"][0];
    EXPECT_EQ(members_of(worker),
              (names{"tid", "name", "state", "syscall", "syscall_number", "wait_channel", "stack",
                     "task", "outer_tasks", "frames"}));
    EXPECT_EQ(worker["stack"].dump(), R"({"source":"no_signal","quality":"inferred"})");
    EXPECT_EQ(worker["task"], w.id(running));
    EXPECT_EQ(worker["outer_tasks"], ordered_json::array({w.id(suspended)}));
    EXPECT_EQ(worker["frames"][0].dump(),
              R"({"function":"poll","module":"/usr/bin/orderd","build_id":"c0ffee",)"
              R"("offset":"233","address":"1234"})");
    EXPECT_EQ(worker["frames"][1]["inferred"], true);
    EXPECT_EQ(worker["frames"][2].dump(),
              R"({"function":null,"module":null,"build_id":null,"offset":null,)"
              R"("address":"7f00","live":true})");
    EXPECT_EQ(json["threads"][1].dump(),
              R"({"tid":4244,"name":null,"state":null,"syscall":null,"syscall_number":null,)"
              R"("wait_channel":null,"stack":{"source":"none","quality":"partial",)"
              R"("reason":"it writes this dump"},"task":null,"frames":[]})");
    EXPECT_FALSE(json["tasks"][0].contains("native_stack")) << "it is suspended";
    const ordered_json& native = json["tasks"][1]["native_stack"];
    ASSERT_EQ(native.size(), 2U);
    EXPECT_EQ(native[1], worker["frames"][1]);
}

TEST(DumpWriter, WritesLoopsAndStalls) {
    world w;
    const std::uint32_t task = w.chain(1);
    const model::module modules[] = {{"/usr/bin/orderd", "c0ffee", 0x1000, 0x9000}};
    const std::int32_t threads[] = {4243};
    const model::loop_bucket histogram[] = {{15'625, 7}, {8'000'000, 2}, {0, 1}};
    const model::loop loops[] = {{.name = "main",
                                  .kind = "io_context",
                                  .threads = threads,
                                  .callbacks = 10,
                                  .total_ns = 20'500'000'000,
                                  .longest_ns = 20'000'000'000,
                                  .over_threshold = 1,
                                  .threshold_ns = 50'000'000,
                                  .histogram = histogram,
                                  .last_delay_ns = 1'500,
                                  .longest_delay_ns = 2'000'000,
                                  .queued = 3,
                                  .current = {4243, 62'000'000, task}},
                                 {.name = "idle", .kind = "loop"}};
    const model::native_frame frames[] = {
        {.address = 0x1234, .offset = 0x233, .function = "read", .module = 0}};
    const model::stall stalls[] = {{.loop = "main",
                                    .thread = 4243,
                                    .duration_ns = 62'000'000,
                                    .ongoing = true,
                                    .frame = task,
                                    .name = "session 17",
                                    .function = "session",
                                    .frames = frames},
                                   {.thread = 4244, .reason = "the thread has ended"}};
    const model::loops all{loops, stalls, 17};
    w.all.modules = modules;
    w.all.loops = &all;
    const ordered_json json = w.json();
    EXPECT_EQ(json["loops"][0].dump(),
              R"({"name":"main","kind":"io_context","threads":[4243],"callbacks":{"count":10,)"
              R"("average_seconds":2.05,"max_seconds":20.0,"over_threshold":1,)"
              R"("threshold_seconds":0.05,"histogram":[{"below_seconds":1.6e-05,"count":7},)"
              R"({"below_seconds":0.008,"count":2},{"below_seconds":null,"count":1}]},)"
              R"("queue_delay":{"last_seconds":2e-06,"max_seconds":0.002},"queued":3,)"
              R"("current":{"since_seconds":0.062,"task":")" +
                  w.id(task) + R"(","thread":4243}})");
    EXPECT_TRUE(json["loops"][1]["callbacks"]["average_seconds"].is_null());
    EXPECT_TRUE(json["loops"][1]["queue_delay"].is_null());
    EXPECT_TRUE(json["loops"][1]["current"].is_null());
    EXPECT_EQ(json["stalls_seen"], 17);
    EXPECT_EQ(json["stalls"][0]["task"], w.id(task));
    EXPECT_EQ(json["stalls"][0]["frames"][0]["module"], "/usr/bin/orderd");
    EXPECT_EQ(json["stalls"][1].dump(),
              R"({"loop":null,"thread":4244,"time":"1970-01-01T00:00:00.000Z",)"
              R"("duration_seconds":0.0,"ongoing":false,"task":null,"function":null,)"
              R"("reason":"the thread has ended","frames":[]})");
}

TEST(DumpWriter, WritesOpenResources) {
    world w;
    const std::uint32_t task = w.chain(1);
    const model::resource_kind kinds[] = {{.name = "connection",
                                           .type = "app::connection",
                                           .live = 3,
                                           .peak = 5,
                                           .opened = 9,
                                           .refused = 1,
                                           .oldest_ns = 90'000'000'000,
                                           .max_age_ns = 60'000'000'000,
                                           .over_limit = 1},
                                          {.name = "task", .built_in = true, .live = 1}};
    const model::resource_place places[] = {{.kind = 0, .live = 3, .over_limit = 1}};
    const model::native_frame frames[] = {{.address = 0x1234, .function = "acquire"}};
    const model::leaked_resource leaks[] = {{.kind = 0,
                                             .label = "10.0.0.7:443",
                                             .object = 0x7f00,
                                             .age_ns = 90'000'000'000,
                                             .site = 1,
                                             .has_stack = true,
                                             .stack = frames,
                                             .frame = task,
                                             .thread = 17},
                                            {.kind = 1, .descriptor = 5}};
    const model::tracked_resources all{kinds, places, 7, leaks, 8};
    w.all.resources = &all;
    const ordered_json json = w.json()["tracked_resources"];
    EXPECT_EQ(json["kinds"][0].dump(),
              R"({"kind":"connection","type":"app::connection","live":3,"peak":5,"opened":9,)"
              R"("refused":1,"oldest_seconds":90.0,"max_age_seconds":60.0,"over_limit":1})");
    EXPECT_EQ(json["kinds"][1].dump(),
              R"({"kind":"task","type":null,"built_in":true,"live":1,"peak":null,"opened":null,)"
              R"("refused":0,"oldest_seconds":null,"max_age_seconds":null,"over_limit":0})");
    EXPECT_EQ(json["places"][0]["kind"], "connection");
    EXPECT_EQ(json["places"][0]["live"], 3);
    EXPECT_EQ(json["places_left_out"], 7);
    EXPECT_EQ(json["leaks"][0]["label"], "10.0.0.7:443");
    EXPECT_EQ(json["leaks"][0]["task"], w.id(task));
    EXPECT_EQ(json["leaks"][0]["stack"][0]["function"], "acquire");
    EXPECT_EQ(json["leaks"][0]["age_seconds"], 90.0);
    EXPECT_TRUE(json["leaks"][0]["opened_at"].is_object());
    EXPECT_EQ(json["leaks"][1].dump(),
              R"({"kind":"task","label":null,"object":null,"descriptor":5,"age_seconds":0.0,)"
              R"("opened_at":null,"stack":null,"task":null,"thread":null})");
    EXPECT_EQ(json["leaks_left_out"], 8);
}

TEST(DumpWriter, LeavesLeaksOutThatWouldMakeTheFileTooLarge) {
    world w;
    w.chain(1);
    const model::resource_kind kinds[] = {{.name = "connection"}};
    const std::vector<model::leaked_resource> leaks(1000);
    const model::tracked_resources all{kinds, {}, 0, leaks, 5};
    w.all.resources = &all;
    w.all.limits.bytes = 65536;
    const std::string text = w.text();
    const ordered_json json = ordered_json::parse(text)["tracked_resources"];
    EXPECT_LE(text.size(), 65536U);
    EXPECT_GT(json["leaks"].size(), 100U);
    EXPECT_EQ(json["leaks"].size() + json["leaks_left_out"].get<std::size_t>(), 1005U);
    EXPECT_EQ(ordered_json::parse(text)["tasks"].size(), 1U);
}

TEST(DumpWriter, LeavesResourcesOutWhereNoneAreTracked) {
    world w;
    EXPECT_FALSE(w.json().contains("tracked_resources"));
}

TEST(DumpWriter, LeavesLoopsOutWhereThereAreNone) {
    world w;
    EXPECT_FALSE(w.json().contains("loops"));
    EXPECT_FALSE(w.json().contains("stalls"));
}

TEST(DumpWriter, WritesHostileTextAsValidJson) {
    using namespace std::string_literals;
    const std::string well_formed = "\"\\\n\t\0\x7f</script>"s;
    const std::string hostile = well_formed + "\xc0\x80\xed\xa0\x80\xf0\x9f";
    world w;
    fill_with(w, hostile);
    const ordered_json json = w.json();
    const std::string seen = json["tasks"][0]["name"];
    std::string replaced;
    for (int byte = 0; byte < 7; ++byte) replaced += "\xef\xbf\xbd";
    EXPECT_EQ(seen, well_formed + replaced);
    EXPECT_EQ(json["tasks"][0]["labels"].begin().key(), seen);
    EXPECT_EQ(json["tasks"][0]["await_chain"][0]["function"], seen);
    EXPECT_EQ(json["tasks"][0]["await_chain"][2]["remote_endpoint"], seen);
    EXPECT_EQ(json["process"]["exe"], seen);
    EXPECT_EQ(json["modules"][0]["path"], seen);
}

TEST(DumpWriter, WritesAnyBytesAsValidJson) {
    std::mt19937 random(11);
    for (int round = 0; round < 400; ++round) {
        std::string text(random() % (round % 20 == 0 ? 9000 : 60), '\0');
        for (char& byte : text) byte = static_cast<char>(random());
        world w;
        fill_with(w, text);
        const ordered_json task = w.task();
        if (!text.empty()) {
            EXPECT_LE(task["name"].get<std::string>().size(), max_text_bytes);
        }
        EXPECT_EQ(task["await_chain"].size(), text.empty() ? 2U : 3U);
    }
}

TEST(DumpWriter, HoldsTheLongestTextsInTheLeastWorkspace) {
    const std::string worst(2 * max_text_bytes, '\x01');
    world w;
    fill_with(w, worst);
    const std::string seen = w.task()["name"];
    EXPECT_EQ(seen, std::string(max_text_bytes - 3, '\x01') + "\xe2\x80\xa6");
}

TEST(DumpWriter, WritesTheSameTextWithAnyWorkspace) {
    world w;
    for (int task = 0; task < 500; ++task) w.chain(3);
    for (std::uint32_t key = 0x1000; key < 0x1200; ++key)
        w.details.places[key] = {"function", "file.cpp", key, key % 3 == 0};
    const std::string expected = w.text();
    EXPECT_GT(expected.size(), 200'000U);
    for (const std::size_t size : {100'001U, 300'000U, 1'048'576U, 2'097'152U}) {
        w.workspace_bytes = size;
        EXPECT_EQ(w.text(), expected);
    }
}

TEST(DumpWriter, WritesTheSameTextAgain) {
    world w;
    for (int task = 0; task < 3; ++task) w.chain(3);
    std::vector<std::byte> workspace(dump_writer::min_workspace_bytes);
    string_sink sink;
    dump_writer writer(workspace, sink);
    EXPECT_TRUE(writer.write(w.snapshot()).whole);
    const std::string first = sink.text;
    w.details.places[0x1000] = {"another", "library", 1, true};  // as after a dlclose
    sink.text.clear();
    EXPECT_TRUE(writer.write(w.snapshot()).whole);
    EXPECT_NE(sink.text, first);
    EXPECT_EQ(ordered_json::parse(sink.text)["tasks"][0]["await_chain"][0]["function"], "another");
}

TEST(DumpWriter, RefusesATooSmallWorkspace) {
    world w;
    w.chain(1);
    w.workspace_bytes = dump_writer::min_workspace_bytes - 1;
    limited_sink sink(1'000'000);
    EXPECT_FALSE(w.write_to(sink).whole);
    EXPECT_EQ(sink.calls, 0U);
}

TEST(DumpWriter, ReportsASinkThatFailsAtAnyByte) {
    world w;
    const std::string text = "some \"text\"";
    fill_with(w, text);
    w.chain(3);
    const std::size_t size = w.text().size();
    for (std::size_t capacity = 0; capacity < size; ++capacity) {
        limited_sink sink(capacity);
        ASSERT_FALSE(w.write_to(sink).whole) << capacity;
    }
    limited_sink enough(size);
    EXPECT_TRUE(w.write_to(enough).whole);
}

TEST(DumpWriter, StopsSoonAfterTheSinkFails) {
    world w;
    for (int task = 0; task < 20'000; ++task) w.chain(3);
    limited_sink sink(300'000);
    const written outcome = w.write_to(sink);
    EXPECT_FALSE(outcome.whole);
    EXPECT_LE(outcome.bytes, 300'000U);
    EXPECT_GT(outcome.bytes, 200'000U);
    EXPECT_LT(outcome.tasks, 2'000U);
    EXPECT_LT(w.details.calls, 30'000U);
}

}  // namespace
}  // namespace corodump::format
