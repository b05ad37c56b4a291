// Who created a task, and the stack it was created on: pooled frames, frames with allocations of
// their own, frames that the compiler places in the caller's, and creators that are gone.
#include <gtest/gtest.h>

#include <algorithm>
#include <corodump/agent.hpp>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "styles/eager_task.hpp"
#include "styles/lazy_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace app {

eager::task child(synced::event& until) {
    co_await until;
    co_return 1;
}
/// Creates a task that it does not await.
eager::task parent(synced::event& until, std::optional<eager::task>& into) {
    into.emplace(child(until));
    co_await until;
    co_return 2;
}
eager::task grandparent(synced::event& until, std::optional<eager::task>& parents,
                        std::optional<eager::task>& childs) {
    parents.emplace(parent(until, childs));
    co_await until;
    co_return 3;
}
lazy::task<> inner(synced::event& until, std::optional<eager::task>& into) {
    into.emplace(child(until));
    co_await until;
}
/// The creator is not the task's root, but what it awaits.
lazy::task<> outer(synced::event& until, std::optional<eager::task>& into) {
    co_await inner(until, into);
}
eager::task creates_and_ends(synced::event& until, std::optional<eager::task>& into) {
    into.emplace(child(until));
    co_return 4;
}

/// Its frames come from malloc, by an operator new of its own.
struct allocating {
    struct promise_type {
        static void* operator new(std::size_t bytes) { return std::malloc(bytes); }
        static void operator delete(void* frame) { std::free(frame); }
        allocating get_return_object() {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
};
allocating outside_child(synced::event& until) {
    co_await until;
}
allocating outside_parent(synced::event& until, allocating& into) {
    into = outside_child(until);
    co_await until;
}

// Not inlined, and nothing left for a tail call.
[[gnu::noinline]] eager::task called_from_third(synced::event& until) {
    eager::task made = child(until);
    asm volatile("" : : : "memory");
    return made;
}
[[gnu::noinline]] eager::task called_from_second(synced::event& until) {
    eager::task made = called_from_third(until);
    asm volatile("" : : : "memory");
    return made;
}
[[gnu::noinline]] eager::task called_from_elsewhere(synced::event& until) {
    eager::task made = child(until);
    asm volatile("" : : : "memory");
    return made;
}

/// One call in the code, so one stack, however the loop is compiled.
[[gnu::noinline]] void call(eager::task (*creator)(synced::event&), int times, synced::event& until,
                            std::vector<eager::task>& into) {
    into.reserve(into.size() + static_cast<std::size_t>(times));
    for (int i = 0; i < times; ++i) {
        asm volatile("" : "+r"(creator), "+r"(i));
        into.push_back(creator(until));
    }
}

}  // namespace app

namespace {

using nlohmann::json;
using support::take_dump;

class Creation : public ::testing::Test {
protected:
    static corodump::options creators() {
        corodump::options chosen;
        chosen.creators = true;
        return chosen;
    }
    static corodump::options stacks(corodump::creation_stacks which) {
        corodump::options chosen;
        chosen.creation_stacks = which;
        return chosen;
    }
    /// The dump as JSON, checked against the schema.
    static json dump() { return json::parse(take_dump().text); }

    static const json& task_in(const json& all, std::string_view function) {
        static const json none;
        for (const json& task : all["tasks"]) {
            const std::string& name = task["created"]["location"]["function"];
            if (name == function) return task;
        }
        ADD_FAILURE() << "no task was created by " << function << ": " << all["tasks"].dump(1);
        return none;
    }
    static std::vector<std::string> functions_of(const json& stack) {
        std::vector<std::string> names;
        for (const json& frame : stack["frames"])
            names.push_back(frame["function"].is_null() ? "?" : frame["function"]);
        return names;
    }
    static std::vector<std::string> stack_of(const json& all, const json& task) {
        for (const json& stack : all["creation_stacks"])
            if (stack["id"] == task["created"]["stack"]) return functions_of(stack);
        return {};
    }
    /// How much a count of `after` is above that of `before`: they go on from test to test.
    static std::uint64_t grown(const json& before, const json& after, const char* what) {
        return after["creation"][what].get<std::uint64_t>() -
               before["creation"][what].get<std::uint64_t>();
    }
    static std::size_t position(const std::vector<std::string>& in, std::string_view name) {
        return static_cast<std::size_t>(std::find(in.begin(), in.end(), name) - in.begin());
    }

