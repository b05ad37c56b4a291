// The recompile tier on two libraries' tasks: lazy ones that transfer symmetrically, and ones that
// keep to their scheduler behind a void* and a function.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "styles/affine_task.hpp"
#include "styles/lazy_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace app {

// clang-format off: a line is noted on the line itself

struct lines {
    int leaf = 0, middle = 0, outer = 0;
};
lines at;

lazy::task<int> leaf(synced::event& until, int result) {
    at.leaf = __LINE__; co_await until;
    co_return result;
}
lazy::task<std::string> middle(synced::event& until) {
    at.middle = __LINE__; const int n = co_await leaf(until, 6);
    co_return std::string(static_cast<std::size_t>(n), 'x');
}
lazy::task<> outer(synced::event& until, std::string& result) {
    at.outer = __LINE__; result = co_await middle(until);
}

lazy::task<int> leaf_that_throws(synced::event& until) {
    at.leaf = __LINE__; co_await until;
    throw std::runtime_error("no result");
}
lazy::task<int> catches(synced::event& until) {
    try {
        at.outer = __LINE__; co_await leaf_that_throws(until);
    } catch (const std::runtime_error&) {
        co_return -1;
    }
    co_return 0;
}
lazy::task<int> lets_through(synced::event& until) {
    co_return co_await leaf_that_throws(until);
}

lazy::task<int&> reference(int& to) {
    co_return to;
}
lazy::task<std::unique_ptr<int>> moved() {
    co_return std::make_unique<int>(5);
}
lazy::task<int> uses_both(int& to) {
    int& same = co_await reference(to);
    same += *co_await moved();
    co_return same;
}

lazy::task<int> recursive(synced::event& until, int depth) {
    if (depth == 0) {
        at.leaf = __LINE__; co_await until;
        co_return 0;
    }
    at.middle = __LINE__; co_return 1 + co_await recursive(until, depth - 1);
}

lazy::task<int> adds_up(synced::event& first, synced::event& second) {
    at.outer = __LINE__; co_return co_await leaf(first, 3) +
        co_await recursive(second, 0);
}

lazy::task<long> long_loop(int rounds) {
    long sum = 0;
    for (int i = 0; i < rounds; ++i) sum += co_await reference(i);
    co_return sum;
}

affine::task<int> on_pool_leaf(synced::event& until) {
    at.leaf = __LINE__; co_await until;
    co_return 20;
}
affine::task<int> on_pool_middle(synced::event& until) {
    at.middle = __LINE__; const int n = co_await on_pool_leaf(until);
    co_return n + 1;
}
affine::task<int> on_pool(synced::event& until) {
    affine::scheduler& own = co_await affine::current_scheduler;
    static_cast<void>(own);
    at.outer = __LINE__; co_return 1 + co_await on_pool_middle(until);
}

// clang-format on

}  // namespace app

namespace {

using support::expect_chain;
using support::expect_no_frames;
using support::expect_task;
using support::take_dump;

class AutoTasks : public ::testing::Test {
protected:
    corodump::agent agent;
    synced::event until;
};

TEST_F(AutoTasks, LazyChainIsWhole) {
    std::string result;
    auto task = app::outer(until, result);
    {
        const auto dump = take_dump();
        const auto* const found = dump.ending_in("app::outer");
        ASSERT_NE(found, nullptr) << dump.chains();
        EXPECT_EQ(found->activity, "not_started");
        EXPECT_EQ(found->state, "pending");
    }
    task.start();
    const auto dump = take_dump();
    const auto* const found = expect_chain(dump,
                                           {{"app::outer", app::at.outer},
                                            {"app::middle", app::at.middle},
                                            {"app::leaf", app::at.leaf}},
                                           "synced::event::awaiter");
    EXPECT_EQ(dump.tasks.size(), 1U);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->resumes, 1);
    EXPECT_TRUE(found->root().file.ends_with("auto_tasks_test.cpp"));
    until.set();
    EXPECT_TRUE(task.done());
    EXPECT_EQ(result, "xxxxxx");
    expect_task(take_dump(), {{"app::outer", app::at.outer}}, "done", "suspended");
}

