// A service that blocks in calls which a signal would end early does not notice that it is dumped.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <corodump/agent.hpp>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "support_dump.hpp"

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr auto nap = 20ms;

/// Counts what a call that was to last for `nap` did otherwise.
struct complaints {
    std::atomic<int> calls{0}, early{0}, failed{0};

    void after(steady::time_point began, bool as_expected) {
        ++calls;
        if (!as_expected) ++failed;
        if (steady::now() - began < nap - 1ms) ++early;
    }
};

void use_processor(std::chrono::microseconds time) {
    for (const auto end = steady::now() + time; steady::now() < end;) {
    }
}

TEST(QuietService, NoticesNothingOfAHundredDumps) {
    constexpr int dumps = 100;
    std::atomic<bool> stop{false};
    complaints noticed;
    int ends[2] = {};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    timeval limit{0, 20'000};
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    const int set = epoll_create1(0);
    const std::vector<std::function<bool()>> calls = {
        [] {
            boost::asio::io_context context;
            boost::asio::steady_timer timer(context, nap);
            boost::system::error_code error;
            timer.wait(error);
            return !error;
        },
        [] {
            const timespec time{0, 20'000'000};
            return nanosleep(&time, nullptr) == 0;
        },
        [] { return poll(nullptr, 0, 20) == 0; },
        [&] {
            epoll_event event{};
            return epoll_wait(set, &event, 1, 20) == 0;
        },
        [&] {
            char byte = 0;
            return recv(ends[0], &byte, 1, 0) == -1 && errno == EAGAIN;
        },
        // Runs between its naps, but not for so long that it counts as a thread that never blocks.
        [] {
            use_processor(2ms);
            return poll(nullptr, 0, 20) == 0;
        },
    };
    const corodump::agent agent;
    std::vector<std::thread> threads;
    std::atomic<unsigned> unslept{1};
    threads.emplace_back([&] { unslept = sleep(2); });
    for (const auto& call : calls)
        threads.emplace_back([&, call] {
            while (!stop.load()) {
                const auto began = steady::now();
                noticed.after(began, call());
            }
        });
    threads.emplace_back([&] {
        while (!stop.load()) use_processor(1ms);
    });
    for (int i = 0; i < dumps; ++i) static_cast<void>(support::take_moving_dump());
    stop = true;
    for (std::thread& one : threads) one.join();
    EXPECT_GT(noticed.calls.load(), dumps);
    EXPECT_EQ(noticed.early.load(), 0);
    EXPECT_EQ(noticed.failed.load(), 0);
    EXPECT_EQ(unslept.load(), 0U);
    close(ends[0]);
    close(ends[1]);
    close(set);
}

}  // namespace
