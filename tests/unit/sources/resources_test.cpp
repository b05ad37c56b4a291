#include "agent/sources/resources.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <corodump/resources.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace corodump::sources {
namespace {

using namespace std::chrono_literals;

struct connection {
    int number = 0;
};
using connections = resource_tracker<connection>;
using token = connections::token;

void set_tick(std::uint32_t tick) {
    corodump_clock_v1.store(std::uint64_t{tick} << 32U | 1U);
}

/// Of every open one, as a dump would read it.
std::vector<open_resource> all_open(std::uint32_t kind) {
    std::vector<open_resource> found;
    for (std::size_t slab = 0; slab < resource_slabs(); ++slab) {
        const resource_entry* const entries = resource_slab(slab);
        if (entries == nullptr) continue;
        for (std::size_t i = 0; i < slab_entries; ++i) {
            open_resource one;
            if (read_resource(entries[i], one) && one.kind == kind) found.push_back(one);
        }
    }
    return found;
}

std::uint32_t number_of(std::string_view kind) {
    for (std::uint32_t i = 1; i <= kind_count(); ++i)
        if (kind == kind_at(i).name) return i;
    return 0;
}

std::string label_seen(const connections& from) {
    const std::vector<leak> found = from.report_leaks(0ns);
    return found.size() == 1 ? found.front().label : "not one";
}

TEST(ResourceKinds, HaveTheAgentsLimitUnlessTheyHaveTheirOwn) {
    const std::uint32_t own = kind_of_names("own limit", "t", 5);
    const std::uint32_t none = kind_of_names("no limit", "t", 0);
    ASSERT_NE(own * none, 0U);
    set_resource_max_age(9);
    EXPECT_EQ(max_age_of(kind_at(own)), 5U);
    EXPECT_EQ(max_age_of(kind_at(none)), 9U);
    EXPECT_EQ(kind_of_names("own limit", "t", 0), own);
    EXPECT_EQ(max_age_of(kind_at(own)), 5U);
    set_resource_max_age(0);
    EXPECT_EQ(max_age_of(kind_at(none)), 0U);
}

TEST(Resources, TellWhatIsOpenAndWhere) {
    set_tick(100);
    const connections tracker("tells");
    connection object;
    const int line = __LINE__ + 1;
    const token open = tracker.open(object, "10.0.0.7:443");
    set_tick(225);
    const std::vector<leak> found = tracker.report_leaks(1s);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].kind, "tells");
    EXPECT_NE(found[0].type.find("connection"), std::string::npos) << found[0].type;
    EXPECT_EQ(found[0].label, "10.0.0.7:443");
    EXPECT_EQ(found[0].age, 1s);
    EXPECT_EQ(found[0].object, &object);
    EXPECT_EQ(found[0].line, static_cast<std::uint32_t>(line));
    EXPECT_NE(found[0].file.find("resources_test.cpp"), std::string::npos);
    EXPECT_NE(found[0].function.find("TestBody"), std::string::npos) << found[0].function;
    EXPECT_EQ(found[0].thread, static_cast<std::uint32_t>(gettid()));
    EXPECT_EQ(found[0].task_id, "");
    EXPECT_TRUE(tracker.report_leaks(1001ms).empty());
}

TEST(Resources, AreReportedOldestFirst) {
    const connections tracker("ordered");
    std::vector<token> open;
    for (const std::uint32_t tick : {300U, 100U, 200U}) {
        set_tick(tick);
        open.push_back(tracker.open(std::to_string(tick)));
    }
    set_tick(400);
    std::string order;
    for (const leak& one : report_leaks(0ns))
        if (one.kind == "ordered") order += one.label + ' ';
    EXPECT_EQ(order, "100 200 300 ");
}

TEST(Resources, OlderThanTheAgentAreAsOldAsIt) {
    corodump_clock_v1.store(1);
    const connections tracker("early");
    const token open = tracker.open("before");
    EXPECT_TRUE(tracker.report_leaks(1ms).empty());
    set_tick(1 + 125);
    ASSERT_EQ(tracker.report_leaks(1ms).size(), 1U);
    EXPECT_EQ(tracker.report_leaks(1ms)[0].age, 1s);
}

