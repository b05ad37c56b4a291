// Open resources of a service's own, its descriptors and its tasks: what a dump and `corodump show`
// say of those that are open for too long, and of those that are not.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <corodump/agent.hpp>
#include <corodump/resources.hpp>
#include <corodump/task.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "styles/eager_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"
#include "support_failures.hpp"

namespace app {

struct connection {
    int descriptor = -1;
};
using connections = corodump::resource_tracker<connection>;
using token = connections::token;

[[gnu::noinline]] token acquire(const connections& from, const connection& of,
                                std::string_view label) {
    token made = from.open(of, label);
    asm volatile("" : : : "memory");
    return made;
}
[[gnu::noinline]] token connect(const connections& from, const connection& of,
                                std::string_view label) {
    token made = acquire(from, of, label);
    asm volatile("" : : : "memory");
    return made;
}
eager::task session(const connections& from, const connection& of, synced::event& until) {
    corodump::set_name("session 17");
    const token held = acquire(from, of, "10.0.0.7:443");
    co_await until;
    co_return 1;
}

}  // namespace app

namespace {

using namespace std::chrono_literals;
using app::connection;
using app::connections;
using app::token;
using nlohmann::json;

constexpr auto limit = 40ms;

corodump::options with_limit() {
    corodump::options chosen;
    chosen.resource_max_age = limit;
    return chosen;
}

/// Its age is all that is to be waited for.
void await_age(const connections& tracker, std::chrono::nanoseconds age) {
    while (tracker.report_leaks(age).empty()) std::this_thread::sleep_for(1ms);
}

json kind_of(const json& dump, const std::string& kind) {
    for (const json& one : dump["tracked_resources"]["kinds"])
        if (one["kind"] == kind) return one;
    ADD_FAILURE() << "no kind " << kind;
    return json::object();
}

std::vector<json> leaks_of(const json& dump, const std::string& kind) {
    std::vector<json> found;
    for (const json& one : dump["tracked_resources"]["leaks"])
        if (one["kind"] == kind) found.push_back(one);
    return found;
}

json verdict_on(const json& dump, const std::string& part) {
    for (const json& one : dump["verdicts"])
        if (one["kind"] == "resource_leak" &&
            one["statement"].get<std::string>().find(part) != std::string::npos)
            return one;
    return nullptr;
}

#ifdef CORODUMP_CLI  // not built beside a sanitizer
/// What `corodump show` prints of a dump of now.
std::string shown_now() {
    const corodump::dump_result made = corodump::dump_now();
    EXPECT_TRUE(made);
    const std::string command = std::string(CORODUMP_CLI) + " show " + made.path;
    FILE* const from = popen(command.c_str(), "r");
    std::string text;
    for (int c = 0; from != nullptr && (c = fgetc(from)) != EOF;) text += static_cast<char>(c);
    EXPECT_EQ(from == nullptr ? -1 : pclose(from), 0);
    unlink(made.path.c_str());
    return text;
}
#endif

TEST(TrackedResources, ThatAreOpenForTooLongAreToldWithPlaceAndTask) {
    const corodump::agent agent(with_limit());
    const connections tracker("told");
    const connection object;
    synced::event until;
    const eager::task task = app::session(tracker, object, until);
    await_age(tracker, 2 * limit);
    const json dump = support::dump_as_json();
    const std::vector<json> leaks = leaks_of(dump, "told");
    ASSERT_EQ(leaks.size(), 1U) << dump["tracked_resources"].dump(1);
    EXPECT_EQ(leaks[0]["label"], "10.0.0.7:443");
    EXPECT_EQ(leaks[0]["object"], support::address_text(&object));
    EXPECT_EQ(leaks[0]["opened_at"]["function"], "app::acquire");
    EXPECT_GE(leaks[0]["age_seconds"].get<double>(), 0.07);
    EXPECT_EQ(leaks[0]["thread"], gettid());
    EXPECT_TRUE(leaks[0]["stack"].is_null());
    ASSERT_EQ(dump["tasks"].size(), 1U);
    EXPECT_EQ(leaks[0]["task"], dump["tasks"][0]["id"]);
    EXPECT_EQ(kind_of(dump, "told")["over_limit"], 1);
    const json verdict = verdict_on(dump, "'told'");
    ASSERT_TRUE(verdict.is_object()) << dump["verdicts"].dump(1);
    EXPECT_EQ(verdict["severity"], "warning");
    EXPECT_EQ(verdict["tasks"][0], dump["tasks"][0]["id"]);
    EXPECT_NE(verdict["evidence"][0].get<std::string>().find("app::acquire"), std::string::npos);
    const std::vector<corodump::leak> reported = tracker.report_leaks(limit);
    ASSERT_EQ(reported.size(), 1U);
    EXPECT_EQ(dump["tasks"][0]["id"], json(reported[0].task_id));
    EXPECT_EQ(reported[0].task_name, "session 17");
    EXPECT_EQ(reported[0].function, "app::acquire");

    until.set();
    const json after = support::dump_as_json();
    EXPECT_TRUE(leaks_of(after, "told").empty());
    EXPECT_TRUE(verdict_on(after, "'told'").is_null());
    EXPECT_EQ(kind_of(after, "told")["live"], 0);
    EXPECT_EQ(kind_of(after, "told")["opened"], 1);
}

TEST(TrackedResources, AreOnlyCountedWhereThereIsNoLimit) {
    const corodump::agent agent;
    const connections tracker("unlimited");
    const connections limited("limited", {.max_age = limit});
    const token a = app::acquire(tracker, {}, "a"), b = app::acquire(limited, {}, "b");
    await_age(limited, 2 * limit);
    const json dump = support::dump_as_json();
    EXPECT_TRUE(leaks_of(dump, "unlimited").empty());
    EXPECT_TRUE(verdict_on(dump, "'unlimited'").is_null());
    EXPECT_TRUE(kind_of(dump, "unlimited")["max_age_seconds"].is_null());
    EXPECT_EQ(kind_of(dump, "unlimited")["live"], 1);
    EXPECT_GE(kind_of(dump, "unlimited")["oldest_seconds"].get<double>(), 0.07);
    EXPECT_EQ(leaks_of(dump, "limited").size(), 1U);
    EXPECT_TRUE(verdict_on(dump, "'limited'").is_object());
}

TEST(TrackedResources, OfAnOpenerThatHasEndedHaveNoTask) {
    const corodump::agent agent(with_limit());
    const connections tracker("orphaned");
    token kept;
    synced::event until;
    {
        const eager::task opener = [](const connections& from, token& into,
                                      synced::event& end) -> eager::task {
            into = app::acquire(from, {}, "left behind");
            co_await end;
            co_return 1;
        }(tracker, kept, until);
        until.set();
    }
    await_age(tracker, 2 * limit);
    const std::vector<json> leaks = leaks_of(support::dump_as_json(), "orphaned");
    ASSERT_EQ(leaks.size(), 1U);
    EXPECT_TRUE(leaks[0]["task"].is_null());
    EXPECT_EQ(tracker.report_leaks(limit)[0].task_id, "");
}

TEST(TrackedResources, HaveTheStackTheyWereOpenedOnWhereWanted) {
    corodump::options chosen = with_limit();
    chosen.resource_stacks = true;
    const corodump::agent agent(chosen);
    const connections tracker("stacked");
    std::vector<token> open;
    for (int i = 0; i < 3; ++i) open.push_back(app::connect(tracker, {}, "a"));
    await_age(tracker, 2 * limit);
    const std::vector<json> leaks = leaks_of(support::dump_as_json(), "stacked");
    ASSERT_EQ(leaks.size(), 3U);
    for (const json& one : leaks) {
        ASSERT_GE(one["stack"].size(), 2U);
        EXPECT_EQ(one["stack"][0]["function"], "app::acquire");
        EXPECT_EQ(one["stack"][1]["function"], "app::connect");
    }
}

TEST(TrackedResources, AHundredThousandAreCountedAndTheOldestShown) {
    const corodump::agent agent(with_limit());
    const connections tracker("crowd");
    std::vector<token> open;
    for (int i = 0; i < 100'000; ++i) open.push_back(tracker.open(std::to_string(i)));
    while (tracker.report_leaks(2 * limit).size() < open.size()) std::this_thread::yield();
    const json dump = support::dump_as_json();
    EXPECT_EQ(kind_of(dump, "crowd")["live"], 100'000);
    EXPECT_EQ(kind_of(dump, "crowd")["over_limit"], 100'000);
    EXPECT_EQ(leaks_of(dump, "crowd").size(), 1024U);
    EXPECT_EQ(dump["tracked_resources"]["leaks_left_out"], 100'000 - 1024);
    for (const json& place : dump["tracked_resources"]["places"])
        EXPECT_TRUE(place["kind"] != "crowd" || place["live"] == 100'000) << place.dump();
}

TEST(TrackedResources, ComeAndGoWhileDumpsAreTaken) {
    corodump::options chosen;
    chosen.resource_max_age = 8ms;
    const corodump::agent agent(chosen);
    const connections tracker("busy");
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> opened{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&] {
            std::vector<token> held(64);
            std::uint64_t own = 0;
            for (; !stop.load(); ++own) {
                token& next = held[own % held.size()];
                next = app::acquire(tracker, {}, own % 3 == 0 ? "short" : "a longer label than 24");
                if (own % 5 == 0) next.relabel("renamed to something longer than it was before");
                if (own % 7 == 0) std::thread([&next] { next.close(); }).join();
            }
            opened += own;
        });
    for (int i = 0; i < 10; ++i) {
        const json dump = support::dump_as_json();
        for (const json& one : leaks_of(dump, "busy")) {
            const std::string label = one["label"];
            EXPECT_TRUE(label == "short" || label == "a longer label than 24" ||
                        label == "renamed to something longer than it was before")
                << label;
        }
        EXPECT_LE(kind_of(dump, "busy")["live"], 3 * 65);
    }
    stop = true;
    for (std::thread& one : threads) one.join();
    EXPECT_EQ(tracker.live(), 0U);
    EXPECT_EQ(tracker.opened(), opened.load());
}

TEST(TrackedResources, WithHostileLabelsHarmNothing) {
    const corodump::agent agent(with_limit());
    const connections tracker("host\"ile\n");
    const token escape = app::acquire(tracker, {}, "\x1b]0;owned\x07\xff\xfe\"\\\n</script>");
    const token secret = app::acquire(tracker, {}, "password=hunter2");
    const corodump::resource_tracker<int> keys("api_key");
    const auto key = keys.open("AKIAIOSFODNN7");
    await_age(tracker, 2 * limit);
    while (keys.report_leaks(2 * limit).empty()) std::this_thread::yield();
    const json dump = support::dump_as_json();
    EXPECT_EQ(leaks_of(dump, "host\"ile\n").size(), 2U);
    const std::string text = dump.dump();
    EXPECT_EQ(text.find("hunter2"), std::string::npos);
    EXPECT_EQ(text.find("AKIAIOSFODNN7"), std::string::npos);
#ifdef CORODUMP_CLI
    const std::string shown = shown_now();
    EXPECT_EQ(shown.find('\x1b'), std::string::npos);
    EXPECT_NE(shown.find("\\x1b]0;owned"), std::string::npos) << shown;
#endif
}

#ifdef CORODUMP_CLI
TEST(TrackedResources, AreShownByTheCommand) {
    const corodump::agent agent(with_limit());
    const connections tracker("connection");
    std::vector<token> open;
    for (int i = 0; i < 5; ++i)
        open.push_back(app::acquire(tracker, {}, "10.0.0." + std::to_string(i)));
    await_age(tracker, 2 * limit);
    const std::string shown = shown_now();
    EXPECT_NE(shown.find("RESOURCES"), std::string::npos) << shown;
    EXPECT_NE(shown.find("5 of \"connection\""), std::string::npos) << shown;
    EXPECT_NE(shown.find("app::acquire"), std::string::npos) << shown;
    EXPECT_NE(shown.find("\"10.0.0."), std::string::npos) << shown;
    EXPECT_NE(shown.find("\" and 2 more"), std::string::npos) << shown;
}
#endif

TEST(Tasks, AreTooOldOnlyWhereALimitSaysSo) {
    const connections tracker("any");
    for (const bool limited : {true, false}) {
        synced::event until;
        corodump::options chosen;
        if (limited) chosen.task_max_age = limit;
        const corodump::agent agent(chosen);
        const eager::task task = app::session(tracker, {}, until);
        await_age(tracker, 2 * limit);
        const json dump = support::dump_as_json();
        EXPECT_EQ(leaks_of(dump, "task").size(), limited ? 1U : 0U);
        EXPECT_EQ(verdict_on(dump, "1 of 1 task").is_object(), limited) << dump["verdicts"].dump(1);
        if (limited) {
            EXPECT_EQ(leaks_of(dump, "task")[0]["opened_at"]["function"], "app::session");
            EXPECT_EQ(verdict_on(dump, "1 of 1 task")["tasks"][0], dump["tasks"][0]["id"]);
        }
        EXPECT_EQ(kind_of(dump, "task")["live"], 1);
        until.set();
    }
}

TEST(Descriptors, ThatStayOpenAreSeenWithTheirAge) {
    corodump::options chosen;
    chosen.descriptors = true;
    chosen.descriptor_max_age = limit;
    const corodump::agent agent(chosen);
    EXPECT_TRUE(verdict_on(support::dump_as_json(), "descriptor").is_null());
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    json dump = support::dump_as_json();
    const auto live = kind_of(dump, "descriptor")["live"].get<int>();
    while (leaks_of(dump, "descriptor").size() < 2) dump = support::dump_as_json();
    const std::vector<json> leaks = leaks_of(dump, "descriptor");
    ASSERT_EQ(leaks.size(), 2U);
    EXPECT_EQ(leaks[0]["descriptor"], pair[0]);
    EXPECT_EQ(leaks[0]["label"].get<std::string>().substr(0, 8), "socket:[");
    EXPECT_GE(leaks[0]["age_seconds"].get<double>(), 0.04);
    EXPECT_TRUE(verdict_on(dump, "2 of ").is_object());
    close(pair[0]);
    close(pair[1]);
    const json after = support::dump_as_json();
    EXPECT_TRUE(leaks_of(after, "descriptor").empty());
    EXPECT_TRUE(verdict_on(after, "descriptor").is_null());
    EXPECT_EQ(kind_of(after, "descriptor")["live"], live - 2);
}

TEST(Descriptors, AreNotWatchedUnlessWanted) {
    const corodump::agent agent;
    const connections tracker("others");
    const json dump = support::dump_as_json();
    for (const json& kind : dump["tracked_resources"]["kinds"])
        EXPECT_NE(kind["kind"], "descriptor");
}

}  // namespace
