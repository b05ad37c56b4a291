// corodump::throws: the stack of the throw, beside the failure.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "styles/failing.hpp"
#include "support_dump.hpp"
#include "support_failures.hpp"

namespace app {

using failing::task;

[[gnu::noinline]] void deepest(const char* message) {
    throw std::runtime_error(message);
}
[[gnu::noinline]] void between(const char* message) {
    deepest(message);
    asm volatile("");  // no tail call
}
task fails(const char* message) {
    between(message);
    co_return;
}
task passes(const char* message) {
    co_await fails(message);
}
task sees(const char* message) {
    try {
        co_await passes(message);
    } catch (const std::runtime_error&) {
    }
}

}  // namespace app

namespace {

using support::failure_with;

const corodump::agent agent;

std::vector<std::string> functions(const nlohmann::json& frames) {
    std::vector<std::string> names;
    for (const auto& frame : frames)
        names.push_back(frame["function"].is_string() ? frame["function"].get<std::string>() : "");
    return names;
}

TEST(Throws, TellTheStackOfTheThrow) {
    app::task t = app::sees("from the deepest");
    t.run();
    const auto failure = failure_with(support::dump_as_json(), "from the deepest");
    ASSERT_FALSE(failure.is_null());
    ASSERT_TRUE(failure["thrown_at"].is_array()) << failure;
    const auto stack = functions(failure["thrown_at"]);
    ASSERT_GE(stack.size(), 3U);
    EXPECT_EQ(stack[0], "app::deepest");
    EXPECT_EQ(stack[1], "app::between");
    EXPECT_EQ(stack[2], "app::fails");
}

[[gnu::noinline]] void run_one(const char* message) {
    app::task t = app::sees(message);
    t.run();
}

TEST(Throws, TellEqualStacksOfEqualThrows) {
    void (*volatile run)(const char*) = run_one;  // one place to call from, not a loop unrolled
    const char* const names[] = {"once", "twice"};
    volatile unsigned first = 0;
    for (const char* const* name = names + first; name != names + 2; ++name) run(*name);
    const auto dump = support::dump_as_json();
    const auto stack = failure_with(dump, "once")["thrown_at"];
    ASSERT_TRUE(stack.is_array());
    EXPECT_EQ(stack, failure_with(dump, "twice")["thrown_at"]);
}

}  // namespace
