// The recompile tier where who waits is resumed through something between: a helper coroutine, a
// callback, a state on the heap, a receiver in the caller.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <nlohmann/json.hpp>

#include "styles/relayed.hpp"
#include "support_dump.hpp"

namespace app {

struct lines {
    int leaf = 0, middle = 0, outer = 0;
};
lines at;

// clang-format off: a line is noted on the line itself

relayed::bound goes_back(relayed::executor&, relayed::signal& until, bool& ended) {
    at.leaf = __LINE__; co_await until.wait();
    ended = true;
}
relayed::future<int> waits_for_both(relayed::signal& one, relayed::signal& other) {
    relayed::all_of both(one, other);
    at.outer = __LINE__; co_await both;
    co_return 2;
}

relayed::future<int> future_leaf(relayed::signal& until) {
    at.leaf = __LINE__; co_await until.wait();
    co_return 3;
}
relayed::future<int> future_middle(relayed::signal& until) {
    at.middle = __LINE__; co_return 1 + co_await future_leaf(until);
}
relayed::future<int> future_outer(relayed::signal& until) {
    at.outer = __LINE__; co_return 1 + co_await future_middle(until);
}

relayed::pledge<int> pledge_leaf(relayed::signal& until) {
    at.leaf = __LINE__; co_await until.wait();
    co_return 3;
}
relayed::pledge<int> pledge_middle(relayed::signal& until) {
    auto begun = pledge_leaf(until);
    at.middle = __LINE__; co_return 1 + co_await begun;
}
relayed::pledge<int> pledge_outer(relayed::signal& until) {
    at.outer = __LINE__; co_return 1 + co_await pledge_middle(until);
}

relayed::future<int> with_noop() {
    at.leaf = __LINE__; co_await relayed::waits_with_noop{};
    co_return 1;
}

relayed::future<int> has_generic_lambda(relayed::signal& until) {
    auto inner = [](auto& of) -> relayed::future<int> {
        at.leaf = __LINE__; co_await of.wait();
        co_return 4;
    };
    at.outer = __LINE__; co_return co_await inner(until);
}

// clang-format on

}  // namespace app

namespace {

using support::expect_chain;
using support::take_dump;

class AutoRelays : public ::testing::Test {
protected:
    ~AutoRelays() override { support::expect_no_frames(); }

    corodump::agent agent;
    relayed::executor executor;
    relayed::signal until;
    relayed::signal other;
};

TEST_F(AutoRelays, HelperNotStartedYetDoesNotHideWhatIsAwaited) {
    bool ended = false;
    const auto task = app::goes_back(executor, until, ended);
    const auto dump = take_dump();
    ASSERT_EQ(dump.tasks.size(), 1U) << dump.chains();
    const support::task& found = dump.tasks[0];
    EXPECT_EQ(found.activity, "suspended") << dump.chains();
    ASSERT_EQ(found.chain.size(), 2U) << dump.chains();
    EXPECT_EQ(found.chain[0].function, "app::goes_back");
    EXPECT_EQ(found.chain[0].line, app::at.leaf);
    EXPECT_EQ(found.chain[1].function, "relayed::way_back::to");
    ASSERT_TRUE(found.awaits) << dump.chains();
    EXPECT_NE(found.awaits->awaitable.find("comes_back<relayed::signal::awaiter>"),
              std::string::npos)
        << dump.chains();
    const auto document = nlohmann::json::parse(dump.text);
    EXPECT_EQ(document["groups"][0]["activity"], "suspended");
    EXPECT_EQ(document["groups"][0]["awaitable"], found.awaits->awaitable);
    EXPECT_EQ(document["summary"]["by_activity"]["suspended"], 1);

    until.raise();  // the helper ends; the task is still queued
    const auto queued = take_dump();
    ASSERT_EQ(queued.tasks.size(), 1U) << queued.chains();
    EXPECT_EQ(queued.tasks[0].state, "pending");
    EXPECT_TRUE(queued.tasks[0].awaits) << queued.chains();
    executor.run();
    EXPECT_TRUE(ended);
}

TEST_F(AutoRelays, CallbacksThatReferToTheAwaiterAreJoined) {
    const auto result = app::waits_for_both(until, other);
    const auto dump = take_dump();
    ASSERT_EQ(dump.tasks.size(), 3U) << dump.chains();
    const support::task* parent = nullptr;
    for (const support::task& one : dump.tasks)
        if (one.root().function == "app::waits_for_both") parent = &one;
    ASSERT_NE(parent, nullptr) << dump.chains();
    EXPECT_EQ(parent->root().line, app::at.outer);
    ASSERT_EQ(parent->children.size(), 2U) << dump.chains();
    until.raise();
    other.raise();
    EXPECT_EQ(result.get(), 2);
}

TEST_F(AutoRelays, FuturesSharedStateIsOneChain) {
    const auto result = app::future_outer(until);
    const auto dump = take_dump();
    expect_chain(dump,
                 {{"app::future_outer", app::at.outer},
                  {"app::future_middle", app::at.middle},
                  {"app::future_leaf", app::at.leaf}},
                 "relayed::signal::awaiter");
    EXPECT_EQ(dump.tasks.size(), 1U) << dump.chains();
    until.raise();
    EXPECT_EQ(result.get(), 5);
}

TEST_F(AutoRelays, ReceiverInTheCallerIsOneChain) {
    const auto result = app::pledge_outer(until);
    const auto dump = take_dump();
    expect_chain(dump,
                 {{"app::pledge_outer", app::at.outer},
                  {"app::pledge_middle", app::at.middle},
                  {"app::pledge_leaf", app::at.leaf}},
                 "relayed::signal::awaiter");
    EXPECT_EQ(dump.tasks.size(), 1U) << dump.chains();
    until.raise();
    EXPECT_EQ(result.get(), 5);
}

TEST_F(AutoRelays, NoopCoroutineIsNotUntracked) {
    const auto result = app::with_noop();
    const auto dump = take_dump();  // an untracked one would be a warning
    expect_chain(dump, {{"app::with_noop", app::at.leaf}}, "relayed::waits_with_noop");
    std::exchange(relayed::waits_with_noop::parked, nullptr).resume();
    EXPECT_EQ(result.get(), 1);
}

TEST_F(AutoRelays, GenericLambdaOfACoroutineIsNamedAsOne) {
    const auto result = app::has_generic_lambda(until);
    const auto dump = take_dump();
    ASSERT_EQ(dump.tasks.size(), 1U) << dump.chains();
    ASSERT_EQ(dump.tasks[0].chain.size(), 2U) << dump.chains();
    EXPECT_EQ(dump.tasks[0].chain[0].function, "app::has_generic_lambda");
    EXPECT_EQ(dump.tasks[0].chain[0].line, app::at.outer);
    EXPECT_TRUE(dump.tasks[0].last().function.starts_with("app::has_generic_lambda::{lambda"))
        << dump.chains();
    EXPECT_EQ(dump.tasks[0].last().line, app::at.leaf);
    until.raise();
    EXPECT_EQ(result.get(), 4);
}

}  // namespace
