// The recompile tier on joins: a task that waits for several has them as children.
#include <gtest/gtest.h>

#include <algorithm>
#include <corodump/agent.hpp>
#include <string>

#include "styles/joins.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace app {

// clang-format off: a line is noted on the line itself

int at_wait, at_join, at_outer, at_spawned;

lazy::task<int> worker(synced::event& until, int result) {
    at_wait = __LINE__; co_await until;
    co_return result;
}
lazy::task<std::string> text_worker(synced::event& until) {
    co_await until;
    co_return "text";
}
lazy::task<std::string> joins_two(synced::event& a, synced::event& b) {
    at_join = __LINE__; auto [n, text] = co_await joins::when_all(worker(a, 3), text_worker(b));
    co_return text + std::to_string(n);
}
lazy::task<std::string> above_join(synced::event& a, synced::event& b) {
    at_outer = __LINE__; co_return co_await joins_two(a, b);
}
lazy::task<int> joins_many(synced::event& until, int count) {
    std::vector<lazy::task<int>> tasks;
    for (int i = 0; i < count; ++i) tasks.push_back(worker(until, i));
    joins::when_all_of<int> all(std::move(tasks));
    int sum = 0;
    at_join = __LINE__; for (const int n : co_await all) sum += n;
    co_return sum;
}
lazy::task<int> first_of(synced::event& a, synced::event& b) {
    at_join = __LINE__; co_return co_await joins::when_any<int>(worker(a, 1), worker(b, 2));
}
lazy::task<> spawned(synced::event& until, int& done) {
    at_spawned = __LINE__; co_await until;
    ++done;
}
lazy::task<int> behind_barrier(synced::event& until, int count) {
    int done = 0;
    joins::barrier all;
    for (int i = 0; i < count; ++i) all.add(spawned(until, done));
    at_join = __LINE__; co_await all;
    co_return done;
}
lazy::task<int> scoped(synced::event& until, int count) {
    int done = 0;
    joins::async_scope scope;
    for (int i = 0; i < count; ++i) scope.spawn(spawned(until, done));
    at_join = __LINE__; co_await scope.join();
    co_return done;
}

// clang-format on

}  // namespace app

namespace {

using support::expect_chain;
using support::take_dump;

class AutoJoins : public ::testing::Test {
protected:
    corodump::agent agent;
    synced::event first, second;

    /// The task that joins, whose children end in `function`.
    static const support::task* expect_join(const support::dump& dump,
                                            const std::vector<support::step>& steps,
                                            std::size_t children, std::string_view function,
                                            int line) {
        const auto* const parent = support::expect_chain(dump, steps);
        if (parent == nullptr) return nullptr;
        EXPECT_EQ(parent->children.size(), children) << dump.chains();
        const auto ends_there = [&](const std::string& id) {
            const auto* const child = dump.with_id(id);
            return child != nullptr && child->last().function == function &&
                   child->last().line == line;
        };
        EXPECT_TRUE(std::ranges::any_of(parent->children, ends_there)) << dump.chains();
        return parent;
    }
};

TEST_F(AutoJoins, CounterInTheAwaiterAndTasksInATuple) {
    auto task = app::above_join(first, second);
    task.start();
    {
        const auto dump = take_dump();
        expect_join(dump, {{"app::above_join", app::at_outer}, {"app::joins_two", app::at_join}}, 2,
                    "app::worker", app::at_wait);
        EXPECT_EQ(dump.tasks.size(), 3U) << dump.chains();
    }
    second.set();
    {
        const auto dump = take_dump();
        const auto* const parent = support::expect_chain(
            dump, {{"app::above_join", app::at_outer}, {"app::joins_two", app::at_join}});
        ASSERT_NE(parent, nullptr);
        EXPECT_EQ(parent->children.size(), 2U) << dump.chains();
    }
    first.set();
    EXPECT_EQ(task.result(), "text3");
    EXPECT_EQ(take_dump().frames, 1U);
}

TEST_F(AutoJoins, CounterBehindAReference) {
    auto task = app::joins_many(first, 5);
    task.start();
    const auto dump = take_dump();
    expect_join(dump, {{"app::joins_many", app::at_join}}, 5, "app::worker", app::at_wait);
    EXPECT_EQ(dump.tasks.size(), 6U) << dump.chains();
    first.set();
    EXPECT_EQ(task.result(), 10);
}

TEST_F(AutoJoins, SharedCounterOnTheHeap) {
    auto task = app::behind_barrier(first, 3);
    task.start();
    const auto dump = take_dump();
    expect_join(dump, {{"app::behind_barrier", app::at_join}}, 3, "app::spawned", app::at_spawned);
    EXPECT_EQ(dump.tasks.size(), 4U) << dump.chains();
    first.set();
    EXPECT_EQ(task.result(), 3);
    EXPECT_EQ(take_dump().frames, 1U);
}

// The helpers have the shared state as an argument only: what a channel between two tasks looks
// like as well. Nothing is guessed then, and each chain is whole.
TEST_F(AutoJoins, SharedStateInAnArgumentIsNoJoin) {
    auto task = app::first_of(first, second);
    task.start();
    const auto dump = take_dump();
    expect_chain(dump, {{"app::first_of", app::at_join}}, "joins::when_any<int>");
    EXPECT_EQ(dump.all_ending_in("app::worker").size(), 2U) << dump.chains();
    EXPECT_EQ(dump.tasks.size(), 3U) << dump.chains();
    second.set();
    EXPECT_EQ(task.result(), 2);
    first.set();
    EXPECT_EQ(take_dump().frames, 1U);
}

TEST_F(AutoJoins, ScopeThatIsALocal) {
    auto task = app::scoped(first, 3);
    task.start();
    const auto dump = take_dump();
    expect_join(dump, {{"app::scoped", app::at_join}}, 3, "app::spawned", app::at_spawned);
    EXPECT_EQ(dump.tasks.size(), 4U) << dump.chains();
    first.set();
    EXPECT_EQ(task.result(), 3);
}

}  // namespace
