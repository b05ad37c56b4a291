// Cases 1 to 11: processes that hang, each in another place, and still answer.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/types.h>

#include <corodump/agent.hpp>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>

#include "tests/chaos/chaos_host.hpp"
#include "tests/integration/styles/lazy_task.hpp"
#include "tests/integration/styles/synced.hpp"

namespace app {

lazy::task<int> inner(synced::event& until) {
    co_await until;
    co_return 1;
}
lazy::task<int> outer(synced::event& until) {
    co_return 1 + co_await inner(until);
}

}  // namespace app

namespace {

void expect_waiting_task(const support::dump& in) {
    const support::task* const found = in.ending_in("app::inner");
    ASSERT_NE(found, nullptr) << in.chains();
    EXPECT_EQ(found->root().function, "app::outer");
    EXPECT_EQ(found->state, "pending");
    EXPECT_EQ(found->activity, "suspended");
    ASSERT_TRUE(found->awaits.has_value());
    EXPECT_EQ(found->awaits->awaitable, "synced::event::awaiter");
}

TEST(Chaos, Case06_StdoutsLockHeld) {
    chaos::host host([] {
        const corodump::agent agent;
        synced::event until;
        auto task = app::outer(until);
        task.start();
        flockfile(stdout);
        flockfile(stderr);
        chaos::tell("ready");
        chaos::stay();
    });
    host.await_ready();
    expect_waiting_task(host.signal_and_await_dump());
    EXPECT_NE(host.await_error("dumped 1 task to ").find(host.directory()), std::string::npos);
    EXPECT_TRUE(host.is_alive());
}

}  // namespace
