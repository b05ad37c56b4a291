// The cases of asio_loops_test.cpp and asio_standalone_loops_test.cpp: `asio` is one or the other.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <corodump/agent.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>
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

constexpr corodump::asio_loop_options chosen{.threshold = threshold};

class AsioLoop : public testing::Test {
protected:
    /// Waits until what blocks at the gate is told of, and releases it.
    void expect_told(log_lines& lines, std::string_view told, std::string_view function) {
        const json dump = support::dump_when_told(at, lines, told, function);
        const json& stall = dump["stalls"].back();
        EXPECT_TRUE(stall["ongoing"].get<bool>());
        EXPECT_TRUE(has_frame(stall["frames"], function)) << stall.dump(2);
    }

    corodump::agent agent{watchful()};
    asio::io_context io;
    gate at;
};
using AsioPool = AsioLoop;

asio::awaitable<void> spinning(gate& at) {
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    slow_spin(at);
}

TEST_F(AsioLoop, ThatRunsAsEverIsToldOfByItsHeartbeat) {
    corodump::asio_loop_monitor monitor(io, "plain", chosen);
    log_lines lines;
    asio::steady_timer later(io, 30ms);
    later.async_wait([&](auto) { slow_read(at); });
    std::thread worker([&] { io.run(); });
    expect_told(lines, "loop \"plain\" is blocked", "slow_read");
    monitor.stop();
    worker.join();
}

TEST_F(AsioLoop, ThatRunsByItsMonitorIsToldOfAfterAWait) {
    corodump::asio_loop_monitor monitor(io, "run", chosen);
    log_lines lines;
    asio::steady_timer later(io, 30ms);
    later.async_wait([&](auto) { slow_read(at); });
    std::thread worker([&] { monitor.run(); });
    expect_told(lines, "loop \"run\" is blocked", "slow_read");
    worker.join();
    EXPECT_EQ(loop_of(dump_as_json(), "run")["callbacks"]["over_threshold"], 1);
}

TEST_F(AsioLoop, OfSeveralThreadsIsToldOfForTheOneThatBlocks) {
    corodump::asio_loop_monitor monitor(io, "several", chosen);
    log_lines lines;
    auto work = asio::make_work_guard(io);
    std::vector<std::thread> workers;
    for (int i = 0; i < 3; ++i) workers.emplace_back([&] { monitor.run(); });
    asio::post(io, [&] { slow_read(at); });
    expect_told(lines, "loop \"several\" is blocked", "slow_read");
    work.reset();
    for (std::thread& one : workers) one.join();
}

TEST_F(AsioLoop, TellsOfACoroutineThatUsesAProcessor) {
    CORODUMP_TEST_NEEDS_RUNNING_STACKS();
    corodump::asio_loop_monitor monitor(io, "coroutines", chosen);
    log_lines lines;
    asio::co_spawn(io, spinning(at), asio::detached);
    std::thread worker([&] { monitor.run(); });
    expect_told(lines, "blocked", "slow_spin");
    worker.join();
    const json stalls = dump_as_json()["stalls"];
    EXPECT_NE(stalls.back()["function"].dump().find("spinning"), std::string::npos);
}

TEST_F(AsioLoop, TimesEachCallbackOfItsExecutor) {
    corodump::asio_loop_monitor monitor(
        io, "executor", {.threshold = threshold, .precise = true, .heartbeat = -1ns});
    std::atomic<int> ran{0};
    for (int i = 0; i < 10; ++i) asio::post(monitor.executor(), [&] { ++ran; });
    asio::steady_timer timer(monitor.executor(), 1ms);
    timer.async_wait([&](auto) { ++ran; });
    asio::co_spawn(
        monitor.executor(),
        [&]() -> asio::awaitable<void> {
            ++ran;
            co_return;
        },
        asio::detached);
    const auto strand = asio::make_strand(monitor.executor());
    asio::post(strand, [&] { ++ran; });
    io.run();
    EXPECT_EQ(ran.load(), 13);
    EXPECT_GE(loop_of(dump_as_json(), "executor")["callbacks"]["count"].get<int>(), 13);
}

