// A service's own loop and its coroutines, blocked and healthy: what the agent says of them while
// it lasts, and in dumps.
#include <gtest/gtest.h>

#include <chrono>
#include <corodump/agent.hpp>
#include <corodump/loop_monitor.hpp>
#include <corodump/task.hpp>
#include <corodump/tracked_promise.hpp>
#include <coroutine>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <source_location>
#include <string>
#include <thread>
#include <vector>

#include "support_dump.hpp"
#include "support_stalls.hpp"
#include "tests/sanitizers.hpp"

namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using support::dump_as_json;
using support::gate;
using support::has_frame;
using support::log_lines;
using support::loop_of;
using support::threshold;
using support::watchful;

std::int64_t last_bound_over(const json& callbacks, double seconds) {
    std::int64_t count = 0;
    for (const json& bucket : callbacks["histogram"])
        if (bucket["below_seconds"].is_null() || bucket["below_seconds"] > seconds)
            count += bucket["count"].get<std::int64_t>();
    return count;
}

std::size_t count_of(const std::string& text, std::string_view part) {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
    return count;
}

/// Blocks a thread in `how` and returns the dump that was taken meanwhile.
json while_blocked(const std::function<void(gate&)>& how, const std::string& told,
                   const std::string& function) {
    log_lines lines;
    gate at;
    std::thread worker([&] { how(at); });
    json dump = support::dump_when_told(at, lines, told, function);
    worker.join();
    return dump;
}

// --- own loops ------------------------------------------------------------------------------

TEST(OwnLoop, IsToldOfWhileItsCallbackBlocks) {
    const corodump::agent agent(watchful());
    const corodump::loop_monitor monitor("orders");
    const json dump = while_blocked(
        [&](gate& at) {
            monitor.callback_begin();
            slow_read(at);
            monitor.callback_end();
        },
        "loop \"orders\" is blocked", "slow_read");
    const json& stall = dump["stalls"].back();
    EXPECT_EQ(stall["loop"], "orders");
    EXPECT_TRUE(stall["ongoing"].get<bool>());
    EXPECT_GE(stall["duration_seconds"].get<double>(), 0.19);
    EXPECT_TRUE(has_frame(stall["frames"], "slow_read")) << stall.dump(2);
    const json loop = loop_of(dump, "orders");
    EXPECT_EQ(loop["kind"], "loop");
    EXPECT_EQ(loop["current"]["thread"], stall["thread"]);
    EXPECT_GE(loop["current"]["since_seconds"].get<double>(), 0.19);

    const json after = dump_as_json();
    EXPECT_FALSE(after["stalls"].back()["ongoing"].get<bool>());
    EXPECT_EQ(loop_of(after, "orders")["callbacks"]["count"], 1);
    EXPECT_EQ(loop_of(after, "orders")["callbacks"]["over_threshold"], 1);
    EXPECT_GE(loop_of(after, "orders")["callbacks"]["max_seconds"].get<double>(), 0.19);
    EXPECT_EQ(last_bound_over(loop_of(after, "orders")["callbacks"], 0.19), 1);
}

TEST(OwnLoop, IsToldOfWhileItsCallbackUsesAProcessor) {
    CORODUMP_TEST_NEEDS_RUNNING_STACKS();
    const corodump::agent agent(watchful());
    const corodump::loop_monitor monitor("spinner");
    const json dump = while_blocked(
        [&](gate& at) {
            const corodump::loop_monitor::callback running(monitor);
            slow_spin(at);
        },
        "loop \"spinner\" is blocked", "slow_spin");
    EXPECT_TRUE(has_frame(dump["stalls"].back()["frames"], "slow_spin"));
}

TEST(OwnLoop, ThatIsBusyWithShortCallbacksIsNotToldOf) {
    log_lines lines;
    const corodump::agent agent(watchful());
    const corodump::loop_monitor monitor("healthy");
    const auto end = std::chrono::steady_clock::now() + 3 * threshold;
    std::uint64_t ran = 0;
    for (; std::chrono::steady_clock::now() < end; ++ran) {
        const corodump::loop_monitor::callback running(monitor);
        const auto until = std::chrono::steady_clock::now() + 50us;
        while (std::chrono::steady_clock::now() < until) {
        }
    }
    const json dump = dump_as_json();
    EXPECT_EQ(loop_of(dump, "healthy")["callbacks"]["count"], ran);
    for (const json& stall : dump["stalls"]) EXPECT_NE(stall["loop"], "healthy");
    EXPECT_EQ(lines.text().find("healthy"), std::string::npos) << lines.text();
}

