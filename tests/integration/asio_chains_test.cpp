// Boost.Asio as services use it: co_spawned chains, operations named by what they wait on, joins by
// awaitable_operators, strands and a pool of threads.
#include <gtest/gtest.h>

#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <chrono>
#include <corodump/agent.hpp>
#include <corodump/task.hpp>
#include <future>
#include <nlohmann/json.hpp>
#include <string>

#include "support_dump.hpp"

namespace asio = boost::asio;

namespace app {

using namespace asio::experimental::awaitable_operators;
using asio::use_awaitable;
using namespace std::chrono_literals;
using support::leaf_of;

int innermost_line = 0;
int session_line = 0;

asio::awaitable<void> waits(asio::steady_timer& timer) {
    innermost_line = __LINE__ + 1;
    co_await timer.async_wait(use_awaitable);
}

asio::awaitable<void> session(asio::steady_timer& timer, int number, std::string user) {
    corodump::set_name("session");
    static_cast<void>(number);  // both are here to be seen
    static_cast<void>(user);
    session_line = __LINE__ + 1;
    co_await waits(timer);
}

asio::awaitable<void> both(asio::steady_timer& one, asio::steady_timer& other) {
    co_await (waits(one) && waits(other));
}

asio::awaitable<void> either(asio::steady_timer& one, asio::steady_timer& other) {
    co_await (waits(one) || waits(other));
}

asio::awaitable<void> accepts(asio::ip::tcp::acceptor& acceptor) {
    auto [error, socket] = co_await acceptor.async_accept(asio::as_tuple(use_awaitable));
    if (error) co_return;
    char byte = 0;
    boost::system::error_code ignored;
    co_await asio::async_read(socket, asio::buffer(&byte, 1),
                              asio::redirect_error(use_awaitable, ignored));
}

asio::awaitable<void> by_deferred(asio::steady_timer& timer) {
    co_await timer.async_wait(asio::deferred);
}

}  // namespace app