TEST(Resources, CountWhatIsOpenWasOpenedAndThePeak) {
    const connections tracker("counted");
    {
        token a = tracker.open();
        const token b = tracker.open();
        a.close();
        const token c = tracker.open();
        EXPECT_EQ(tracker.live(), 2U);
        EXPECT_EQ(tracker.opened(), 3U);
        EXPECT_EQ(tracker.peak(), 2U);
    }
    EXPECT_EQ(tracker.live(), 0U);
    EXPECT_EQ(tracker.opened(), 3U);
    EXPECT_EQ(tracker.peak(), 2U);
}

TEST(Resources, ATokenThatMovesIsOneResource) {
    const connections tracker("moved");
    token a = tracker.open("first");
    token b = std::move(a);
    EXPECT_FALSE(a);
    EXPECT_TRUE(b);
    EXPECT_EQ(tracker.live(), 1U);
    b = tracker.open("second");
    EXPECT_EQ(label_seen(tracker), "second");
    b.close();
    b.close();
    EXPECT_EQ(tracker.live(), 0U);
    EXPECT_EQ(tracker.opened(), 2U);
}

TEST(Resources, OutliveTheirTrackerWhoseKindStays) {
    std::optional<connections> tracker(std::in_place, "kept");
    token open = tracker->open("left");
    tracker.reset();
    const connections again("kept");
    EXPECT_EQ(again.live(), 1U);
    EXPECT_EQ(label_seen(again), "left");
    open.close();
    EXPECT_EQ(again.live(), 0U);
    const resource_tracker<int> other("kept");
    EXPECT_EQ(other.opened(), 0U);
}

TEST(Resources, LabelsOfAnyLengthAreKeptUpToTheirBound) {
    const connections tracker("labels");
    const std::string letters =
        "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnop";
    for (std::size_t size = 0; size < letters.size(); ++size) {
        const token open = tracker.open(std::string_view(letters).substr(0, size));
        EXPECT_EQ(label_seen(tracker), letters.substr(0, std::min(size, max_label_bytes)));
    }
}

TEST(Resources, LabelsAreNotCutInTheMiddleOfACharacter) {
    const connections tracker("cut");
    const std::string before(max_label_bytes - 1, 'x');
    const token open = tracker.open(before + "\xc3\xa9");
    EXPECT_EQ(label_seen(tracker), before);
}

TEST(Resources, ALabelMayChange) {
    const connections tracker("relabelled");
    token open = tracker.open("idle");
    const std::string longer(60, 'y');
    for (int i = 0; i < 3000; ++i) {
        open.relabel(longer);
        ASSERT_EQ(label_seen(tracker), longer);
        open.relabel("busy");
        ASSERT_EQ(label_seen(tracker), "busy");
    }
    EXPECT_EQ(tracker.live(), 1U);
    EXPECT_EQ(tracker.opened(), 1U);
}