TEST_F(AsioLoop, IsToldOfByItsExecutorAlone) {
    corodump::asio_loop_monitor monitor(io, "alone", {.threshold = threshold, .heartbeat = -1ns});
    log_lines lines;
    asio::post(monitor.executor(), [&] { slow_read(at); });
    std::thread worker([&] { io.run(); });
    expect_told(lines, "loop \"alone\" is blocked", "slow_read");
    worker.join();
}

TEST_F(AsioLoop, ThatIsHealthyIsNotToldOf) {
    log_lines lines;
    corodump::asio_loop_monitor monitor(io, "healthy", chosen);
    const auto end = std::chrono::steady_clock::now() + 3 * threshold;
    std::function<void()> again = [&] {
        const auto until = std::chrono::steady_clock::now() + 100us;
        while (std::chrono::steady_clock::now() < until) {
        }
        if (until < end) asio::post(io, again);
    };
    asio::post(io, again);
    monitor.run();
    asio::steady_timer idle(io, 2 * threshold);
    idle.async_wait([](auto) {});
    io.restart();
    monitor.run();
    const json dump = dump_as_json();
    EXPECT_GE(loop_of(dump, "healthy")["callbacks"]["count"].get<int>(), 100);
    EXPECT_FALSE(loop_of(dump, "healthy")["queue_delay"].is_null());
    EXPECT_EQ(loop_of(dump, "healthy")["callbacks"]["over_threshold"], 0);
    EXPECT_EQ(lines.text().find("healthy"), std::string::npos) << lines.text();
}

TEST_F(AsioLoop, RunReturnsWhenThereIsNothingLeftToDo) {
    corodump::asio_loop_monitor monitor(io, "dry", chosen);
    bool ran = false;
    asio::post(io, [&] { ran = true; });
    EXPECT_GE(monitor.run(), 1U);
    EXPECT_TRUE(ran);
    EXPECT_TRUE(io.stopped());
}

TEST_F(AsioLoop, RunPassesExceptionsOn) {
    corodump::asio_loop_monitor monitor(io, "throwing", chosen);
    int ran = 0;
    asio::post(io, [] { throw 7; });
    asio::post(io, [&] { ++ran; });
    EXPECT_THROW(monitor.run(), int);
    monitor.run();
    EXPECT_EQ(ran, 1);
    EXPECT_TRUE(loop_of(dump_as_json(), "throwing")["current"].is_null());
}

TEST_F(AsioLoop, HeartbeatKeepsTheContextBusyUntilItIsStopped) {
    corodump::asio_loop_monitor monitor(io, "beating", {.threshold = threshold, .heartbeat = 2ms});
    EXPECT_GE(io.run_one(), 1U);
    EXPECT_GE(io.run_one(), 1U);
    EXPECT_FALSE(io.stopped());
    EXPECT_FALSE(loop_of(dump_as_json(), "beating")["queue_delay"].is_null());
    monitor.stop();
    io.run();
    EXPECT_TRUE(io.stopped());
}

TEST_F(AsioLoop, MonitorMayEndBeforeItsContextWithAHeartbeatUnderWay) {
    {
        const corodump::asio_loop_monitor monitor(io, "ended", chosen);
    }
    io.run();
    EXPECT_TRUE(io.stopped());
    for (const json& loop : dump_as_json().value("loops", json::array()))
        EXPECT_NE(loop["name"], "ended");
}

TEST_F(AsioPool, ShowsEachOfItsThreadsAndIsToldOf) {
    asio::thread_pool pool(3);
    corodump::asio_loop_monitor monitor(pool, "pool", chosen);
    log_lines lines;
    std::atomic<int> arrived{0};
    for (int i = 0; i < 3; ++i)
        asio::post(monitor.executor(), [&] {
            ++arrived;
            while (arrived.load() < 3) std::this_thread::yield();
        });
    while (arrived.load() < 3) std::this_thread::yield();
    asio::post(monitor.executor(), [&] { slow_read(at); });
    expect_told(lines, "loop \"pool\" is blocked", "slow_read");
    monitor.stop();
    pool.wait();
    const json loop = loop_of(dump_as_json(), "pool");
    EXPECT_EQ(loop["kind"], "thread_pool");
    EXPECT_EQ(loop["callbacks"]["count"], 4);
    EXPECT_EQ(loop["callbacks"]["over_threshold"], 1);
    EXPECT_FALSE(loop["queue_delay"].is_null());
}

}  // namespace
