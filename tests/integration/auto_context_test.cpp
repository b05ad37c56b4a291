// Context variables: who sees what, in code and in a dump, and who destroys the values.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <corodump/context.hpp>
#include <corodump/task.hpp>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "styles/eager_task.hpp"
#include "styles/lazy_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace {

const corodump::context_variable<std::string> request_id("request_id");
const corodump::context_variable<int> attempt("attempt");

std::string seen() {
    return request_id.value_or("-");
}

lazy::task<std::string> reads() {
    co_return seen();
}
lazy::task<std::string> reads_below() {
    co_return co_await reads();
}
lazy::task<> sets(std::string value) {
    request_id.set(std::move(value));
    co_return;
}
lazy::task<std::string> reads_after(synced::event& until) {
    co_await until;
    co_return seen();
}

/// Runs a coroutine that never waits.
template <class T>
T run(lazy::task<T> task) {
    task.start();
    EXPECT_TRUE(task.done());
    return task.result();
}

TEST(Context, IsSeenByWhatIsAwaited) {
    const auto outer = []() -> lazy::task<std::string> {
        request_id.set("r1");
        co_return co_await reads_below();
    };
    EXPECT_EQ(run(outer()), "r1");
    EXPECT_EQ(seen(), "-") << "it ended with the coroutine";
}

TEST(Context, IsSeenByWhatWasCreatedBeforeAndIsAwaitedAfter) {
    const auto outer = []() -> lazy::task<std::string> {
        lazy::task<std::string> early = reads_below();
        request_id.set("first");
        lazy::task<std::string> later = reads_below();
        request_id.set("second");
        const std::string a = co_await std::move(early);
        co_return a + ' ' + co_await std::move(later);
    };
    EXPECT_EQ(run(outer()), "second second");
}

TEST(Context, IsOfWhoeverAwaitsNotOfWhoeverCreated) {
    const auto wrapper = [](lazy::task<std::string> inner) -> lazy::task<std::string> {
        const auto bound = request_id.bind("wrapper");
        co_return co_await std::move(inner);
    };
    const auto outer = [&]() -> lazy::task<std::string> {
        const auto bound = request_id.bind("outer");
        co_return co_await wrapper(reads_below());
    };
    EXPECT_EQ(run(outer()), "wrapper");
}

TEST(Context, ChildsBindingIsNotSeenByItsParent) {
    const auto outer = []() -> lazy::task<std::string> {
        request_id.set("parent");
        co_await sets("child");
        co_return seen();
    };
    EXPECT_EQ(run(outer()), "parent");
}

TEST(Context, SpawnedTaskKeepsWhatWasThereAtItsCreation) {
    synced::event go, join;
    std::string found;
    const auto spawned = [&]() -> eager::forgotten {
        co_await go;
        found = seen();
    };
    const auto outer = [&]() -> lazy::task<> {
        request_id.set("before");
        spawned();
        request_id.set("after");
        co_await join;
    };
    auto task = outer();
    task.start();
    go.set();
    EXPECT_EQ(found, "before");
    join.set();
    EXPECT_TRUE(task.done());
}

TEST(Context, ScopesEndInAnyOrder) {
    const auto body = []() -> lazy::task<std::string> {
        std::string found;
        struct held {
            explicit held(const char* id) : binding(request_id.bind(id)) {}
            corodump::context_binding binding;
        };
        auto first = std::make_unique<held>("1");
        auto second = std::make_unique<held>("2");
        found += seen();
        first.reset();
        found += seen();
        second.reset();
        found += seen();
        {
            const auto scope = request_id.bind("3");
            request_id.set("4");
            found += seen();
        }
        co_return found + seen();
    };
    EXPECT_EQ(run(body()), "22-4-");
}

TEST(Context, BoundOutsideOfCoroutinesIsInheritedAndRestored) {
    {
        const auto bound = request_id.bind("main");
        EXPECT_EQ(seen(), "main");
        EXPECT_EQ(run(reads_below()), "main");
        std::thread([] { EXPECT_EQ(seen(), "-") << "a thread has a context of its own"; }).join();
    }
    EXPECT_EQ(seen(), "-");
    EXPECT_EQ(run(reads_below()), "-");
}

TEST(Context, FollowsTheCoroutineAcrossThreads) {
    synced::event go;
    const auto outer = [](synced::event& until) -> lazy::task<std::string> {
        request_id.set("travels");
        attempt.set(2);
        const std::string below = co_await reads_after(until);
        co_return below + ' ' + std::to_string(attempt.value_or(0));
    };
    auto task = outer(go);
    task.start();
    std::thread([&] {
        const auto other = request_id.bind("the thread's own");
        go.set();
        EXPECT_EQ(seen(), "the thread's own");
    }).join();
    ASSERT_TRUE(task.done());
    EXPECT_EQ(task.result(), "travels 2");
}

struct counted {
    explicit counted(int& alive) : alive_(&alive) { ++*alive_; }
    counted(counted&& other) noexcept : alive_(other.alive_) { ++*alive_; }
    ~counted() { --*alive_; }
    friend std::string to_string(const counted&) { return "counted"; }
    int* alive_;
};
const corodump::context_variable<counted> holder("holder");

TEST(Context, ValueIsDestroyedWithTheLastThatSeesIt) {
    int alive = 0;
    synced::event never, go;
    {
        const auto outer = [&]() -> lazy::task<> {
            holder.set(counted(alive));
            co_await reads_after(never);
        };
        auto task = outer();
        task.start();
        EXPECT_EQ(alive, 1);
        // Destroyed while it is suspended.
    }
    EXPECT_EQ(alive, 0);
    const auto spawned = [&]() -> eager::forgotten {
        co_await go;
        EXPECT_NE(holder.get(), nullptr);
    };
    const auto spawner = [&]() -> lazy::task<> {
        holder.set(counted(alive));
        spawned();
        co_return;
    };
    {
        auto task = spawner();
        task.start();
    }
    EXPECT_EQ(alive, 1) << "the spawned one sees it";
    go.set();
    EXPECT_EQ(alive, 0);
}