TEST(OwnLoop, MeasuresEachCallbackWherePrecise) {
    const corodump::agent agent(watchful());
    const corodump::loop_monitor monitor("precise", {.precise = true});
    for (int i = 0; i < 3; ++i) {
        const corodump::loop_monitor::callback running(monitor);
        const auto until = std::chrono::steady_clock::now() + 1ms;
        while (std::chrono::steady_clock::now() < until) {
        }
    }
    const json callbacks = loop_of(dump_as_json(), "precise")["callbacks"];
    EXPECT_EQ(callbacks["count"], 3);
    EXPECT_GE(callbacks["average_seconds"].get<double>(), 0.001);
    EXPECT_EQ(last_bound_over(callbacks, 0.0009), 3);
}

TEST(OwnLoop, CountsCallbacksInsideOfEachOtherAsOne) {
    const corodump::agent agent(watchful());
    const corodump::loop_monitor monitor("nested");
    {
        const corodump::loop_monitor::callback outer(monitor);
        const corodump::loop_monitor::callback inner(monitor);
    }
    monitor.callback_begin();
    monitor.callback_cancel();
    EXPECT_EQ(loop_of(dump_as_json(), "nested")["callbacks"]["count"], 1);
}

TEST(OwnLoop, ShowsItsHeartbeatAndQueue) {
    const corodump::agent agent(watchful());
    const corodump::loop_monitor monitor("beating");
    EXPECT_TRUE(loop_of(dump_as_json(), "beating")["queue_delay"].is_null());
    monitor.heartbeat(30ms);
    monitor.heartbeat(2ms);
    monitor.queued(17);
    const json loop = loop_of(dump_as_json(), "beating");
    EXPECT_DOUBLE_EQ(loop["queue_delay"]["last_seconds"].get<double>(), 0.002);
    EXPECT_DOUBLE_EQ(loop["queue_delay"]["max_seconds"].get<double>(), 0.03);
    EXPECT_EQ(loop["queued"], 17);
}

TEST(OwnLoop, IsToldOfWhenItsHeartbeatDoesNotCome) {
    const corodump::agent agent(watchful());
    const corodump::loop_monitor monitor("silent");
    while_blocked(
        [&](gate& at) {
            monitor.heartbeat(0ms, 5ms);
            slow_read(at);
            monitor.heartbeat(0ms);
        },
        "loop \"silent\" is blocked", "slow_read");
}

TEST(OwnLoop, IsGoneWithItsMonitorAndItsThreadsSlotsServeOthers) {
    const corodump::agent agent(watchful());
    for (int i = 0; i < 1000; ++i) {
        const corodump::loop_monitor monitor("short-lived");
        const corodump::loop_monitor::callback running(monitor);
    }
    const json loops = dump_as_json().value("loops", json::array());
    for (const json& loop : loops) EXPECT_NE(loop["name"], "short-lived");
}

TEST(OwnLoop, AddsUpItsThreadsAlsoOfThoseThatHaveEnded) {
    const corodump::agent agent(watchful());
    const corodump::loop_monitor monitor("pool");
    for (int i = 0; i < 4; ++i)
        std::thread([&] {
            for (int k = 0; k < 100; ++k) const corodump::loop_monitor::callback running(monitor);
        }).join();
    const json loop = loop_of(dump_as_json(), "pool");
    EXPECT_EQ(loop["callbacks"]["count"], 400);
    EXPECT_TRUE(loop["threads"].empty());
}

TEST(OwnLoop, OverTheBoundDoesNothing) {
    std::vector<std::unique_ptr<corodump::loop_monitor>> many;
    for (int i = 0; i < 300; ++i) many.push_back(std::make_unique<corodump::loop_monitor>("many"));
    const corodump::loop_monitor::callback running(*many.back());
    many.back()->heartbeat(1ms);
    many.back()->queued(1);
}

// --- coroutines, without any call -----------------------------------------------------------

