// Exceptions that leave coroutines: what a dump tells of them, what counts as seen, what is logged.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <corodump/failures.hpp>
#include <corodump/task.hpp>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "styles/failing.hpp"
#include "support_dump.hpp"
#include "support_failures.hpp"

namespace app {

using failing::detached;
using failing::task;

/// Suspends, and goes on at once.
struct moment {
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<>) const noexcept { return false; }
    void await_resume() const noexcept {}
};

int thrown_line = 0;

task fails(std::string message) {
    thrown_line = __LINE__ + 1;
    co_await moment{};
    throw std::runtime_error(message);
}
task passes(std::string message) {
    co_await fails(std::move(message));
}
task session(std::string message) {
    corodump::set_name("session 7");
    corodump::set_label("user", "ann");
    corodump::set_label("auth_token", "hunter2");
    co_await passes(std::move(message));
}
task sees(std::string message) {
    try {
        co_await passes(std::move(message));
    } catch (const std::runtime_error&) {
    }
}
task drops(std::string message) {
    task forgotten = fails(std::move(message));
    forgotten.run();
    co_return;
}
detached forgets(std::string message) {
    corodump::set_name("forgotten one");
    throw std::runtime_error(message);
    co_return;
}
std::future<void> promises(std::string message) {
    throw std::runtime_error(message);
    co_return;
}
failing::thrower throws_on(std::string message) {
    throw std::runtime_error(message);
    co_return;
}
failing::thrower resumes(std::string message) {
    failing::thrower inner = throws_on(std::move(message));
    inner.handle.resume();
    co_return;
}
task is_cancelled() {
    throw std::system_error(std::make_error_code(std::errc::operation_canceled));
    co_return;
}
struct odd {};
detached throws_odd() {
    throw odd{};
    co_return;
}

}  // namespace app