TEST(Context, ScopeOfADestroyedCoroutineEndsInThatCoroutine) {
    synced::event go;
    const auto waits = [](synced::event& until) -> lazy::task<> {
        const auto bound = request_id.bind("inner");
        co_await until;
    };
    const auto outer = [&]() -> lazy::task<std::string> {
        request_id.set("outer");
        {
            auto other = waits(go);
            other.start();
        }
        co_return seen();
    };
    EXPECT_EQ(run(outer()), "outer");
}

struct unspeakable {
    friend std::string to_string(const unspeakable& of) {
        if (of.speaks) return "spoken";
        throw std::runtime_error("no text");
    }
    bool speaks;
};
const corodump::context_variable<unspeakable> fragile("fragile");

TEST(Context, TextThatThrowsBindsNothing) {
    const auto outer = []() -> lazy::task<bool> {
        fragile.set({true});
        EXPECT_THROW(fragile.set({false}), std::runtime_error);
        co_return fragile.get()->speaks;
    };
    EXPECT_TRUE(run(outer()));
}

TEST(Context, OneThatStartedByItselfKeepsItsOwnWhenItIsAwaitedLater) {
    synced::event go;
    std::string found;
    const auto fetches = [&]() -> eager::task {
        co_await go;
        found = seen();
        co_return 1;
    };
    const auto outer = [&]() -> lazy::task<> {
        std::unique_ptr<eager::task> fetch;
        {
            const auto bound = request_id.bind("for the fetch");
            fetch = std::make_unique<eager::task>(fetches());
        }
        co_await *fetch;
    };
    auto task = outer();
    task.start();
    go.set();
    EXPECT_TRUE(task.done());
    EXPECT_EQ(found, "for the fetch");
}

TEST(ContextInDump, IsALabelOfTheTask) {
    const corodump::agent agent;
    synced::event go;
    const auto waits = [](synced::event& until) -> lazy::task<> {
        attempt.set(7);
        co_await until;
    };
    const corodump::context_variable<std::string> token("auth_token");
    const auto outer = [&]() -> lazy::task<> {
        lazy::task<> early = waits(go);
        request_id.set("r \"1\"");
        token.set("s3cret");
        const auto hidden = request_id.bind("r 2");
        co_await std::move(early);
    };
    const auto by_hand = [](synced::event& until) -> lazy::task<> {
        request_id.set("bound");
        corodump::set_label("request_id", "by hand");
        co_await until;
    };
    auto task = outer();
    task.start();
    auto other = by_hand(go);
    other.start();
    const support::dump found = support::take_dump();
    ASSERT_EQ(found.tasks.size(), 2U) << found.chains();
    using labels = std::map<std::string, std::string>;
    std::map<std::size_t, labels> by_depth;
    for (const support::task& one : found.tasks) by_depth[one.chain.size()] = one.labels;
    EXPECT_EQ(by_depth[2],
              (labels{{"request_id", "r 2"}, {"auth_token", "<redacted>"}, {"attempt", "7"}}));
    EXPECT_EQ(by_depth[1], (labels{{"request_id", "by hand"}}));
    go.set();
    EXPECT_TRUE(task.done() && other.done());
}

TEST(ContextInDump, IsThatOfWhoeverAwaitsWhereTheLeafHasNotAsked) {
    const corodump::agent agent;
    synced::event go;
    const auto waits = [](synced::event& until) -> lazy::task<> { co_await until; };
    const auto outer = [&]() -> lazy::task<> {
        lazy::task<> early = waits(go);
        request_id.set("set after it was created");
        co_await std::move(early);
    };
    auto task = outer();
    task.start();
    const support::dump found = support::take_dump();
    ASSERT_EQ(found.tasks.size(), 1U);
    EXPECT_EQ(found.tasks[0].labels.at("request_id"), "set after it was created");
    go.set();
    EXPECT_TRUE(task.done());
}

/// Contexts listen to all ends; what finished[] notes is not theirs to change.
TEST(ContextInDump, LeavesFinishedTasksToTheirOption) {
    const corodump::agent agent;
    const auto outer = []() -> lazy::task<> {
        request_id.set("r");
        co_return;
    };
    for (int i = 0; i < 3; ++i) {
        auto task = outer();
        task.start();
    }
    const support::dump found = support::take_dump();
    EXPECT_TRUE(nlohmann::json::parse(found.text)["finished"].empty());
}

TEST(TaskText, IsTheIdAndNameOfTheDump) {
    const corodump::agent agent;
    synced::event go;
    corodump::detail::task_text told{};
    const auto waits = [&]() -> lazy::task<> {
        corodump_task_text_v1(&told);
        co_await go;
    };
    const auto middle = [&]() -> lazy::task<> { co_await waits(); };
    const auto outer = [&]() -> lazy::task<> {
        corodump::set_name("session 7");
        co_await middle();
    };
    auto task = outer();
    task.start();
    const support::dump found = support::take_dump();
    ASSERT_EQ(found.tasks.size(), 1U);
    EXPECT_EQ(found.tasks[0].id, told.id);
    EXPECT_STREQ(told.name, "session 7");
    go.set();
    corodump_task_text_v1(&told);
    EXPECT_STREQ(told.id, "") << "outside of all coroutines";
}

}  // namespace
