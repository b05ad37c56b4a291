// Starts each program of docs/examples/diagnosing, dumps it until the verdict is there, and looks whether
// the verdict says what docs/diagnosing.md promises.
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/chaos/chaos_host.hpp"

namespace {

struct example {
    const char* program;
    const char* kind;
    const char* severity;
    const char* says;  ///< in the statement
};

void PrintTo(const example& of, std::ostream* to) {
    *to << of.program;
}

class Diagnosing : public testing::TestWithParam<example> {};

nlohmann::json verdict_of(const nlohmann::json& dump, const std::string& kind) {
    for (const auto& verdict : dump["verdicts"])
        if (verdict["kind"] == kind) return verdict;
    return nullptr;
}

TEST_P(Diagnosing, FindsWhatIsWrong) {
    chaos::setup with;
    // What takes longest is growth: two dumps, ten seconds apart.
    with.deadline = std::chrono::seconds(60);
    chaos::host host(std::string(CORODUMP_EXAMPLES_DIR) + "/diagnose_" + GetParam().program, {},
                     with);
    host.await_ready();
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(40);
    nlohmann::json found;
    nlohmann::json dump;
    while (found.is_null() && std::chrono::steady_clock::now() < until) {
        host.signal(SIGUSR1);  // the agent answers one in 200 ms, so this loop waits for it
        dump = chaos::parse(host.await_dump());
        found = verdict_of(dump, GetParam().kind);
    }
    ASSERT_FALSE(found.is_null()) << dump["verdicts"] << host.errors();
    EXPECT_EQ(found["severity"], GetParam().severity);
    const std::string statement = found["statement"];
    EXPECT_NE(statement.find(GetParam().says), std::string::npos) << statement;
}

INSTANTIATE_TEST_SUITE_P(
    Example, Diagnosing,
    testing::Values(
        example{"hang", "wait_cycle", "error",
                "lock 'savings' (1 of 1 taken), lock 'wages' (1 of 1 taken) are taken by 2 tasks"},
        example{"slowdown", "exhausted", "warning",
                "pool 'backend' is exhausted: 2 of 2 taken, 38 tasks"},
        example{"intermittent_error", "resource_leak", "warning",
                "pool 'backend' was not given back: it is held by a task that has ended"},
        example{"lost_wakeup", "lost_wakeup", "warning",
                "1 task is suspended on what is ready already"},
        example{"fan_in", "lost_child", "warning",
                "for 1 more child to end, of which there is none"},
        example{"latency_spike", "blocked_loop", "warning", "is blocked in clock_nanosleep"},
        example{"silent_failure", "unobserved_failure", "warning",
                "3 tasks failed in (anonymous namespace)::send_mail with std::runtime_error (no "
                "route to "
                "mail host), the last "},
        example{"never_started", "never_resumed", "warning",
                "3 tasks were created and never started"},
        example{"memory_growth", "growth", "warning", "watch_session"}),
    [](const auto& one) { return std::string(one.param.program); });

}  // namespace