namespace {

using support::captured_log;
using support::failure_with;

const corodump::agent agent;

constexpr const char* last = "the last of this test";

/// The watchdog has looked at all failures so far once this one's line is there.
bool all_are_told(captured_log& log) {
    app::forgets(last);
    return log.comes(last);
}

TEST(Failures, TellTypeMessageAndTheChainAtTheThrow) {
    captured_log log;
    {
        app::task t = app::session("told in full");
        t.run();
        const auto dump = support::dump_as_json();
        const auto failure = failure_with(dump, "told in full");
        ASSERT_FALSE(failure.is_null());
        EXPECT_EQ(failure["type"], "std::runtime_error");
        EXPECT_EQ(support::functions_of(failure["await_chain"]), "session > passes > fails");
        EXPECT_EQ(failure["location"]["line"], app::thrown_line);
        EXPECT_EQ(failure["name"], "session 7");
        EXPECT_EQ(failure["labels"]["user"], "ann");
        EXPECT_EQ(failure["labels"]["auth_token"], "<redacted>");
        EXPECT_TRUE(failure["thrown_at"].is_null());
        EXPECT_EQ(failure["task"], dump["tasks"][0]["id"]);
        EXPECT_EQ(support::functions_of(nlohmann::json::array({failure["created"]["location"]})),
                  "session");
    }
    EXPECT_TRUE(log.comes("told in full")) << log.text();
}

TEST(Failures, AreOneForOneExceptionThatPassesThroughSeveralCoroutines) {
    captured_log log;
    app::forgets("one before");
    const auto before = support::dump_as_json()["failure_counts"];
    {
        app::task t = app::session("passes through three");
        t.run();
    }
    ASSERT_TRUE(log.comes("passes through three"));
    ASSERT_TRUE(all_are_told(log));
    EXPECT_EQ(log.count("passes through three"), 1) << log.text();
    const auto after = support::dump_as_json()["failure_counts"];
    EXPECT_EQ(after["failures"].get<int>() - before["failures"].get<int>(), 2);
}

TEST(Failures, AreObservedByACoroutineThatAwaits) {
    captured_log log;
    {
        app::task t = app::sees("seen by the one that awaits");
        t.run();
    }
    EXPECT_EQ(failure_with(support::dump_as_json(), "seen by the one that awaits")["observed"],
              true);
    ASSERT_TRUE(all_are_told(log));
    EXPECT_EQ(log.count("seen by the one that awaits"), 0);
}

TEST(Failures, AreNotLoggedWhileTheTaskIsThere) {
    captured_log log;
    app::task t = app::fails("still to be asked for");
    t.run();
    EXPECT_EQ(failure_with(support::dump_as_json(), "still to be asked for")["observed"], false);
    ASSERT_TRUE(all_are_told(log));
    EXPECT_EQ(log.count("still to be asked for"), 0);
    EXPECT_THROW(t.ask(), std::runtime_error);
    try {
        t.ask();
    } catch (const std::runtime_error&) {
        corodump::observed();
    }
    EXPECT_EQ(failure_with(support::dump_as_json(), "still to be asked for")["observed"], true);
}

TEST(Failures, OfAResultNeverAwaitedAreLoggedOnce) {
    captured_log log;
    {
        app::task t = app::drops("never awaited");
        t.run();
    }
    ASSERT_TRUE(log.comes("never awaited")) << log.text();
    ASSERT_TRUE(all_are_told(log));
    EXPECT_EQ(log.count("never awaited"), 1) << log.text();
    EXPECT_EQ(log.count(" error: a task failed, and nobody got its exception: task "), 2);
    EXPECT_EQ(failure_with(support::dump_as_json(), "never awaited")["observed"], false);
}

TEST(Failures, OfADetachedTaskAreLoggedWithNameAndPlace) {
    captured_log log;
    app::forgets("swallowed by nobody");
    ASSERT_TRUE(log.comes("swallowed by nobody"));
    EXPECT_EQ(log.count("\"forgotten one\" near auto_failures_test.cpp:"), 1) << log.text();
    EXPECT_EQ(log.count("std::runtime_error: swallowed by nobody"), 1) << log.text();
}

TEST(Failures, AreObservedWhereTheTaskDiesOfThem) {
    captured_log log;
    const auto asks = [] {
        app::task t = app::fails("on its way out");
        t.run();
        t.ask();
    };
    EXPECT_THROW(asks(), std::runtime_error);
    EXPECT_EQ(failure_with(support::dump_as_json(), "on its way out")["observed"], true);
    ASSERT_TRUE(all_are_told(log));
    EXPECT_EQ(log.count("on its way out"), 0) << log.text();
}

TEST(Failures, AreObservedWhereTheyAreHandedToAFuture) {
    captured_log log;
    std::future<void> result = app::promises("handed on");
    EXPECT_EQ(failure_with(support::dump_as_json(), "handed on")["observed"], true);
    ASSERT_TRUE(all_are_told(log));
    EXPECT_EQ(log.count("handed on"), 0) << log.text();
    EXPECT_THROW(result.get(), std::runtime_error);
}

TEST(Failures, AreObservedWhereTheyLeaveResume) {
    captured_log log;
    {
        failing::thrower t = app::throws_on("out of resume");
        EXPECT_THROW(t.handle.resume(), std::runtime_error);
    }
    EXPECT_EQ(failure_with(support::dump_as_json(), "out of resume")["observed"], true);
    ASSERT_TRUE(all_are_told(log));
    EXPECT_EQ(log.count("out of resume"), 0) << log.text();
}

TEST(Failures, AreOneForOneExceptionThatLeavesSeveralResumes) {
    EXPECT_THROW(app::throws_on("one before").handle.resume(), std::runtime_error);
    const auto before = support::dump_as_json()["failure_counts"]["failures"].get<int>();
    {
        failing::thrower t = app::resumes("through two resumes");
        EXPECT_THROW(t.handle.resume(), std::runtime_error);
    }
    const auto dump = support::dump_as_json();
    EXPECT_EQ(dump["failure_counts"]["failures"].get<int>(), before + 1);
    EXPECT_EQ(support::functions_of(failure_with(dump, "through two resumes")["await_chain"]),
              "throws_on");
    EXPECT_EQ(failure_with(dump, "through two resumes")["observed"], true);
}

TEST(Failures, AreNoneWhereAnOperationWasCancelled) {
    captured_log log;
    app::forgets("one before");
    const auto before = support::dump_as_json()["failure_counts"]["failures"];
    {
        app::task t = app::is_cancelled();
        t.run();
    }
    EXPECT_EQ(support::dump_as_json()["failure_counts"]["failures"], before);
    ASSERT_TRUE(all_are_told(log));
    EXPECT_EQ(log.count("ancel"), 0) << log.text();
}

TEST(Failures, MayBeOfATypeWithoutAMessage) {
    captured_log log;
    app::throws_odd();
    ASSERT_TRUE(log.comes("app::odd"));
    const auto failures = support::dump_as_json()["failures"];
    const auto& failure = failures.back();
    EXPECT_EQ(failure["type"], "app::odd");
    EXPECT_TRUE(failure["message"].is_null());
}

TEST(Failures, HideSecretsOfMessages) {
    captured_log log;
    app::forgets("login failed: user=ann password=hunter2, token: \"a b\" next");
    const std::string shown = "login failed: user=ann password=<redacted>, token: <redacted> next";
    ASSERT_TRUE(log.comes(shown)) << log.text();
    EXPECT_FALSE(failure_with(support::dump_as_json(), shown).is_null());
}

TEST(Failures, AreToldToTheServicesHandler) {
    captured_log log;
    static std::vector<std::string> told;
    corodump::on_unobserved_failure(
        [](const corodump::unobserved_failure& lost, void* context) noexcept {
            EXPECT_EQ(context, &told);
            told.push_back(std::string(lost.task_name) + "|" + std::string(lost.type) + "|" +
                           std::string(lost.message));
            EXPECT_TRUE(lost.file.ends_with("auto_failures_test.cpp"));
            EXPECT_GT(lost.line, 0U);
        },
        &told);
    app::forgets("handled");
    corodump::on_unobserved_failure(nullptr);
    app::forgets("not handled");
    EXPECT_EQ(told, std::vector<std::string>{"forgotten one|std::runtime_error|handled"});
    ASSERT_TRUE(log.comes("not handled"));
}

TEST(Failures, AreKeptToTheLast256) {
    captured_log log;
    for (int i = 0; i < 300; ++i) {
        app::task t = app::sees("number " + std::to_string(i));
        t.run();
    }
    const auto dump = support::dump_as_json();
    EXPECT_EQ(dump["failures"].size(), 256U);
    EXPECT_EQ(dump["failures"].back()["message"], "number 299");
    EXPECT_EQ(dump["failures"].front()["message"], "number 44");
    EXPECT_EQ(dump["failure_counts"]["failures_dropped"].get<int>(),
              dump["failure_counts"]["failures"].get<int>() - 256);
}

}  // namespace
