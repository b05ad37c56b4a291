// Asio without Boost: as the tests on Boost.Asio, by the target corodump::asio_standalone. Its
// awaitables, operations and I/O objects are other types, in another namespace.
#include <gtest/gtest.h>

#include <asio.hpp>
#include <asio/experimental/as_tuple.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <chrono>
#include <corodump/agent.hpp>
#include <corodump/task.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "support_dump.hpp"

namespace app {

using namespace asio::experimental::awaitable_operators;
using asio::use_awaitable;
using tcp = asio::ip::tcp;

struct lines {
    int waits = 0, middle = 0, session = 0, both = 0, either = 0, accepts = 0, reads = 0;
};
lines at;

// clang-format off: a line is noted on the line itself

asio::awaitable<int> waits(asio::steady_timer& timer) {
    at.waits = __LINE__; co_await timer.async_wait(use_awaitable);
    co_return 3;
}
asio::awaitable<int> middle(asio::steady_timer& timer) {
    at.middle = __LINE__; const int n = co_await waits(timer);
    co_return n + 1;
}
asio::awaitable<void> session(asio::steady_timer& timer, int number, std::string user) {
    corodump::set_name("session");
    static_cast<void>(number);  // both are here to be seen
    static_cast<void>(user);
    at.session = __LINE__; co_await middle(timer);
}
asio::awaitable<void> both(asio::steady_timer& one, asio::steady_timer& other) {
    at.both = __LINE__; co_await (waits(one) && middle(other));
}
asio::awaitable<void> either(asio::steady_timer& one, asio::steady_timer& other) {
    at.either = __LINE__; co_await (waits(one) || middle(other));
}
asio::awaitable<void> accepts(tcp::acceptor& acceptor) {
    at.accepts = __LINE__; tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
    char byte = 0;
    at.reads = __LINE__; co_await socket.async_read_some(asio::buffer(&byte, 1), use_awaitable);
}
asio::awaitable<void> reads_composed(tcp::socket& socket, std::string& text) {
    asio::error_code ignored;
    at.reads = __LINE__; co_await asio::async_read_until(socket, asio::dynamic_buffer(text), '\n', asio::redirect_error(use_awaitable, ignored));
}
asio::awaitable<void> resolved(asio::steady_timer& timer) {
    at.waits = __LINE__; co_await timer.async_wait(asio::experimental::as_tuple(use_awaitable));
}

// clang-format on

}  // namespace app

namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using support::leaf_of;

void poll_all(asio::io_context& context) {
    while (context.poll() != 0) {
    }
}

std::string loopback(unsigned short port) {
    return "127.0.0.1:" + std::to_string(port);
}

class AsioStandalone : public ::testing::Test {
protected:
    corodump::agent agent;
    asio::io_context context;
    asio::steady_timer one{context, 1h};
    asio::steady_timer other{context, 2h};

    void end() {
        one.cancel();
        other.cancel();
        context.restart();
        context.run();
        support::expect_no_frames();
    }
};

TEST_F(AsioStandalone, ChainsAreWholeWithTheirLinesAndLocals) {
    co_spawn(context, app::session(one, 7, "bob"), asio::detached);
    poll_all(context);
    const auto dump = support::take_dump();
    ASSERT_EQ(dump.tasks.size(), 1U) << dump.chains();
    const support::task& task = dump.tasks[0];
    EXPECT_EQ(task.name, "session");
    ASSERT_EQ(task.chain.size(), 5U) << dump.chains();
    EXPECT_TRUE(task.chain[0].library);
    EXPECT_EQ(task.chain[1].function, "app::session");
    EXPECT_EQ(task.chain[1].line, app::at.session);
    EXPECT_EQ(task.chain[1].locals.at("arg1").value, "7");
    EXPECT_EQ(task.chain[1].locals.at("arg2").value, "\"bob\"");
    EXPECT_EQ(task.chain[2].function, "app::middle");
    EXPECT_EQ(task.chain[2].line, app::at.middle);
    EXPECT_EQ(task.chain[3].function, "app::waits");
    EXPECT_EQ(task.chain[3].line, app::at.waits);
    EXPECT_TRUE(task.chain[4].library);
    end();
}

