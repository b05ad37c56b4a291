// The mixin: own promise types that derive from tracked_promise, with and without an
// await_transform of their own, with hooks left out, and corodump::tracked around a promise by
// hand.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <corodump/tracked.hpp>
#include <corodump/tracked_promise.hpp>
#include <exception>
#include <stdexcept>
#include <utility>

#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace app {

template <class Promise>
struct owner {
    using promise_type = Promise;
    std::coroutine_handle<Promise> handle;

    explicit owner(Promise& of) : handle(std::coroutine_handle<Promise>::from_promise(of)) {}
    owner(owner&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
    ~owner() {
        if (handle) handle.destroy();
    }
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) const noexcept {
        handle.promise().caller = caller;
        return handle;
    }
    int await_resume() const {
        if (handle.promise().error) std::rethrow_exception(handle.promise().error);
        return handle.promise().value;
    }
};

template <class Promise>
struct to_caller {
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> h) const noexcept {
        return h.promise().caller;
    }
    void await_resume() const noexcept {}
};

struct result {
    std::coroutine_handle<> caller = std::noop_coroutine();
    int value = 0;
    std::exception_ptr error;
    void return_value(int v) noexcept { value = v; }
};

/// All hooks.
struct full : result, corodump::tracked_promise<full> {
    owner<full> get_return_object(std::source_location where = std::source_location::current()) {
        created_at(where);
        return owner<full>(*this);
    }
    auto initial_suspend() noexcept { return track_start(std::suspend_always{}); }
    auto final_suspend() noexcept { return track_end(to_caller<full>{}); }
    void unhandled_exception() noexcept {
        track_failure();
        error = std::current_exception();
    }
};

/// Its own await_transform, which passes on and adds.
struct doubled {
    int n;
};
struct transforming : result, corodump::tracked_promise<transforming> {
    owner<transforming> get_return_object(
        std::source_location where = std::source_location::current()) {
        created_at(where);
        return owner<transforming>(*this);
    }
    auto initial_suspend() noexcept { return track_start(std::suspend_never{}); }
    auto final_suspend() noexcept { return track_end(to_caller<transforming>{}); }
    void unhandled_exception() noexcept { error = std::current_exception(); }

    struct immediately {
        int n;
        bool await_ready() const noexcept { return true; }
        void await_suspend(std::coroutine_handle<>) const noexcept {}
        int await_resume() const noexcept { return n; }
    };
    auto await_transform(doubled d, std::source_location where = std::source_location::current()) {
        return track_await(immediately{2 * d.n}, where);
    }
    template <class E>
    auto await_transform(E&& e, std::source_location where = std::source_location::current()) {
        return track_await(static_cast<E&&>(e), where);
    }
    auto yield_value(int v, std::source_location where = std::source_location::current()) {
        value = v;
        return track_yield(std::suspend_always{}, where);
    }
};