TEST(Resources, EntriesThatAreClosedAreUsedAgain) {
    const connections tracker("again");
    const std::size_t before = resource_slabs();
    for (int i = 0; i < 100'000; ++i)
        static_cast<void>(tracker.open("a label of more than 24 bytes"));
    EXPECT_LE(resource_slabs(), before + 1);
}

TEST(Resources, WhatOtherThreadsCloseComesBack) {
    const connections tracker("crossed");
    static_cast<void>(tracker.open());
    const std::size_t before = resource_slabs();
    for (int round = 0; round < 8; ++round) {
        std::vector<token> open;
        for (int i = 0; i < 1500; ++i)
            open.push_back(tracker.open("a label of more than 24 bytes"));
        std::thread([&] { open.clear(); }).join();
        EXPECT_EQ(tracker.live(), 0U);
    }
    // 3,000 entries are 3 slabs; the threads that closed need none.
    EXPECT_LE(resource_slabs(), before + 3);
}

TEST(Resources, ThreadsThatEndHandOnWhatTheyHave) {
    const connections tracker("ended");
    static_cast<void>(tracker.open());
    std::vector<token> open;
    const std::size_t before = resource_slabs();
    for (int i = 0; i < 100; ++i)
        std::thread([&] {
            open.clear();
            for (int j = 0; j < 500; ++j) open.push_back(tracker.open());
        }).join();
    EXPECT_EQ(tracker.live(), 500U);
    EXPECT_EQ(tracker.opened(), 50'001U);
    EXPECT_LE(resource_slabs(), before + 2);
    // This thread has none of its own left: it takes over what the ended ones have.
    for (int j = 0; j < 500; ++j) open.push_back(tracker.open());
    EXPECT_LE(resource_slabs(), before + 2);
}

TEST(Resources, ManyThreadsOpenAndCloseEachOthers) {
    const connections tracker("shared");
    constexpr int threads = 4;
    std::atomic<corodump_resource_entry_v1*> exchanged[64] = {};
    std::atomic<bool> stop{false};
    const std::uint32_t kind = number_of("shared");
    std::vector<std::thread> workers;
    std::atomic<std::uint64_t> opened{0};
    for (int t = 0; t < threads; ++t)
        workers.emplace_back([&, t] {
            constexpr std::string_view label = "of a thread that gives it away at once";
            std::uint64_t own = 0;
            for (int i = t; !stop.load(); ++i, ++own)
                corodump_resource_close_v1(exchanged[i % 64].exchange(
                    corodump_resource_open_v1(kind, &i, label.data(), label.size(), nullptr)));
            opened += own;
        });
    std::uint64_t seen = 0;
    // What is read meanwhile is whole.
    while (seen < 20'000)
        for (const open_resource& one : all_open(kind)) {
            ++seen;
            ASSERT_EQ(one.label, "of a thread that gives it away at once");
        }
    stop = true;
    for (std::thread& one : workers) one.join();
    EXPECT_EQ(tracker.live(), all_open(kind).size());
    for (auto& one : exchanged) corodump_resource_close_v1(one.exchange(nullptr));
    EXPECT_EQ(tracker.live(), 0U);
    EXPECT_EQ(tracker.opened(), opened.load());
    EXPECT_TRUE(all_open(kind).empty());
}

TEST(Resources, AHundredThousandTakeSixtyFourBytesEach) {
    const connections tracker("many");
    std::vector<token> open;
    open.reserve(100'000);
    const std::size_t before = resource_slabs();
    for (int i = 0; i < 100'000; ++i) open.push_back(tracker.open("twenty-four bytes, or so"));
    EXPECT_EQ(tracker.live(), 100'000U);
    EXPECT_EQ(all_open(number_of("many")).size(), 100'000U);
    open.clear();
    EXPECT_EQ(tracker.peak(), 100'000U);
    const std::size_t bytes = (resource_slabs() - before) * slab_entries * sizeof(resource_entry);
    EXPECT_LE(bytes, 100'000U * 64 + 65'536);
}

TEST(Resources, PeakIsWithinASixtyFourthWhereThreadsOpenMany) {
    const connections tracker("peak");
    for (int t = 0; t < 4; ++t)
        std::thread([&] {
            std::vector<token> open;
            for (int i = 0; i < 10'000; ++i) open.push_back(tracker.open());
        }).join();
    EXPECT_EQ(tracker.live(), 0U);
    EXPECT_GE(tracker.peak(), 10'000U - 4 * 157);
    EXPECT_LE(tracker.peak(), 10'000U + 4 * 157);
}

TEST(Resources, AForkedChildGoesOnWithItsOwn) {
    const connections tracker("forked");
    token open = tracker.open("parent's");
    std::atomic<bool> stop{false};
    // One that is in the middle of it at the fork.
    std::thread other([&] {
        while (!stop.load()) static_cast<void>(tracker.open());
    });
    const pid_t child = fork();
    if (child == 0) {
        open.close();
        std::vector<token> own;
        for (int i = 0; i < 5000; ++i) own.push_back(tracker.open("child's"));
        std::uint64_t seen = 0;
        for (const leak& one : tracker.report_leaks(0ns)) seen += one.label == "child's" ? 1 : 0;
        _exit(seen == 5000 ? 0 : 1);
    }
    stop = true;
    other.join();
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(label_seen(tracker), "parent's");
}

TEST(Resources, AreRefusedAndCountedWhereThereAreTooManyKinds) {
    EXPECT_FALSE(token());
    corodump_resource_close_v1(nullptr);
    corodump_resource_label_v1(nullptr, "", 0);
    std::vector<std::uint32_t> kinds;
    for (int i = 0; i < 300; ++i) {
        const std::string name = "kind " + std::to_string(i);
        kinds.push_back(corodump_resource_kind_v1(name.data(), name.size(), "t", 1, 0));
    }
    EXPECT_EQ(kinds.back(), 0U);
    EXPECT_EQ(corodump_resource_open_v1(0, nullptr, "", 0, nullptr), nullptr);
    corodump_resource_counts_v1 counts{1, 1, 1, 1};
    corodump_resource_count_v1(0, &counts);
    EXPECT_EQ(counts.live + counts.peak + counts.opened + counts.refused, 0U);
}

}  // namespace
}  // namespace corodump::sources
