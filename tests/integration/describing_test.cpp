// What tasks and awaitables say of themselves: names, labels, watched values, resources and who
// holds them, and the verdict on tasks that wait for each other.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <corodump/task.hpp>
#include <corodump/tracked.hpp>
#include <deque>
#include <string>
#include <utility>

#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace app {

struct plain_promise;
struct task {
    using promise_type = corodump::tracked<plain_promise>;
};
struct plain_promise {
    task get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() { std::terminate(); }
};

/// A lock that says what it is.
class mutex {
public:
    explicit mutex(const char* name) : resource_("mutex", name) {}

    struct lock {
        mutex* of;
        corodump::holding token;
        explicit lock(mutex& m) : of(&m), token(m.resource_) {}
        lock(lock&& other) noexcept
            : of(std::exchange(other.of, nullptr)), token(std::move(other.token)) {}
        ~lock() {
            if (of == nullptr) return;
            token.release();
            of->unlock();
        }
    };
    struct locking {
        mutex& of;
        bool await_ready() const noexcept { return !std::exchange(of.locked_, true); }
        void await_suspend(std::coroutine_handle<> h) const { of.waiting_.push_back(h); }
        lock await_resume() const { return lock(of); }
        void describe(corodump::description& d) const noexcept { d.waits_for(of.resource_); }
    };
    locking acquire() noexcept { return {*this}; }
    /// Destroys the coroutine that waits longest.
    void abandon_one() {
        const auto first = waiting_.front();
        waiting_.pop_front();
        first.destroy();
    }

private:
    void unlock() {
        if (waiting_.empty()) {
            locked_ = false;
            return;
        }
        const auto next = waiting_.front();
        waiting_.pop_front();
        next.resume();
    }
    corodump::resource resource_;
    bool locked_ = false;
    std::deque<std::coroutine_handle<>> waiting_;
};

struct money {
    int cents;
    friend std::string to_string(const money& m) { return std::to_string(m.cents) + " cents"; }
};

task locks_both(mutex& first, mutex& second, synced::event& go, const char* name, int& done) {
    corodump::set_name(name);
    const auto outer = co_await first.acquire();
    co_await go;
    const auto inner = co_await second.acquire();
    ++done;
}
task tells(synced::event& until) {
    corodump::set_name("session 42");
    corodump::set_label("user", "bob");
    corodump::set_label("password", "hunter2");
    int step = 7;
    const std::string text = "some text";
    const money price{250};
    const corodump::watch w1{"step", step};
    const corodump::watch w2{"text", text};
    const corodump::watch w3{"price", price};
    const corodump::watch w4{"auth_token", text};
    step = 8;
    co_await until;
}
task names_itself_after(synced::event& until, corodump::task_ref& self) {
    self = corodump::current_task();
    co_await until;
    EXPECT_EQ(self, corodump::current_task());
}

}  // namespace app

namespace {

using support::take_dump;

class Describing : public ::testing::Test {
protected:
    corodump::agent agent;
    synced::event until;
};

TEST_F(Describing, NamesLabelsAndWatchedValues) {
    app::tells(until);
    const auto dump = take_dump();
    const auto* const task = dump.with_name("session 42");
    ASSERT_NE(task, nullptr) << dump.chains();
    EXPECT_EQ(task->labels.at("user"), "bob");
    EXPECT_EQ(task->labels.at("password"), "<redacted>");
    const auto& locals = task->last().locals;
    EXPECT_EQ(locals.at("step").value, "8");
    EXPECT_EQ(locals.at("text").value, "\"some text\"");
    EXPECT_EQ(locals.at("price").value, "\"250 cents\"");
    EXPECT_EQ(locals.at("auth_token").value, "\"<redacted>\"");
    EXPECT_EQ(dump.text.find("hunter2"), std::string::npos);
    until.set();
    support::expect_no_frames();
}

TEST_F(Describing, CurrentTaskIsItself) {
    corodump::task_ref self;
    app::names_itself_after(until, self);
    EXPECT_EQ(corodump::current_task(), corodump::task_ref{});
    EXPECT_NE(self, corodump::task_ref{});
    until.set();
}

TEST_F(Describing, TasksThatWaitForEachOtherAreAVerdict) {
    int done = 0;
    app::mutex a("a");
    app::mutex b("b");
    app::locks_both(a, b, until, "left", done);
    app::locks_both(b, a, until, "right", done);
    EXPECT_TRUE(take_dump().verdicts.empty());
    until.set();
    EXPECT_EQ(done, 0);
    const auto dump = take_dump();
    const auto* const left = dump.with_name("left");
    const auto* const right = dump.with_name("right");
    ASSERT_TRUE(left != nullptr && right != nullptr) << dump.chains();
    ASSERT_TRUE(left->awaits && right->awaits);
    EXPECT_EQ(left->awaits->kind, "mutex");
    EXPECT_EQ(left->awaits->name, "b");
    EXPECT_EQ(left->awaits->owners, std::vector{right->id});
    EXPECT_EQ(right->awaits->owners, std::vector{left->id});
    ASSERT_EQ(dump.verdicts.size(), 1U);
    EXPECT_EQ(dump.verdicts[0].kind, "wait_cycle");
    EXPECT_EQ(dump.verdicts[0].tasks.size(), 2U);
    EXPECT_EQ(dump.verdicts[0].evidence.size(), 2U);
    a.abandon_one();
    EXPECT_EQ(done, 1);
    support::expect_no_frames();
}

}  // namespace