struct job {
    struct promise_type : corodump::tracked_promise<promise_type> {
        job get_return_object(std::source_location where = std::source_location::current()) {
            created_at(where);
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        auto initial_suspend() noexcept { return track_start(std::suspend_never{}); }
        auto final_suspend() noexcept { return track_end(std::suspend_always{}); }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
};

struct pause_here {
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<>) {}
    void await_resume() {}
};

job session(gate& at, void (*block)(gate&)) {
    co_await pause_here{};
    corodump::set_name("session 17");
    block(at);
    co_await pause_here{};
}

void run_session(gate& at, void (*block)(gate&)) {
    const job made = session(at, block);
    while (!made.handle.done()) made.handle.resume();
    made.handle.destroy();
}

TEST(Coroutine, IsToldOfWhileItsRunBlocks) {
    const corodump::agent agent(watchful());
    const json dump = while_blocked([](gate& at) { run_session(at, slow_read); },
                                    "a coroutine has not suspended", "slow_read");
    const json& stall = dump["stalls"].back();
    EXPECT_TRUE(stall["loop"].is_null());
    EXPECT_NE(stall["function"].get<std::string>().find("session"), std::string::npos);
    EXPECT_EQ(stall["name"], "session 17");
    EXPECT_TRUE(has_frame(stall["frames"], "slow_read"));
    ASSERT_TRUE(stall["task"].is_string());
    bool found = false;
    for (const json& task : dump["tasks"]) found = found || task["id"] == stall["task"];
    EXPECT_TRUE(found);
}

TEST(Coroutine, IsToldOfWhileItsRunUsesAProcessor) {
    CORODUMP_TEST_NEEDS_RUNNING_STACKS();
    const corodump::agent agent(watchful());
    const json dump = while_blocked([](gate& at) { run_session(at, slow_spin); },
                                    "a coroutine has not suspended", "slow_spin");
    EXPECT_TRUE(has_frame(dump["stalls"].back()["frames"], "slow_spin"));
}

TEST(Coroutine, IsNotToldOfWhereStallsAreOff) {
    log_lines lines;
    corodump::options chosen;
    chosen.stall_threshold = 0ms;
    const corodump::agent agent(chosen);
    gate at;
    std::thread worker([&] { run_session(at, slow_read); });
    while (at.blocked_for() < threshold) std::this_thread::yield();
    at.release();
    worker.join();
    EXPECT_EQ(lines.text().find("has not suspended"), std::string::npos);
}

TEST(Coroutine, RunsAreCountedWhereThatIsAskedFor) {
    corodump::options chosen = watchful();
    chosen.count_callbacks = true;
    const corodump::agent agent(chosen);
    std::thread([] {
        gate at;
        for (int i = 0; i < 10; ++i) run_session(at, [](gate&) {});
    }).join();
    const json loop = loop_of(dump_as_json(), "coroutines");
    EXPECT_EQ(loop["kind"], "coroutines");
    EXPECT_GE(loop["callbacks"]["count"].get<int>(), 20);
}

// --- dumps of the agent's own ---------------------------------------------------------------

TEST(Stall, IsDumpedByItselfWhereThatIsAskedForAndOnlyOnce) {
    corodump::options chosen = watchful();
    chosen.dump_on_stall = true;
    log_lines lines;
    const corodump::agent agent(chosen);
    gate first;
    std::thread worker([&] { run_session(first, slow_read); });
    const auto line = lines.await("dumped 1 task to ", 5s);
    first.release();
    worker.join();
    ASSERT_TRUE(line.has_value());
    const std::size_t from = line->find(" to ") + 4;
    const std::string path = line->substr(from, line->find(" in ", from) - from);
    const json dump = dump_as_json(path);
    EXPECT_EQ(dump["dump"]["trigger"]["kind"], "stall");
    EXPECT_TRUE(dump["stalls"].back()["ongoing"].get<bool>());

    // A second stall within the interval of one minute: told of, but not dumped.
    gate second;
    std::thread again([&] { run_session(second, slow_read); });
    std::size_t dumps = 1;
    for (bool seen = false; !seen; ++dumps)
        seen = dump_as_json()["stalls_seen"].get<int>() > dump["stalls_seen"].get<int>();
    second.release();
    again.join();
    static_cast<void>(dump_as_json());  // it would come behind the one that was wished for
    EXPECT_EQ(count_of(lines.text(), " dumped "), dumps + 1);
}

}  // namespace