TEST_F(AsioStandalone, TimersShowTheirExpiry) {
    co_spawn(context, app::waits(other), asio::detached);
    poll_all(context);
    const json leaf = leaf_of(support::take_dump(), "asio::steady_timer::async_wait");
    EXPECT_EQ(leaf["kind"], "timer");
    EXPECT_EQ(leaf["object"], support::address_text(&other));
    ASSERT_TRUE(leaf.contains("deadline_in_seconds"));
    EXPECT_NEAR(leaf["deadline_in_seconds"].get<double>(), 7200, 600);
    end();
}

TEST_F(AsioStandalone, SocketsShowDescriptorAndEndpoints) {
    app::tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
    const unsigned short port = acceptor.local_endpoint().port();
    co_spawn(context, app::accepts(acceptor), asio::detached);
    poll_all(context);
    {
        const auto dump = support::take_dump();
        const json leaf = leaf_of(dump, "asio::ip::tcp::acceptor::async_move_accept");
        EXPECT_EQ(leaf["kind"], "acceptor");
        EXPECT_EQ(leaf["descriptor"], acceptor.native_handle());
        EXPECT_EQ(leaf["local_endpoint"], loopback(port));
        EXPECT_EQ(dump.tasks[0].chain[1].line, app::at.accepts);
    }
    app::tcp::socket client(context);
    client.connect(acceptor.local_endpoint());
    poll_all(context);
    {
        const auto dump = support::take_dump();
        const json leaf = leaf_of(dump, "asio::ip::tcp::socket::async_receive");
        EXPECT_EQ(leaf["kind"], "socket");
        EXPECT_EQ(leaf["local_endpoint"], loopback(port));
        EXPECT_EQ(leaf["remote_endpoint"], loopback(client.local_endpoint().port()));
        EXPECT_EQ(dump.tasks[0].chain[1].line, app::at.reads);
    }
    client.close();
    end();
}

TEST_F(AsioStandalone, ComposedOperationsAreNamed) {
    app::tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
    app::tcp::socket client(context);
    client.connect(acceptor.local_endpoint());
    app::tcp::socket socket = acceptor.accept();
    std::string text;
    co_spawn(context, app::reads_composed(socket, text), asio::detached);
    poll_all(context);
    const auto dump = support::take_dump();
    ASSERT_EQ(dump.tasks.size(), 1U) << dump.chains();
    EXPECT_EQ(dump.tasks[0].chain[1].line, app::at.reads);
    ASSERT_TRUE(dump.tasks[0].awaits) << dump.chains();
    EXPECT_TRUE(dump.tasks[0].awaits->awaitable.starts_with("asio::async_read_until"))
        << dump.chains();
    client.close();
    end();
}

TEST_F(AsioStandalone, AdaptedOperationsAreNamed) {
    co_spawn(context, app::resolved(one), asio::detached);
    poll_all(context);
    const json leaf = leaf_of(support::take_dump(), "asio::steady_timer::async_wait");
    EXPECT_EQ(leaf["object"], support::address_text(&one));
    end();
}

TEST_F(AsioStandalone, OperatorsJoinTasks) {
    for (const bool all : {true, false}) {
        context.restart();
        co_spawn(context, all ? app::both(one, other) : app::either(one, other), asio::detached);
        poll_all(context);
        const auto dump = support::take_dump();
        ASSERT_EQ(dump.tasks.size(), 3U) << dump.chains();
        const support::task* parent = nullptr;
        for (const support::task& task : dump.tasks)
            if (!task.children.empty()) parent = &task;
        ASSERT_NE(parent, nullptr) << dump.chains();
        ASSERT_EQ(parent->children.size(), 2U) << dump.chains();
        EXPECT_EQ(parent->chain[1].function, all ? "app::both" : "app::either");
        EXPECT_EQ(parent->chain[1].line, all ? app::at.both : app::at.either);
        const auto* const first = dump.with_id(parent->children[0]);
        const auto* const second = dump.with_id(parent->children[1]);
        ASSERT_EQ(first->chain.size() + second->chain.size(), 7U) << dump.chains();
        for (const auto* const child : {first, second}) {
            EXPECT_EQ(child->chain[child->chain.size() - 2].function, "app::waits");
            EXPECT_EQ(child->chain[child->chain.size() - 2].line, app::at.waits);
        }
        end();
    }
}

}  // namespace