    synced::event until;
};

TEST_F(Creation, IsNotTracedUnlessAskedFor) {
    const corodump::agent agent;
    std::optional<eager::task> childs;
    const eager::task parents = app::parent(until, childs);
    const json all = dump();
    EXPECT_FALSE(all.contains("creation"));
    EXPECT_FALSE(all.contains("creation_stacks"));
    EXPECT_TRUE(task_in(all, "app::child")["created"]["by"].is_null());
    until.set();
}

TEST_F(Creation, NamesTheTaskThatCreatedATask) {
    const corodump::agent agent(creators());
    const json before = dump();
    std::optional<eager::task> parents;
    std::optional<eager::task> childs;
    const eager::task oldest = app::grandparent(until, parents, childs);
    const json all = dump();
    EXPECT_EQ(task_in(all, "app::child")["created"]["by"], task_in(all, "app::parent")["id"]);
    EXPECT_EQ(task_in(all, "app::parent")["created"]["by"], task_in(all, "app::grandparent")["id"]);
    EXPECT_TRUE(task_in(all, "app::grandparent")["created"]["by"].is_null());
    EXPECT_EQ(all["creation"]["mode"], "creators");
    EXPECT_EQ(grown(before, all, "births"), 3U);
    EXPECT_EQ(all["creation"]["missed"], 0);
    EXPECT_FALSE(task_in(all, "app::child")["created"].contains("stack"));
    until.set();
}

TEST_F(Creation, NamesTheTaskOfTheFrameThatCreatedIt) {
    const corodump::agent agent(creators());
    std::optional<eager::task> childs;
    auto task = app::outer(until, childs);
    task.start();
    const json all = dump();
    EXPECT_EQ(task_in(all, "app::child")["created"]["by"], task_in(all, "app::outer")["id"]);
    until.set();
}

TEST_F(Creation, KeepsTheIdOfACreatorThatIsGone) {
    const corodump::agent agent(creators());
    std::optional<eager::task> childs;
    std::string creator;
    {
        const eager::task gone = app::creates_and_ends(until, childs);
        creator = task_in(dump(), "app::creates_and_ends")["id"];
    }
    const json all = dump();
    EXPECT_EQ(task_in(all, "app::child")["created"]["by"], creator);
    EXPECT_EQ(all["tasks"].size(), 1U);
    until.set();
}

TEST_F(Creation, KnowsFramesThatAreNotInThePool) {
    const corodump::agent agent(stacks(corodump::creation_stacks::all));
    app::allocating childs{};
    const app::allocating parents = app::outside_parent(until, childs);
    const json all = dump();
    const json& child = task_in(all, "app::outside_child");
    EXPECT_EQ(child["created"]["by"], task_in(all, "app::outside_parent")["id"]);
    EXPECT_LT(position(stack_of(all, child), "app::outside_parent"), 6U);
    until.set();
    childs.handle.destroy();
    parents.handle.destroy();
}

TEST_F(Creation, WhatIsNotedOfAFrameIsNotTakenForTheNextOnes) {
    std::optional<eager::task> childs;
    {
        const corodump::agent agent(creators());
        const eager::task parents = app::parent(until, childs);
        until.set();
        childs.reset();
    }
    const corodump::agent agent;  // not traced: the same memory, again
    synced::event again;
    const eager::task parents = app::parent(again, childs);
    corodump::uninstall();
    const corodump::agent traced(creators());
    const json all = dump();
    EXPECT_TRUE(task_in(all, "app::child")["created"]["by"].is_null());
    again.set();
}

TEST_F(Creation, ShowsTheCallersOfWhoCreatedATask) {
    const corodump::agent agent(stacks(corodump::creation_stacks::all));
    const json before = dump();
    std::vector<eager::task> tasks;
    app::call(app::called_from_second, 10, until, tasks);
    app::call(app::called_from_elsewhere, 3, until, tasks);
    const json all = dump();
    ASSERT_EQ(all["creation_stacks"].size(), 2U) << all["creation_stacks"].dump(1);
    EXPECT_EQ(all["creation_stacks"][0]["count"], 10);
    EXPECT_EQ(all["creation_stacks"][1]["count"], 3);
    const auto functions = functions_of(all["creation_stacks"][0]);
    const std::size_t third = position(functions, "app::called_from_third");
    EXPECT_EQ(position(functions, "app::called_from_second"), third + 1) << json(functions).dump(1);
    EXPECT_LT(third, 6U) << json(functions).dump(1);
    for (const json& frame : all["creation_stacks"][0]["frames"]) {
        EXPECT_FALSE(frame["module"].is_null());
        EXPECT_FALSE(frame["offset"].is_null());
    }
    EXPECT_EQ(all["creation"]["mode"], "all");
    EXPECT_EQ(grown(before, all, "stacks_taken"), 13U);
    EXPECT_EQ(grown(before, all, "short_stacks"), 0U);
    EXPECT_EQ(all["creation"]["depth"], 20);
    until.set();
}

TEST_F(Creation, KeepsToItsDepth) {
    corodump::options chosen = stacks(corodump::creation_stacks::all);
    chosen.creation_depth = 3;
    const corodump::agent agent(chosen);
    const eager::task task = app::called_from_second(until);
    const json all = dump();
    EXPECT_EQ(stack_of(all, task_in(all, "app::child")).size(), 3U);
    until.set();
}

TEST_F(Creation, SeesThreadsThatComeAndGo) {
    const corodump::agent agent(stacks(corodump::creation_stacks::all));
    const json before = dump();
    std::vector<eager::task> tasks;
    for (int i = 0; i < 8; ++i)
        std::thread([&] { tasks.push_back(app::called_from_second(until)); }).join();
    const json all = dump();
    EXPECT_EQ(grown(before, all, "short_stacks"), 0U);
    for (const json& task : all["tasks"]) {
        const auto functions = stack_of(all, task);
        EXPECT_LT(position(functions, "app::called_from_second"), functions.size());
    }
    until.set();
}

/// A burst of births: few of them are sampled, and which they are does not starve the rest.
TEST_F(Creation, SamplesWithinItsBudget) {
    const corodump::agent agent(stacks(corodump::creation_stacks::sampled));
    const json before = dump();
    constexpr std::uint64_t births = 200'000;
    for (std::uint64_t i = 0; i < births; ++i) {
        synced::event now;
        const eager::task task = app::called_from_second(now);
        now.set();
    }
    const json all = dump();
    EXPECT_EQ(grown(before, all, "births"), births);
    EXPECT_GE(grown(before, all, "stacks_taken"), 1U);
    EXPECT_LT(grown(before, all, "stacks_taken"), births / 10);
    EXPECT_EQ(all["creation"]["budget_percent"], 1);
    EXPECT_EQ(all["creation"]["mode"], "sampled");
}

}  // namespace
