// The recompile tier on eager and forgotten tasks, on cleanup coroutines, and on locks, semaphores
// and channels, whose waiters know of each other without awaiting each other.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <string>
#include <vector>

#include "styles/cleanup_task.hpp"
#include "styles/eager_task.hpp"
#include "styles/lazy_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace app {

int at, at_outer, at_after, at_cleanup;
std::string trace;

// clang-format off: a line is noted on the line itself
eager::task eager_leaf(synced::event& until) { at = __LINE__; co_await until; co_return 5; }
eager::task eager_outer(synced::event& until, synced::event& later) {
    auto child = eager_leaf(until);
    at_outer = __LINE__; const int n = co_await child;
    at_after = __LINE__; co_await later;
    co_return n + 1;
}
eager::forgotten forgotten(synced::event& until, int& done) { at = __LINE__; co_await until; ++done; }

cleanup::task closes(synced::event& closed) { at_cleanup = __LINE__; co_await closed; trace += "closed "; }
cleanup::task notes(const char* what) { trace += what; co_return; }
cleanup::task works(synced::event& until, synced::event& closed) {
    co_await cleanup::at_exit(notes("last "));
    co_await cleanup::at_exit(closes(closed));
    co_await cleanup::at_exit(notes("first "));
    at = __LINE__; co_await until;
    trace += "worked ";
}
cleanup::task above(synced::event& until, synced::event& closed) {
    at_outer = __LINE__; co_await works(until, closed);
    trace += "above";
}

eager::forgotten locks(synced::mutex& mutex, synced::event& until, int& sum, int n) {
    at_outer = __LINE__; const auto lock = co_await mutex.lock();
    at = __LINE__; co_await until;
    sum += n;
}
lazy::task<int> locks_below(synced::mutex& mutex) { at = __LINE__; const auto lock = co_await mutex.lock(); co_return 1; }
lazy::task<int> above_lock(synced::mutex& mutex) { at_outer = __LINE__; co_return co_await locks_below(mutex); }
eager::forgotten with_local_mutex(synced::event& until, int& sum) {
    synced::mutex mutex;
    locks(mutex, until, sum, 1);
    locks(mutex, until, sum, 10);
    at_after = __LINE__; const auto lock = co_await mutex.lock();
    sum += 100;
}
eager::forgotten acquires(synced::semaphore& semaphore, int& done) { at = __LINE__; co_await semaphore.acquire(); ++done; }
eager::forgotten receives(synced::channel<std::string>& from, std::string& to) { at = __LINE__; to = co_await from.receive(); }
eager::forgotten sends(synced::channel<std::string>& to, std::string text) { at_outer = __LINE__; co_await to.send(std::move(text)); }
// clang-format on

}  // namespace app

namespace {

using support::expect_chain;
using support::take_dump;

class AutoWaiting : public ::testing::Test {
protected:
    corodump::agent agent;
    synced::event until, later;

    static void expect_tasks_alone(const support::dump& dump, std::size_t count) {
        EXPECT_EQ(dump.tasks.size(), count) << dump.chains();
        for (const auto& task : dump.tasks) {
            EXPECT_TRUE(task.awaited_by.empty()) << dump.chains();
            EXPECT_EQ(task.activity, "suspended");
        }
    }
};

TEST_F(AutoWaiting, EagerChain) {
    auto task = app::eager_outer(until, later);
    {
        const auto dump = take_dump();
        expect_chain(dump, {{"app::eager_outer", app::at_outer}, {"app::eager_leaf", app::at}});
        EXPECT_EQ(dump.tasks.size(), 1U) << dump.chains();
    }
    until.set();
    {
        // The child has ended, its handle still names its caller, which waits for something else.
        const auto dump = take_dump();
        expect_chain(dump, {{"app::eager_outer", app::at_after}}, "synced::event::awaiter");
        const auto* const ended = dump.ending_in("app::eager_leaf");
        ASSERT_NE(ended, nullptr) << dump.chains();
        EXPECT_EQ(ended->state, "done");
        EXPECT_EQ(ended->chain.size(), 1U);
    }
    later.set();
    EXPECT_EQ(task.value(), 6);
}

TEST_F(AutoWaiting, ForgottenTasksAreListedUntilTheyEnd) {
    int done = 0;
    for (int i = 0; i < 3; ++i) app::forgotten(until, done);
    const auto dump = take_dump();
    expect_tasks_alone(dump, 3);
    for (const auto& task : dump.tasks) EXPECT_EQ(task.last().line, app::at);
    until.set();
    EXPECT_EQ(done, 3);
    support::expect_no_frames();
}

TEST_F(AutoWaiting, CleanupRunsAfterItsTask) {
    app::trace.clear();
    auto task = app::above(until, later);
    task.start();
    expect_chain(take_dump(), {{"app::above", app::at_outer}, {"app::works", app::at}});
    until.set();
    const auto dump = take_dump();
    expect_chain(
        dump,
        {{"app::above", app::at_outer}, {"app::works", app::at}, {"app::closes", app::at_cleanup}},
        "synced::event::awaiter");
    later.set();
    EXPECT_TRUE(task.done());
    EXPECT_EQ(app::trace, "worked first closed last above");
}

TEST_F(AutoWaiting, WaitersOfOneLockAreNoChain) {
    synced::mutex mutex;
    int sum = 0;
    for (const int n : {1, 10, 100}) app::locks(mutex, until, sum, n);
    auto task = app::above_lock(mutex);
    task.start();
    const auto dump = take_dump();
    expect_tasks_alone(dump, 4);
    expect_chain(dump, {{"app::above_lock", app::at_outer}, {"app::locks_below", app::at}},
                 "synced::mutex::lock_operation");
    until.set();
    EXPECT_EQ(sum, 111);
    EXPECT_EQ(task.result(), 1);
}

TEST_F(AutoWaiting, WaitersOfALocksOwnerAreNoChildren) {
    int sum = 0;
    app::with_local_mutex(until, sum);
    const auto dump = take_dump();
    EXPECT_EQ(dump.tasks.size(), 3U) << dump.chains();
    const auto* const owner = expect_chain(dump, {{"app::with_local_mutex", app::at_after}});
    ASSERT_NE(owner, nullptr);
    EXPECT_EQ(owner->chain.size(), 1U) << dump.chains();
    until.set();
    EXPECT_EQ(sum, 111);
    support::expect_no_frames();
}

TEST_F(AutoWaiting, SemaphoresAndChannels) {
    synced::semaphore semaphore(1);
    int done = 0;
    for (int i = 0; i < 4; ++i) app::acquires(semaphore, done);
    EXPECT_EQ(done, 1);
    expect_tasks_alone(take_dump(), 3);
    for (int i = 0; i < 3; ++i) semaphore.release();
    EXPECT_EQ(done, 4);
    synced::channel<std::string> channel;
    std::string received;
    app::receives(channel, received);
    expect_chain(take_dump(), {{"app::receives", app::at}},
                 "synced::channel<std::string>::receives");
    app::sends(channel, "hello");
    EXPECT_EQ(received, "hello");
    app::sends(channel, "again");
    expect_chain(take_dump(), {{"app::sends", app::at_outer}},
                 "synced::channel<std::string>::sends");
    app::receives(channel, received);
    EXPECT_EQ(received, "again");
    support::expect_no_frames();
}

}  // namespace