TEST_F(AutoTasks, RecursionIsOneChain) {
    auto task = app::recursive(until, 20);
    task.start();
    const auto dump = take_dump();
    std::vector<support::step> steps(20, {"app::recursive", app::at.middle});
    steps.push_back({"app::recursive", app::at.leaf});
    expect_chain(dump, steps);
    until.set();
    EXPECT_EQ(task.result(), 20);
}

// GCC builds the awaiters of both before it suspends in the first.
TEST_F(AutoTasks, EachAwaitOfAnExpressionHasItsOwnLine) {
    synced::event second;
    auto task = app::adds_up(until, second);
    task.start();
    expect_chain(take_dump(), {{"app::adds_up", app::at.outer}, {"app::leaf", app::at.leaf}});
    until.set();
    expect_chain(take_dump(),
                 {{"app::adds_up", app::at.outer + 1}, {"app::recursive", app::at.leaf}});
    second.set();
    EXPECT_EQ(task.result(), 3);
}

TEST_F(AutoTasks, ManyWaitersOfOneEventAreTasksOfTheirOwn) {
    std::vector<lazy::task<int>> tasks;
    for (int i = 0; i < 10; ++i) tasks.push_back(app::recursive(until, i));
    for (auto& task : tasks) task.start();
    const auto dump = take_dump();
    EXPECT_EQ(dump.tasks.size(), 10U) << dump.chains();
    EXPECT_EQ(dump.frames, 55U);
    const std::map<std::string, int> one_object{{support::address_text(&until), 10}};
    EXPECT_EQ(dump.waiting_by_object, one_object);
    for (const auto& task : dump.tasks) {
        EXPECT_TRUE(task.awaited_by.empty()) << dump.chains();
        ASSERT_TRUE(task.awaits.has_value());
        EXPECT_EQ(task.awaits->object, support::address_text(&until)) << "not the waiter's own";
    }
    until.set();
    for (int i = 0; i < 10; ++i) EXPECT_EQ(tasks[static_cast<std::size_t>(i)].result(), i);
}

TEST_F(AutoTasks, ExceptionsPassAsBefore) {
    auto caught = app::catches(until);
    auto passed = app::lets_through(until);
    caught.start();
    passed.start();
    until.set();
    EXPECT_EQ(caught.result(), -1);
    EXPECT_THROW(passed.result(), std::runtime_error);
    const auto dump = take_dump();
    ASSERT_EQ(dump.tasks.size(), 2U) << dump.chains();
    ASSERT_NE(dump.ending_in("app::lets_through"), nullptr) << dump.chains();
    EXPECT_EQ(dump.ending_in("app::lets_through")->state, "failed");
    EXPECT_EQ(dump.ending_in("app::catches")->state, "done");
}

TEST_F(AutoTasks, ResultsByReferenceAndByMoveAreUnchanged) {
    int n = 2;
    auto task = app::uses_both(n);
    task.start();
    EXPECT_EQ(task.result(), 7);
    EXPECT_EQ(n, 7);
}

TEST_F(AutoTasks, NothingRemainsAfterDestroy) {
    {
        std::string result;
        auto task = app::outer(until, result);
        task.start();
    }
    expect_no_frames();
}

// Where the compiler makes tail calls of symmetric transfers, it still does.
TEST_F(AutoTasks, SymmetricTransferUsesNoStack) {
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    constexpr long rounds = 1'000'000;
#else
    constexpr long rounds = 1'000;
#endif
    auto task = app::long_loop(static_cast<int>(rounds));
    task.start();
    EXPECT_EQ(task.result(), rounds * (rounds - 1) / 2);
}

TEST_F(AutoTasks, ScheduledChainBehindVoidPointerIsWhole) {
    affine::thread_pool pool(2);
    auto task = app::on_pool(until);
    task.start_on(pool);
    pool.wait_idle();
    const auto dump = take_dump();
    expect_chain(dump, {{"app::on_pool", app::at.outer},
                        {"app::on_pool_middle", app::at.middle},
                        {"app::on_pool_leaf", app::at.leaf}});
    EXPECT_EQ(dump.tasks.size(), 1U) << dump.chains();
    until.set();
    pool.wait_idle();
    ASSERT_TRUE(task.done());
    EXPECT_EQ(task.result(), 22);
}

}  // namespace
