// Failures of co_spawned tasks: which completion handlers see them, what became of the tasks.
#include <gtest/gtest.h>

#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <chrono>
#include <corodump/agent.hpp>
#include <corodump/task.hpp>
#include <future>
#include <stdexcept>
#include <string>

#include "support_dump.hpp"
#include "support_failures.hpp"

namespace asio = boost::asio;

namespace app {

using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;
using asio::use_awaitable;

asio::awaitable<void> fails(std::string message) {
    throw std::runtime_error(message);
    co_return;
}
asio::awaitable<void> session(std::string message) {
    corodump::set_name("session");
    co_await fails(std::move(message));
}
asio::awaitable<void> both(std::string message) {
    try {
        co_await (session(message) && session(message));
    } catch (const std::runtime_error&) {
    }
}
asio::awaitable<void> waits(asio::steady_timer& timer) {
    co_await timer.async_wait(use_awaitable);
}
constexpr auto waits_long = 1h;
asio::awaitable<void> succeeds() {
    co_return;
}

}  // namespace app

namespace {

using nlohmann::json;
using support::captured_log;
using support::failure_with;

const corodump::agent agent;

/// The last finished task of this function; null: none.
json finished_in(const json& dump, std::string_view function) {
    if (!dump.contains("finished")) return {};
    for (auto at = dump["finished"].rbegin(); at != dump["finished"].rend(); ++at)
        if ((*at)["function"] == function) return *at;
    return {};
}

TEST(AsioFailures, OfDetachedTasksAreSeenByNobody) {
    captured_log log;
    asio::io_context io;
    asio::co_spawn(io, app::session("dropped by detached"), asio::detached);
    io.run();
    ASSERT_TRUE(log.comes("dropped by detached")) << log.text();
    const json failure = failure_with(support::dump_as_json(), "dropped by detached");
    EXPECT_EQ(failure["observed"], false);
    EXPECT_EQ(failure["name"], "session");
    EXPECT_TRUE(support::functions_of(failure["await_chain"]).ends_with(" > session > fails"));
    EXPECT_EQ(support::functions_of(json::array({failure["created"]["location"]})), "session");
    EXPECT_EQ(log.count("dropped by detached"), 1);
    EXPECT_EQ(failure_with(support::dump_as_json(), "dropped by detached")["task"],
              finished_in(support::dump_as_json(), "app::session")["task"]);
}

TEST(AsioFailures, AreSeenByFuturesCallbacksAndOperators) {
    captured_log log;
    asio::io_context io;
    std::future<void> result =
        asio::co_spawn(io, app::session("seen by a future"), asio::use_future);
    std::exception_ptr got;
    asio::co_spawn(io, app::session("seen by a callback"),
                   [&got](std::exception_ptr error) { got = std::move(error); });
    asio::co_spawn(io, app::both("seen by an operator"), asio::detached);
    io.run();
    EXPECT_THROW(result.get(), std::runtime_error);
    EXPECT_NE(got, nullptr);
    const json dump = support::dump_as_json();
    for (const char* const how : {"seen by a future", "seen by a callback", "seen by an operator"})
        EXPECT_EQ(failure_with(dump, how)["observed"], true) << how;
    asio::io_context another;
    asio::co_spawn(another, app::session("the last"), asio::detached);
    another.run();
    ASSERT_TRUE(log.comes("the last"));
    EXPECT_EQ(log.count("seen by"), 0) << log.text();
}

TEST(AsioFailures, TellHowTasksEnded) {
    captured_log log;
    asio::io_context io;
    asio::co_spawn(io, app::succeeds(), asio::detached);
    asio::co_spawn(io, app::session("ends in failure"), asio::detached);
    io.run();
    const json dump = support::dump_as_json();
    EXPECT_EQ(finished_in(dump, "app::succeeds")["outcome"], "done");
    const json failed = finished_in(dump, "app::session");
    ASSERT_FALSE(failed.is_null()) << dump["finished"];
    EXPECT_EQ(failed["outcome"], "failed");
    EXPECT_EQ(failed["task"], failure_with(dump, "ends in failure")["task"]);
    EXPECT_TRUE(failed["cancelled_by"].is_null());
}

TEST(AsioFailures, AreNoneWhereATimerWasCancelled) {
    captured_log log;
    asio::io_context io;
    asio::co_spawn(io, app::succeeds(), asio::detached);
    io.run();
    const json before = support::dump_as_json()["failure_counts"]["failures"];
    io.restart();
    asio::steady_timer timer(io, app::waits_long);
    asio::co_spawn(io, app::waits(timer), asio::detached);
    asio::post(io, [&timer] { timer.cancel(); });
    io.run();
    const json dump = support::dump_as_json();
    EXPECT_EQ(finished_in(dump, "app::waits")["outcome"], "cancelled");
    EXPECT_EQ(dump["failure_counts"]["failures"], before);
}

TEST(AsioFailures, TellOfTasksDestroyedBeforeTheirEnd) {
    captured_log log;
    {
        asio::io_context io;
        asio::steady_timer timer(io, app::waits_long);
        asio::co_spawn(io, app::waits(timer), asio::detached);
        io.poll();
        timer.cancel();  // the handler waits to be run, and is destroyed with the service
    }
    const json finished = support::dump_as_json()["finished"];
    ASSERT_FALSE(finished.empty());
    EXPECT_EQ(finished.back()["outcome"], "cancelled") << finished;
}

}  // namespace
