// The profiler over Boost.Asio: strands of a pool, timers, and who awaited whom.
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <corodump/agent.hpp>
#include <corodump/profile.hpp>

#include "support_dump.hpp"
#include "support_profile.hpp"

namespace app {

namespace asio = boost::asio;
using std::chrono::steady_clock;

asio::awaitable<void> pause(std::chrono::milliseconds time) {
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(asio::use_awaitable);
}
asio::awaitable<int> compute(std::chrono::nanoseconds& spent) {
    const auto began = steady_clock::now();
    while (steady_clock::now() - began < std::chrono::milliseconds(2)) {
    }
    spent += steady_clock::now() - began;
    co_return 1;
}
asio::awaitable<void> session(int rounds, std::chrono::nanoseconds& spent,
                              std::chrono::nanoseconds& waited) {
    for (int i = 0; i < rounds; ++i) {
        const auto began = steady_clock::now();
        co_await pause(std::chrono::milliseconds(2));
        waited += steady_clock::now() - began;
        co_await compute(spent);
    }
}

double seconds(std::chrono::nanoseconds time) {
    return std::chrono::duration<double>(time).count();
}

}  // namespace app

namespace {

TEST(AsioProfile, AgreesWithSessionsOnStrandsThatMeasureThemselves) {
    constexpr int sessions = 4, rounds = 20;
    const corodump::agent agent;
    bool agreed = false;
    std::string told;
    for (int attempt = 0; attempt < 8 && !agreed; ++attempt) {
        ASSERT_FALSE(corodump::profile::start());
        std::chrono::nanoseconds spent[sessions] = {}, waited[sessions] = {};
        app::asio::thread_pool pool(2);
        for (int i = 0; i < sessions; ++i)
            app::asio::co_spawn(app::asio::make_strand(pool),
                                app::session(rounds, spent[i], waited[i]), app::asio::detached);
        pool.join();
        ASSERT_FALSE(corodump::profile::stop());
        const support::profile seen = support::profile_of(support::take_dump());
        const support::profiled compute = seen.chain({"app::session", "app::compute"});
        const support::profiled pause = seen.function("app::pause");
        EXPECT_EQ(compute.calls, sessions * rounds) << seen.text();
        EXPECT_EQ(compute.resumes, sessions * rounds);
        EXPECT_EQ(pause.calls, sessions * rounds);
        EXPECT_EQ(seen.function("app::session").calls, sessions);
        EXPECT_EQ(seen.function("app::session").live, 0);
        EXPECT_EQ(seen.dropped, 0);
        double all_spent = 0, all_waited = 0;
        for (int i = 0; i < sessions; ++i) {
            all_spent += app::seconds(spent[i]);
            all_waited += app::seconds(waited[i]);
        }
        agreed = std::abs(compute.running - all_spent) < all_spent * 0.05 &&
                 std::abs(pause.running + pause.suspended - all_waited) < all_waited * 0.05;
        told += std::to_string(compute.running) + " of " + std::to_string(all_spent) + " s, " +
                std::to_string(pause.running + pause.suspended) + " of " +
                std::to_string(all_waited) + '\n';
    }
    EXPECT_TRUE(agreed) << told;
}

TEST(AsioProfile, StartsAndStopsWhileSessionsRun) {
    const corodump::agent agent;
    std::chrono::nanoseconds spent[4] = {}, waited[4] = {};
    app::asio::thread_pool pool(2);
    for (int i = 0; i < 4; ++i)
        app::asio::co_spawn(app::asio::make_strand(pool), app::session(50, spent[i], waited[i]),
                            app::asio::detached);
    for (int i = 0; i < 200; ++i) {
        ASSERT_FALSE(
            corodump::profile::start({.clock = static_cast<corodump::profile::clock>(i % 3)}));
        if (i % 5 == 0) {
            ASSERT_FALSE(corodump::profile::reset());
        }
        if (i % 20 == 0) {
            EXPECT_TRUE(support::profile_of(support::take_moving_dump()).there);
        }
        ASSERT_FALSE(corodump::profile::stop());
    }
    ASSERT_FALSE(corodump::profile::start());
    pool.join();
    corodump_profile_stop_v1();
    support::expect_no_frames();
}

}  // namespace
