#include "agent/format/dump_reader.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/golden/golden.hpp"

namespace corodump::format {
namespace {

using test::golden;
using test::golden_names;
using test::with;

read_result read(std::string_view text, std::uint64_t max_bytes = default_max_bytes) {
    memory_source source(text);
    return read_dump(source, {max_bytes});
}

check_result check(std::string_view text) {
    memory_source source(text);
    return check_dump(source);
}

/// Gives one byte at a time, like a slow pipe.
class dripping_source final : public byte_source {
public:
    explicit dripping_source(std::string_view bytes) : rest_(bytes) {}
    std::size_t read(char* into, std::size_t size) override {
        const std::size_t taken = rest_.copy(into, std::min<std::size_t>(size, 1));
        rest_.remove_prefix(taken);
        return taken;
    }

private:
    std::string_view rest_;
};

bool tells(const check_result& result, std::string_view pointer, std::string_view text) {
    return std::any_of(result.problems.begin(), result.problems.end(), [&](const problem& p) {
        return p.pointer == pointer && p.text.find(text) != std::string::npos;
    });
}

std::string told(const check_result& result) {
    std::string all;
    for (const problem& p : result.problems) all += p.pointer + ": " + p.text + '\n';
    return all;
}

TEST(DumpReader, ReadsEveryGoldenDump) {
    for (const char* name : golden_names) {
        const std::string text = golden(name);
        const read_result result = read(text);
        EXPECT_FALSE(result.error) << name << ": " << result.error->text;
        EXPECT_EQ(result.dump.tasks.size(), result.dump.counts.tasks) << name;
        EXPECT_EQ(result.dump.frame_addresses.size(), result.dump.counts.frames) << name;
    }
}

TEST(DumpReader, ReadsTheHungPool) {
    const read_result result = read(golden("hung_pool"));
    ASSERT_FALSE(result.error);
    const dump& d = result.dump;
    EXPECT_EQ(d.format_version, 1);
    EXPECT_EQ(d.process.comm, "orderd");
    EXPECT_EQ(d.process.pid, 4711);
    EXPECT_EQ(d.trigger.signal, 10);
    ASSERT_EQ(d.verdicts.size(), 1U);
    EXPECT_EQ(d.verdicts[0].kind, "wait_cycle");
    EXPECT_EQ(d.verdicts[0].tasks.size(), 4U);
    ASSERT_EQ(d.groups.size(), 4U);
    EXPECT_EQ(d.groups[0].count, 296U);
    EXPECT_EQ(d.summary.by_object.at(0).holders.size(), 4U);
    EXPECT_EQ(d.modules.size(), 3U);
    const task* holder = task_index(d).find("7f12a4000540.3");
    ASSERT_NE(holder, nullptr);
    EXPECT_EQ(holder->name, "session 17");
    EXPECT_EQ(holder->awaits.awaitable, "orderd::pool::acquire");
    ASSERT_EQ(holder->chain->frames.size(), 4U);
    EXPECT_TRUE(holder->chain->frames[1]->library);
    EXPECT_EQ(holder->chain->frames[3]->line, 57U);
    EXPECT_EQ(holder->awaits.details->owners.size(), 4U);
    EXPECT_EQ(d.frame_addresses[holder->first_address], holder->id.address);
    EXPECT_EQ(holder->extra->labels.at(0).value, "/transfer");
    EXPECT_EQ(holder->extra->locals.at(1).locals.at(1).value, "<redacted>");
}

TEST(DumpReader, HoldsEqualChainsOnce) {
    const read_result result = read(golden("hung_pool"));
    const task_index index(result.dump);
    const group& waiting = result.dump.groups[0];
    EXPECT_EQ(index.find(waiting.oldest)->chain, index.find(waiting.newest)->chain);
    EXPECT_EQ(index.find(waiting.oldest)->chain, waiting.chain);
}

TEST(DumpReader, KeepsNullsApartFromValues) {
    const read_result result = read(golden("nulls"));
    ASSERT_FALSE(result.error);
    const task& first = result.dump.tasks.at(0);
    EXPECT_FALSE(first.name);
    EXPECT_FALSE(first.age_seconds);
    EXPECT_FALSE(first.thread);
    EXPECT_FALSE(first.created_by);
    EXPECT_FALSE(first.chain->frames[0]->function);
    ASSERT_TRUE(first.awaits.details);
    EXPECT_EQ(first.awaits.details->owners, std::vector<task_id>{task_id{}});
    EXPECT_FALSE(result.dump.process.pid);
}

TEST(DumpReader, ReadsJoinsFromBothSides) {
    const read_result result = read(golden("joins"));
    const task_index index(result.dump);
    const task* parent = index.find("7f12a4000180.4");
    ASSERT_NE(parent, nullptr);
    ASSERT_EQ(parent->extra->children.size(), 3U);
    for (const task_id& child : parent->extra->children) {
        EXPECT_EQ(index.find(child)->awaited_by, parent->id);
    }
}

TEST(DumpReader, FindsATaskByItsAddressAlone) {
    const read_result result = read(golden("hung_pool"));
    const task_index index(result.dump);
    EXPECT_EQ(index.find("7f12a4000540"), index.find("7f12a4000540.3"));
    EXPECT_EQ(index.find("0x7f12a4000540"), index.find("7f12a4000540.3"));
    EXPECT_EQ(index.find("7f12a4000540.4"), nullptr);
    EXPECT_EQ(index.find("session 17"), nullptr);
}

TEST(DumpReader, ReadsTheSameFromASlowSource) {
    const std::string text = golden("healthy");
    dripping_source source(text);
    const read_result result = read_dump(source);
    EXPECT_FALSE(result.error);
    EXPECT_EQ(result.dump.tasks.size(), 6U);
}

TEST(DumpReader, ReadsADescriptor) {
    const std::string text = golden("joins");
    const int descriptor = ::memfd_create("dump", MFD_CLOEXEC);
    ASSERT_GE(descriptor, 0);
    ASSERT_EQ(::write(descriptor, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ASSERT_EQ(::lseek(descriptor, 0, SEEK_SET), 0);
    descriptor_source source(descriptor);
    EXPECT_EQ(read_dump(source).dump.tasks.size(), 9U);
    ::close(descriptor);
}

TEST(DumpReader, TellsThatADescriptorCannotBeRead) {
    descriptor_source source(-1);
    const read_result result = read_dump(source);
    ASSERT_TRUE(result.error);
    EXPECT_NE(result.error->text.find("cannot be read"), std::string::npos);
    descriptor_source again(-1);
    EXPECT_TRUE(check_dump(again).unreadable);
}

TEST(DumpReader, RefusesEveryTruncation) {
    const std::string text = golden("healthy");
    // Only the blank behind the last bracket may be missing.
    const std::size_t end = text.find_last_of('}');
    for (std::size_t size = 0; size <= end; ++size) {
        const read_result result = read(std::string_view(text).substr(0, size));
        ASSERT_TRUE(result.error) << size;
        ASSERT_LE(result.error->offset.value_or(0), size);
    }
    EXPECT_FALSE(read(std::string_view(text).substr(0, end + 1)).error);
}

TEST(DumpReader, GivesTheOffsetOfATruncation) {
    const std::string text = golden("healthy");
    const read_result result = read(std::string_view(text).substr(0, 3000));
    ASSERT_TRUE(result.error);
    EXPECT_EQ(result.error->offset, 3000U);
    EXPECT_NE(result.error->text.find("truncated"), std::string::npos);
}

TEST(DumpReader, GivesTheOffsetOfAWrongType) {
    const std::string text = with(golden("healthy"), R"("resumes": 10412)", R"("resumes": "x")");
    const read_result result = read(text);
    ASSERT_TRUE(result.error);
    EXPECT_EQ(result.error->pointer, "/tasks/0/resumes");
    EXPECT_EQ(result.error->offset, text.find(R"("x")"));
}

TEST(DumpReader, GivesTheOffsetOfMalformedJson) {
    const std::string text = with(golden("healthy"), R"("resumes": 10412)", R"("resumes": @)");
    const read_result result = read(text);
    ASSERT_TRUE(result.error);
    EXPECT_EQ(result.error->offset, text.find('@'));
}

TEST(DumpReader, RefusesInvalidUtf8) {
    const read_result result = read(with(golden("healthy"), "sweeper", "sw\xff\xfe"));
    ASSERT_TRUE(result.error);
    EXPECT_NE(result.error->text.find("UTF-8"), std::string::npos);
}

TEST(DumpReader, RefusesDeepNesting) {
    for (const char* member : {"unknown", "process", "tasks"}) {
        const std::string text = std::string(R"({"format": "corodump", ")") + member +
                                 "\": " + std::string(100'000, '[');
        const read_result result = read(text);
        ASSERT_TRUE(result.error);
        EXPECT_EQ(result.error->text, "nested deeper than 64 levels") << member;
    }
}

TEST(DumpReader, RefusesAnEndlessString) {
    const std::string text = R"({"format": "corodump", "unknown": ")" + std::string(8U << 20U, 'x');
    const read_result result = read(text + "\"}");
    ASSERT_TRUE(result.error);
    EXPECT_NE(result.error->text.find("longer than"), std::string::npos);
}

TEST(DumpReader, RefusesAnElementOfTooManyValues) {
    std::string text = R"({"format": "corodump", "process": [0)";
    for (std::size_t i = 0; i < tree::max_nodes; ++i) text += ",0";
    const read_result result = read(text + "]}");
    ASSERT_TRUE(result.error);
    EXPECT_EQ(result.error->text, "a single element is too large");
}

TEST(DumpReader, RefusesAFileBeyondTheLimit) {
    const std::string text = golden("hung_pool");
    EXPECT_FALSE(read(text, text.size()).error);
    const read_result result = read(text, text.size() - 1);
    ASSERT_TRUE(result.error);
    EXPECT_NE(result.error->text.find("limit"), std::string::npos);
}

TEST(DumpReader, RefusesWhatIsNoDump) {
    for (const char* text :
         {"", "   ", "[]", "12", "null", "\"corodump\"", "{}", R"({"format": "other"})",
          R"({"format": 1})", R"({"tasks": []})", "\x1f\x8b\x08", "{} {}"}) {
        EXPECT_TRUE(read(text).error) << text;
    }
}

TEST(DumpReader, ReadsWhatItKnowsOfANewerFormat) {
    std::string text = with(golden("healthy"), R"("format_version": 1)", R"("format_version": 2)");
    text = with(text, R"("resumes": 10412)", R"("resumes": {"low": 1})");
    const read_result result = read(text);
    ASSERT_FALSE(result.error) << result.error->text;
    EXPECT_EQ(result.dump.format_version, 2);
    EXPECT_EQ(result.dump.not_understood, 1U);
    EXPECT_EQ(result.dump.tasks.size(), 6U);
}

TEST(DumpReader, PassesOverUnknownMembers) {
    std::string text = with(golden("healthy"), R"("verdicts")",
                            R"("weather": [{"a": [1, {"b": null}]}, 2], "verdicts")");
    text = with(text, R"("resumes": 10412)", R"("mood": {"x": [1, 2]}, "resumes": 10412)");
    EXPECT_FALSE(read(text).error);
    EXPECT_EQ(told(check(text)), "");
}

TEST(DumpReader, ReadsLoopsAndStalls) {
    const read_result got = read(golden("loops"));
    ASSERT_FALSE(got.error);
    ASSERT_EQ(got.dump.loops.size(), 2U);
    const loop& first = got.dump.loops[0];
    EXPECT_TRUE(first.name == "main" && first.kind == "io_context");
    EXPECT_EQ(first.callbacks, 6U);
    EXPECT_TRUE(first.in_callback && first.current_task);
    EXPECT_NEAR(first.current_seconds.value_or(0), 0.657627, 1e-9);
    ASSERT_EQ(first.histogram.size(), 1U);
    EXPECT_FALSE(got.dump.loops[1].in_callback);
    EXPECT_EQ(got.dump.stalls_seen, 1U);
    ASSERT_EQ(got.dump.stalls.size(), 1U);
    EXPECT_TRUE(got.dump.stalls[0].ongoing);
    EXPECT_TRUE(got.dump.stalls[0].name == "session 2");
    EXPECT_TRUE(got.dump.stalls[0].frames[2].function == "orderd::reload_prices");
    EXPECT_TRUE(read(golden("threads")).dump.loops.empty());
}

TEST(DumpCheck, FindsWhatIsWrongWithLoops) {
    const std::string whole = golden("loops");
    const auto at = [&](const std::string& from, const std::string& to) {
        return told(check(with(whole, from, to)));
    };
    EXPECT_NE(at(R"("stalls_seen":1)", R"("stalls_seen":0)").find("/stalls_seen"),
              std::string::npos);
    EXPECT_NE(at(R"("over_threshold":0)", R"("over_threshold":7)").find("/loops/0/callbacks"),
              std::string::npos);
    EXPECT_NE(at(R"("ongoing":true)", R"("ongoing":"yes")").find("/stalls/0/ongoing"),
              std::string::npos);
    EXPECT_NE(at(R"("threads":[716])", R"("threads":["716"])").find("/loops/0/threads/0"),
              std::string::npos);
}

TEST(DumpReader, ReadsOpenResources) {
    const read_result got = read(golden("resources"));
    ASSERT_FALSE(got.error);
    const tracked_resources& tracked = got.dump.resources;
    ASSERT_EQ(tracked.kinds.size(), 4U);
    EXPECT_TRUE(tracked.kinds[0].kind == "connection");
    EXPECT_TRUE(tracked.kinds[0].type == "orderd::connection");
    EXPECT_EQ(tracked.kinds[0].live, 2U);
    EXPECT_EQ(tracked.kinds[0].peak, 3);
    EXPECT_EQ(tracked.kinds[0].over_limit, 2U);
    EXPECT_FALSE(tracked.kinds[1].max_age_seconds);
    EXPECT_TRUE(tracked.kinds[3].built_in);
    ASSERT_EQ(tracked.places.size(), 2U);
    EXPECT_TRUE(tracked.places[1].where->function == "orderd::acquire");
    ASSERT_EQ(tracked.leaks.size(), 4U);
    EXPECT_TRUE(tracked.leaks[0].label == "10.0.0.7:443");
    EXPECT_TRUE(tracked.leaks[0].task && tracked.leaks[0].has_stack);
    EXPECT_TRUE(tracked.leaks[0].stack[0].function == "orderd::acquire");
    EXPECT_EQ(tracked.leaks[0].opened_at, tracked.leaks[1].opened_at);
    EXPECT_EQ(tracked.leaks[2].descriptor, 5);
    EXPECT_EQ(tracked.leaks[2].opened_at, nullptr);
    EXPECT_TRUE(read(golden("threads")).dump.resources.kinds.empty());
}

TEST(DumpCheck, FindsWhatIsWrongWithResources) {
    const std::string whole = golden("resources");
    const auto at = [&](const std::string& from, const std::string& to) {
        return told(check(with(whole, from, to)));
    };
    EXPECT_NE(at(R"("peak":3)", R"("peak":1)").find("/tracked_resources/kinds/0/peak"),
              std::string::npos);
    EXPECT_NE(at(R"("max_age_seconds":0.040)", R"("max_age_seconds":null)")
                  .find("/tracked_resources/kinds/0/over_limit"),
              std::string::npos);
    EXPECT_NE(at(R"({"kind":"connection","label")", R"({"kind":"lease","label")")
                  .find("/tracked_resources/leaks/0/kind"),
              std::string::npos);
    EXPECT_NE(at(R"("places_left_out":0)", R"("places_left_out":null)")
                  .find("/tracked_resources/places_left_out"),
              std::string::npos);
}

TEST(DumpCheck, FindsNothingWrongWithTheGoldenDumps) {
    for (const char* name : golden_names) EXPECT_EQ(told(check(golden(name))), "") << name;
}

TEST(DumpCheck, FindsIdsOfNoTask) {
    const std::string text =
        with(golden("hung_pool"), R"("tasks": ["7f12a4000540.3")", R"("tasks": ["7f12a4000540.4")");
    EXPECT_TRUE(tells(check(text), "/verdicts/0/tasks/0", "no task has the id 7f12a4000540.4"));
}

TEST(DumpCheck, FindsAJoinThatOneSideDenies) {
    const std::string text = with(golden("joins"), R"("awaited_by": "7f12a4000180.4")",
                                  R"("awaited_by": "7f12a4000cc0.9")");
    const check_result result = check(text);
    EXPECT_TRUE(tells(result, "/tasks/1/children/0", "names another")) << told(result);
    EXPECT_TRUE(tells(result, "/tasks/2/awaited_by", "does not list")) << told(result);
}

TEST(DumpCheck, FindsCountsThatDoNotAddUp) {
    const std::string text = with(golden("healthy"), R"("pending": 6)", R"("pending": 7)");
    EXPECT_TRUE(tells(check(text), "/summary/by_state/pending", "says 7, but there are 6"));
    const std::string groups = with(golden("healthy"), R"({"count": 3)", R"({"count": 4)");
    EXPECT_TRUE(tells(check(groups), "/groups", "do not add up"));
}

TEST(DumpCheck, FindsTwoTasksWithOneId) {
    std::string text = golden("healthy");
    const std::size_t second = text.find(R"("id": "7f12a40007c0)");
    ASSERT_EQ(second, std::string::npos);
    const read_result before = read(text);
    text = with(text, "\"id\": \"" + to_string(before.dump.tasks[1].id) + '"',
                "\"id\": \"" + to_string(before.dump.tasks[0].id) + '"');
    EXPECT_TRUE(tells(check(text), "/tasks/1/id", "another task has the same id"));
}

TEST(DumpCheck, FindsAFrameInTwoChains) {
    std::string text = golden("healthy");
    const read_result before = read(text);
    const std::string first = to_string(before.dump.frame_addresses[0]);
    const std::string last = to_string(before.dump.frame_addresses.back());
    text = with(text, "\"address\": \"" + last + '"', "\"address\": \"" + first + '"');
    EXPECT_TRUE(tells(check(text), "/tasks", "in more than one chain"));
}

TEST(DumpCheck, FindsMissingMembersEverywhere) {
    const std::string text = golden("healthy");
    const std::string missing[][2] = {{R"("comm": "orderd", )", "/process"},
                                      {R"("duration_us": 212, )", "/dump"},
                                      {R"("cancelled": false, )", "/tasks/0"},
                                      {R"("other_objects": 0, )", "/summary"}};
    for (const auto& [member, pointer] : missing) {
        EXPECT_TRUE(tells(check(with(text, member, "")), pointer, "has no member")) << member;
    }
}

TEST(DumpCheck, FindsMembersOutOfOrderAndTwice) {
    const std::string text = golden("healthy");
    const check_result order =
        check(with(text, R"("uid": 998, "cgroup": "/system.slice/orderd.service")",
                   R"("cgroup": "/", "uid": 998)"));
    EXPECT_TRUE(tells(order, "/process/uid", "") || tells(order, "/process/cgroup", ""))
        << told(order);
    EXPECT_TRUE(tells(check(with(text, R"("uid": 998)", R"("uid": 998, "uid": 0)")), "/process/uid",
                      "twice"));
}

TEST(DumpCheck, FindsValuesOutsideTheFormat) {
    const std::string text = golden("healthy");
    EXPECT_TRUE(
        tells(check(with(text, R"("state": "pending", "activity": "suspended", "cancelled")",
                         R"("state": "lost", "activity": "suspended", "cancelled")")),
              "/tasks/0/state", "none of the values"));
    EXPECT_TRUE(tells(check(with(text, "2026-11-22T10:58:03.121Z", "2026-11-22 10:58")),
                      "/dump/time", "RFC 3339"));
    EXPECT_TRUE(tells(check(with(text, R"("uid": 998)", R"("uid": 9.5)")), "/process/uid",
                      "expected an integer"));
    EXPECT_TRUE(tells(check(with(text, R"("id": "7f12a4000180.2")", R"("id": "main")")),
                      "/tasks/0/id", "no task id"));
}

TEST(DumpReader, ReadsThreadsAndNativeStacks) {
    const read_result got = read(golden("threads"));
    ASSERT_FALSE(got.error);
    ASSERT_EQ(got.dump.threads.size(), 8U);
    const thread& spinning = got.dump.threads[4];
    EXPECT_EQ(spinning.stack_source, "signal");
    EXPECT_EQ(spinning.stack_quality, "exact");
    EXPECT_EQ(spinning.frames.at(1).function, "busy");
    EXPECT_EQ(spinning.frames.at(1).module, "/usr/bin/reportd");
    EXPECT_NE(spinning.frames.at(1).offset, 0U);
    const task& task = got.dump.tasks.at(0);
    EXPECT_EQ(spinning.task, task.id);
    ASSERT_TRUE(task.extra);
    ASSERT_EQ(task.extra->native_stack.size(), 2U);
    EXPECT_EQ(task.extra->native_stack[1].address, spinning.frames[1].address);
}

TEST(DumpReader, TakesDumpsWithoutThreads) {
    const read_result got = read(golden("joins"));
    ASSERT_FALSE(got.error);
    EXPECT_TRUE(got.dump.threads.empty());
    EXPECT_EQ(told(check(golden("joins"))), "");
}

TEST(DumpCheck, FindsFaultsOfThreads) {
    const std::string whole = golden("threads");
    const std::string id = told(check(with(whole, R"("source":"signal")", R"("source":"magic")")));
    EXPECT_NE(id.find("/threads/3/stack/source"), std::string::npos) << id;
    const std::string reason = told(check(with(
        whole, R"("quality":"partial","reason":"it writes this dump")", R"("quality":"partial")")));
    EXPECT_NE(reason.find("/threads/1/stack"), std::string::npos) << reason;
    const std::string task = R"("task":")" + to_string(read(whole).dump.tasks[0].id) + '"';
    EXPECT_TRUE(tells(check(with(whole, task, R"("task":"7f0000000010.3")")), "/threads/4/task",
                      "no task has the id"));
}

TEST(DumpCheck, StopsAtFiftyProblems) {
    std::string text = R"({"format": "corodump", "format_version": 1, "tasks": [)";
    for (int i = 0; i < 500; ++i) text += i == 0 ? "{}" : ",{}";
    const check_result result = check(text + "]}");
    EXPECT_EQ(result.problems.size(), problem_log::max_problems);
    EXPECT_TRUE(result.more);
}

TEST(DumpCheck, EscapesKeysInPointers) {
    const std::string text =
        with(golden("healthy"), R"("tenant": "blue")", R"("te/na~nt": 5, "x": "blue")");
    EXPECT_TRUE(tells(check(text), "/tasks/2/labels/te~1na~0nt", "no string"));
}

/// Each mutation is a few edits of a golden dump: flipped, dropped and doubled bytes, swapped
/// words.
std::string mutated(std::string text, std::mt19937& random) {
    static constexpr std::string_view words[] = {
        "null",   "true", "-1", "1e308", "\"\"", "[]", "{}", "{", "]", ",", "18446744073709551615",
        "\\u0000"};
    const auto pick = [&](std::size_t below) {
        return std::uniform_int_distribution<std::size_t>(0, below - 1)(random);
    };
    for (std::size_t edits = 1 + pick(4); edits > 0 && !text.empty(); --edits) {
        const std::size_t at = pick(text.size());
        switch (pick(5)) {
            case 0:
                text[at] = static_cast<char>(pick(256));
                break;
            case 1:
                text.erase(at, 1 + pick(40));
                break;
            case 2:
                text.insert(at, words[pick(std::size(words))]);
                break;
            case 3: {
                const std::size_t value = text.find(": ", at);
                if (value == std::string::npos) break;
                const std::size_t end = text.find_first_of(",}]\n", value);
                text.replace(value + 2, end - value - 2, words[pick(std::size(words))]);
                break;
            }
            default:
                text.insert(at, text.substr(pick(text.size()), pick(200)));
        }
    }
    return text;
}

TEST(DumpReader, SurvivesMutatedDumps) {
    constexpr int rounds = 4000;
    std::mt19937 random(20261122);
    const std::string seeds[] = {golden("healthy"), golden("joins"), golden("hostile_names"),
                                 golden("nulls")};
    int refused = 0;
    for (int i = 0; i < rounds; ++i) {
        const std::string text =
            mutated(seeds[static_cast<std::size_t>(i) % std::size(seeds)], random);
        const read_result result = read(text);
        if (result.error) {
            ++refused;
            EXPECT_LE(result.error->offset.value_or(0), text.size());
            EXPECT_FALSE(check(text).problems.empty()) << text;
        }
        EXPECT_LE(check(text).problems.size(), problem_log::max_problems + 1);
    }
    EXPECT_GT(refused, rounds / 4);
    EXPECT_LT(refused, rounds);
}

}  // namespace
}  // namespace corodump::format
