// Context variables in Boost.Asio: what co_spawn, nested awaitables, operators and strands on a pool
// of threads see.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <chrono>
#include <corodump/agent.hpp>
#include <corodump/context.hpp>
#include <map>
#include <string>
#include <vector>

#include "support_dump.hpp"

namespace asio = boost::asio;

namespace {

using namespace asio::experimental::awaitable_operators;
using asio::use_awaitable;
using namespace std::chrono_literals;

const corodump::context_variable<std::string> request_id("request_id");
const corodump::context_variable<int> step("step");

std::string seen() {
    return request_id.value_or("-");
}

asio::awaitable<std::string> reads_after_hops(int hops) {
    for (int i = 0; i < hops; ++i)
        co_await asio::post(co_await asio::this_coro::executor, use_awaitable);
    co_return seen();
}

asio::awaitable<std::string> reads_below() {
    co_return co_await reads_after_hops(2);
}

TEST(AsioContext, IsSeenBelowAndBySpawnedTasksAndRestored) {
    asio::io_context io;
    std::string below, spawned, early, after;
    const auto handle = [&]() -> asio::awaitable<void> {
        asio::awaitable<std::string> made_before = reads_below();
        request_id.set("r-1");
        below = co_await reads_below();
        early = co_await std::move(made_before);
        asio::co_spawn(io, reads_below(),
                       [&](std::exception_ptr, std::string found) { spawned = found; });
        request_id.set("later");
    };
    const auto outer = [&]() -> asio::awaitable<void> {
        co_await handle();
        after = seen();
    };
    {
        const auto bound = request_id.bind("main");
        asio::co_spawn(io, outer(), asio::detached);
    }
    io.run();
    EXPECT_EQ(below, "r-1");
    EXPECT_EQ(early, "r-1");
    EXPECT_EQ(spawned, "r-1");
    EXPECT_EQ(after, "main") << "bound where it was spawned";
    EXPECT_EQ(seen(), "-");
}

TEST(AsioContext, IsThatOfTheParentInOperators) {
    asio::io_context io;
    std::string found;
    const auto outer = [&]() -> asio::awaitable<void> {
        request_id.set("both");
        auto [one, other] = co_await (reads_below() && reads_below());
        request_id.set("either");
        const auto either = co_await (reads_below() || reads_after_hops(50));
        found = one + ' ' + other + ' ' + std::get<0>(either);
    };
    asio::co_spawn(io, outer(), asio::detached);
    io.run();
    EXPECT_EQ(found, "both both either");
}

TEST(AsioContext, StaysWithItsTaskOnStrandsOfAPoolOfThreads) {
    constexpr int sessions = 64, steps = 50;
    asio::thread_pool pool(4);
    std::atomic<int> wrong{0}, right{0};
    const auto check = [&](int session, int at) -> asio::awaitable<void> {
        co_await asio::post(co_await asio::this_coro::executor, use_awaitable);
        const bool same = seen() == std::to_string(session) && step.value_or(-1) == at;
        ++(same ? right : wrong);
    };
    const auto run = [&](int session) -> asio::awaitable<void> {
        request_id.set(std::to_string(session));
        for (int i = 0; i < steps; ++i) {
            const auto bound = step.bind(i);
            co_await check(session, i);
            co_await asio::post(pool, use_awaitable);
        }
        if (step.get() != nullptr) ++wrong;
    };
    for (int i = 0; i < sessions; ++i)
        asio::co_spawn(asio::make_strand(pool), run(i), asio::detached);
    pool.join();
    EXPECT_EQ(wrong.load(), 0);
    EXPECT_EQ(right.load(), sessions * steps);
}

TEST(AsioContext, IsInTheDumpOfEachTask) {
    const corodump::agent agent;
    asio::io_context io;
    asio::steady_timer never(io, 1h);
    const auto waits = [&]() -> asio::awaitable<void> {
        boost::system::error_code ignored;
        co_await never.async_wait(asio::redirect_error(use_awaitable, ignored));
    };
    const auto session = [&](std::string id) -> asio::awaitable<void> {
        request_id.set(id);
        co_await waits();
    };
    for (const char* const id : {"a", "b"}) asio::co_spawn(io, session(id), asio::detached);
    io.run_for(20ms);
    const support::dump found = support::take_dump();
    std::map<std::string, int> ids;
    for (const support::task& one : found.tasks) {
        const auto label = one.labels.find("request_id");
        if (label != one.labels.end()) ++ids[label->second];
    }
    EXPECT_EQ(ids, (std::map<std::string, int>{{"a", 1}, {"b", 1}})) << found.chains();
    never.cancel();
    io.restart();
    io.run();
}

/// Dumps while lists are made and dropped: no text is ever another variable's.
TEST(AsioContext, IsReadWholeWhileItChanges) {
    const corodump::agent agent;
    asio::thread_pool pool(2);
    std::atomic<bool> stop{false};
    const auto run = [&](std::string id) -> asio::awaitable<void> {
        request_id.set(id);
        while (!stop.load()) {
            const auto bound = step.bind(7);
            co_await reads_after_hops(1);
        }
    };
    for (int i = 0; i < 8; ++i)
        asio::co_spawn(asio::make_strand(pool), run("id-" + std::to_string(i)), asio::detached);
    int labels = 0;
    for (int i = 0; i < 20; ++i) {
        const support::dump found = support::take_moving_dump();
        for (const support::task& one : found.tasks)
            for (const auto& [name, value] : one.labels) {
                ++labels;
                EXPECT_TRUE(name == "request_id" || name == "step") << name;
                EXPECT_TRUE(name == "step" ? value == "7" : value.starts_with("id-")) << value;
            }
    }
    stop = true;
    pool.join();
    EXPECT_GT(labels, 0);
}

}  // namespace