namespace {

using namespace std::chrono_literals;

TEST(AsioChains, AreWholeWithTheirLinesAndLocals) {
    const corodump::agent agent;
    asio::io_context context;
    asio::steady_timer timer(context, 1h);
    co_spawn(context, app::session(timer, 7, "bob"), asio::detached);
    context.poll();
    const auto dump = support::take_dump();
    ASSERT_EQ(dump.tasks.size(), 1U) << dump.chains();
    const support::task& task = dump.tasks[0];
    EXPECT_EQ(task.name, "session");
    ASSERT_EQ(task.chain.size(), 4U) << dump.chains();
    EXPECT_TRUE(task.chain[0].library);
    EXPECT_EQ(task.chain[1].function, "app::session");
    EXPECT_EQ(task.chain[1].line, app::session_line);
    EXPECT_EQ(task.chain[1].locals.at("arg1").value, "7");
    EXPECT_EQ(task.chain[1].locals.at("arg2").value, "\"bob\"");
    EXPECT_EQ(task.chain[2].function, "app::waits");
    EXPECT_EQ(task.chain[2].line, app::innermost_line);
    EXPECT_TRUE(task.chain[3].library);
    ASSERT_TRUE(task.awaits);
    EXPECT_EQ(task.awaits->awaitable, "boost::asio::steady_timer::async_wait");
    EXPECT_EQ(task.awaits->kind, "timer");
    EXPECT_EQ(task.awaits->object, support::address_text(&timer));
    timer.cancel();
    context.run();
    support::expect_no_frames();
}

TEST(AsioChains, ToldDeadlineIsTheTimers) {
    const corodump::agent agent;
    asio::io_context context;
    asio::steady_timer timer(context, 1h);
    co_spawn(context, app::waits(timer), asio::detached);
    context.poll();
    const auto leaf = leaf_of(support::take_dump(), "boost::asio::steady_timer::async_wait");
    ASSERT_TRUE(leaf.contains("deadline_in_seconds"));
    EXPECT_NEAR(leaf["deadline_in_seconds"].get<double>(), 3600, 600);
    timer.cancel();
    context.run();
}

TEST(AsioChains, SocketsShowDescriptorAndEndpoints) {
    const corodump::agent agent;
    asio::io_context context;
    asio::ip::tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
    co_spawn(context, app::accepts(acceptor), asio::detached);
    context.poll();
    const auto accepting =
        leaf_of(support::take_dump(), "boost::asio::ip::tcp::acceptor::async_move_accept");
    ASSERT_TRUE(accepting.is_object());
    EXPECT_EQ(accepting["kind"], "acceptor");
    EXPECT_EQ(accepting["descriptor"], acceptor.native_handle());
    const std::string here = "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
    EXPECT_EQ(accepting["local_endpoint"], here);

    asio::ip::tcp::socket client(context);
    client.connect(acceptor.local_endpoint());
    while (context.poll() != 0) {
    }
    const auto reading = leaf_of(support::take_dump(), "boost::asio::async_read");
    ASSERT_TRUE(reading.is_object());
    EXPECT_EQ(reading["kind"], "socket");
    EXPECT_EQ(reading["local_endpoint"], here);
    EXPECT_EQ(reading["remote_endpoint"],
              "127.0.0.1:" + std::to_string(client.local_endpoint().port()));
    client.close();
    context.run();
    support::expect_no_frames();
}

TEST(AsioChains, OperatorsJoinTasks) {
    const corodump::agent agent;
    asio::io_context context;
    asio::steady_timer one(context, 1h);
    asio::steady_timer other(context, 1h);
    for (const bool all : {true, false}) {
        context.restart();
        co_spawn(context, all ? app::both(one, other) : app::either(one, other), asio::detached);
        while (context.poll() != 0) {
        }
        const auto dump = support::take_dump();
        ASSERT_EQ(dump.tasks.size(), 3U) << dump.chains();
        const support::task* parent = nullptr;
        for (const support::task& task : dump.tasks)
            if (!task.children.empty()) parent = &task;
        ASSERT_NE(parent, nullptr) << dump.chains();
        ASSERT_EQ(parent->children.size(), 2U);
        EXPECT_EQ(parent->chain[1].function, all ? "app::both" : "app::either");
        for (const std::string& child : parent->children)
            EXPECT_EQ(dump.with_id(child)->chain[1].function, "app::waits");
        one.cancel();
        other.cancel();
        context.run();
        support::expect_no_frames();
    }
}

TEST(AsioChains, DeferredOperationsAreNamed) {
    const corodump::agent agent;
    asio::io_context context;
    asio::steady_timer timer(context, 1h);
    co_spawn(context, app::by_deferred(timer), asio::detached);
    context.poll();
    const auto dump = support::take_dump();
    ASSERT_EQ(dump.tasks.size(), 1U);
    EXPECT_EQ(dump.tasks[0].last().function, "app::by_deferred");
    EXPECT_EQ(dump.tasks[0].awaits->awaitable, "boost::asio::steady_timer::async_wait");
    timer.cancel();
    context.run();
}

TEST(AsioChains, AreWholeOnAPoolWithStrands) {
    const corodump::agent agent;
    asio::thread_pool pool(2);
    constexpr int count = 50;
    std::vector<std::unique_ptr<asio::steady_timer>> timers;
    std::vector<std::future<void>> ends;
    for (int i = 0; i < count; ++i) {
        const auto strand = asio::make_strand(pool);
        timers.push_back(std::make_unique<asio::steady_timer>(strand, 1h));
        ends.push_back(co_spawn(strand, app::session(*timers.back(), i, "user"), asio::use_future));
        // Behind the session on its strand: when this has run, the session waits.
        asio::post(strand, asio::use_future).get();
        asio::post(strand, asio::use_future).get();
    }
    const auto dump = support::take_dump();
    ASSERT_EQ(dump.tasks.size(), std::size_t{count}) << dump.chains();
    for (const support::task& task : dump.tasks) {
        EXPECT_EQ(task.chain[1].function, "app::session");
        EXPECT_EQ(task.awaits->awaitable, "boost::asio::steady_timer::async_wait");
    }
    for (const auto& timer : timers) asio::post(timer->get_executor(), [&] { timer->cancel(); });
    for (auto& end : ends) EXPECT_THROW(end.get(), boost::system::system_error);
    pool.join();
    support::expect_no_frames();
}

}  // namespace