/// No hook but what comes with it.
struct bare : result, corodump::tracked_promise<bare> {
    owner<bare> get_return_object() { return owner<bare>(*this); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    to_caller<bare> final_suspend() noexcept { return {}; }
    void unhandled_exception() noexcept { error = std::current_exception(); }
};

/// Knows nothing of corodump; the application puts the tracking around it.
struct foreign : result {
    owner<foreign> get_return_object() { return owner<foreign>(*this); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    to_caller<foreign> final_suspend() noexcept { return {}; }
    void unhandled_exception() noexcept { error = std::current_exception(); }
};
struct by_hand : owner<foreign> {
    using promise_type = corodump::tracked<foreign>;
    by_hand(owner<foreign> o) : owner<foreign>(std::move(o)) {}
};

int at, at_outer, at_yield;

// clang-format off: a line is noted on the line itself
owner<full> full_leaf(synced::event& until) { at = __LINE__; co_await until; co_return 3; }
owner<full> full_outer(synced::event& until) { at_outer = __LINE__; co_return 1 + co_await full_leaf(until); }
owner<full> full_fails(synced::event& until) { co_await until; throw std::runtime_error("failed"); }
owner<transforming> transforms(synced::event& until) {
    const int n = co_await doubled{4};
    at = __LINE__; co_await until;
    at_yield = __LINE__; co_yield 77;
    co_return n;
}
owner<bare> bare_leaf(synced::event& until) { at = __LINE__; co_await until; co_return 5; }
owner<bare> bare_outer(synced::event& until) { at_outer = __LINE__; co_return 1 + co_await bare_leaf(until); }
by_hand hand_leaf(synced::event& until) { at = __LINE__; co_await until; co_return 7; }
by_hand hand_outer(synced::event& until) { at_outer = __LINE__; co_return 1 + co_await hand_leaf(until); }
// clang-format on

}  // namespace app

namespace {

using support::expect_chain;
using support::take_dump;

class Mixin : public ::testing::Test {
protected:
    corodump::agent agent;
    synced::event until;
};

TEST_F(Mixin, AllHooksTellEverything) {
    auto task = app::full_outer(until);
    {
        const auto dump = take_dump();
        support::expect_task(dump, {{"app::full_outer", dump.tasks.at(0).last().line}}, "pending",
                             "not_started");
    }
    task.handle.resume();
    const auto dump = take_dump();
    expect_chain(dump, {{"app::full_outer", app::at_outer}, {"app::full_leaf", app::at}},
                 "synced::event::awaiter");
    EXPECT_EQ(dump.tasks.size(), 1U) << dump.chains();
    until.set();
    EXPECT_EQ(task.await_resume(), 4);
    EXPECT_EQ(take_dump().tasks.at(0).state, "done");
}

TEST_F(Mixin, FailureIsTold) {
    auto task = app::full_fails(until);
    task.handle.resume();
    until.set();
    EXPECT_EQ(take_dump().tasks.at(0).state, "failed");
    EXPECT_THROW(task.await_resume(), std::runtime_error);
}

TEST_F(Mixin, OwnTransformAndYield) {
    auto task = app::transforms(until);
    expect_chain(take_dump(), {{"app::transforms", app::at}}, "synced::event::awaiter");
    until.set();
    expect_chain(take_dump(), {{"app::transforms", app::at_yield}});
    EXPECT_EQ(task.await_resume(), 77);
    task.handle.resume();
    EXPECT_EQ(task.await_resume(), 8);
}

TEST_F(Mixin, HooksLeftOutAreUnknown) {
    auto task = app::bare_outer(until);
    {
        const auto dump = take_dump();
        ASSERT_EQ(dump.tasks.size(), 1U);
        EXPECT_EQ(dump.tasks[0].activity, "unknown");
        EXPECT_EQ(dump.tasks[0].state, "pending");
    }
    task.handle.resume();
    const auto dump = take_dump();
    ASSERT_EQ(dump.tasks.size(), 1U) << dump.chains();
    ASSERT_EQ(dump.tasks[0].chain.size(), 2U) << dump.chains();
    EXPECT_EQ(dump.tasks[0].chain[0].line, app::at_outer);
    EXPECT_EQ(dump.tasks[0].chain[1].line, app::at);
    until.set();
    EXPECT_EQ(task.await_resume(), 6);
}

TEST_F(Mixin, TrackedByHand) {
    auto task = app::hand_outer(until);
    task.handle.resume();
    const auto dump = take_dump();
    expect_chain(dump, {{"app::hand_outer", app::at_outer}, {"app::hand_leaf", app::at}},
                 "synced::event::awaiter");
    until.set();
    EXPECT_EQ(task.await_resume(), 8);
}

// See AutoGenerators: here the compiler does place frames in the caller's.
[[gnu::noinline]] int between_canaries(synced::event& ready) {
    volatile std::uint64_t before[8];
    for (auto& word : before) word = 0xABCDEF0123456789U;
    auto task = app::full_leaf(ready);
    auto unhooked = app::bare_leaf(ready);
    volatile std::uint64_t after[8];
    for (auto& word : after) word = 0x1122334455667788U;
    task.handle.resume();
    unhooked.handle.resume();
    for (auto& word : before) EXPECT_EQ(word, 0xABCDEF0123456789U);
    for (auto& word : after) EXPECT_EQ(word, 0x1122334455667788U);
    return task.await_resume() + unhooked.await_resume();
}

TEST_F(Mixin, FramesThatMightBeElidedAreHarmless) {
    until.set();
    EXPECT_EQ(between_canaries(until), 8);
    support::expect_no_frames();
}

TEST_F(Mixin, ElidedFramesAreListed) {
    auto first = app::full_leaf(until);
    auto second = app::bare_leaf(until);
    first.handle.resume();
    second.handle.resume();
    const auto dump = take_dump();
    expect_chain(dump, {{"app::full_leaf", dump.ending_in("app::full_leaf") != nullptr
                                               ? dump.ending_in("app::full_leaf")->last().line
                                               : 0}});
    EXPECT_EQ(dump.tasks.size(), 2U) << dump.chains();
}

}  // namespace
