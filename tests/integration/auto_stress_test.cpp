// Coroutines made on one thread, resumed on others and destroyed on another still, on threads that
// come and go, while dumps are made as fast as they can be.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <corodump/agent.hpp>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "styles/affine_task.hpp"
#include "styles/eager_task.hpp"
#include "styles/lazy_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace app {

int at;

/// Where coroutines wait to be taken by any thread.
class station {
public:
    auto stop() noexcept {
        struct stops {
            station& at;
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<> h) const {
                const std::lock_guard lock(at.mutex_);
                at.waiting_.push_back(h);
            }
            void await_resume() const noexcept {}
        };
        return stops{*this};
    }
    std::coroutine_handle<> take() {
        const std::lock_guard lock(mutex_);
        if (waiting_.empty()) return nullptr;
        const auto next = waiting_.back();
        waiting_.pop_back();
        return next;
    }

private:
    std::mutex mutex_;
    std::vector<std::coroutine_handle<>> waiting_;
};

lazy::task<int> travels(station& at_station, int stops, int weight) {
    int sum = 0;
    for (int i = 0; i < stops; ++i) {
        co_await at_station.stop();
        sum += weight;
    }
    co_return sum;
}
lazy::task<> journey(station& at_station, int depth, std::atomic<long>& total) {
    if (depth > 0) {
        co_await journey(at_station, depth - 1, total);
        co_return;
    }
    total += co_await travels(at_station, 3, 2);
}
/// Ends where another thread finds and destroys it.
struct passport {
    std::atomic<long>& alive;
    explicit passport(std::atomic<long>& count) : alive(count) { ++alive; }
    ~passport() { --alive; }
};
eager::forgotten roams(station& at_station, station& at_end, int depth, std::atomic<long>& total,
                       std::atomic<long>& alive) {
    const passport counted(alive);
    co_await journey(at_station, depth, total);
    co_await at_end.stop();
}
affine::task<int> hop(int depth) {
    if (depth == 0) co_return 1;
    co_return 1 + co_await hop(depth - 1);
}
lazy::task<int> waits(synced::event& until) {
    // clang-format off
    at = __LINE__; co_await until;
    // clang-format on
    co_return 3;
}

}  // namespace app

namespace {

using support::take_dump;

class AutoStress : public ::testing::Test {
protected:
    corodump::agent agent;
};

TEST_F(AutoStress, MadeResumedAndDestroyedOnDifferentThreads) {
    synced::event until;
    std::unique_ptr<lazy::task<int>> task;
    std::thread([&] { task = std::make_unique<lazy::task<int>>(app::waits(until)); }).join();
    std::thread([&] { task->start(); }).join();
    {
        const auto dump = take_dump();
        support::expect_chain(dump, {{"app::waits", app::at}});
    }
    std::thread([&] { until.set(); }).join();
    EXPECT_EQ(task->result(), 3);
    std::thread([&] { task.reset(); }).join();
    support::expect_no_frames();
}

TEST_F(AutoStress, ThreadsThatComeAndGo) {
    std::vector<std::unique_ptr<lazy::task<int>>> tasks(200);
    synced::event until;
    for (auto& task : tasks)
        std::thread([&] {
            task = std::make_unique<lazy::task<int>>(app::waits(until));
            task->start();
        }).join();
    EXPECT_EQ(take_dump().tasks.size(), 200U);
    std::thread([&] { until.set(); }).join();
    for (auto& task : tasks) EXPECT_EQ(task->result(), 3);
    std::thread([&] { tasks.clear(); }).join();
    support::expect_no_frames();
}

TEST_F(AutoStress, DumpsWhileEverythingMoves) {
    using clock = std::chrono::steady_clock;
    const char* const seconds = std::getenv("CORODUMP_STRESS_SECONDS");
    const auto end =
        clock::now() + std::chrono::seconds(seconds != nullptr ? std::atoi(seconds) : 4);
    const unsigned workers = std::max(2U, std::thread::hardware_concurrency());
    std::atomic<bool> stop{false};
    std::atomic<long> total{0};
    std::atomic<long> started{0};
    std::atomic<long> alive{0};
    app::station station;
    app::station end_of_line;
    std::vector<std::thread> threads;
    for (unsigned w = 0; w < workers; ++w)
        threads.emplace_back([&, w] {
            unsigned random = w + 1;
            while (!stop) {
                random = random * 1664525U + 1013904223U;
                if (random >> 30U == 0 && alive < 1000) {
                    ++started;
                    app::roams(station, end_of_line, static_cast<int>(random >> 8U) % 5, total,
                               alive);
                } else if (const auto next = station.take()) {
                    next.resume();
                } else if (const auto ended = end_of_line.take()) {
                    ended.destroy();
                }
            }
        });
    threads.emplace_back([&] {
        while (!stop) {
            ++started;
            std::thread([&] { app::roams(station, end_of_line, 1, total, alive); }).join();
            affine::thread_pool pool(2);
            auto hops = app::hop(20);
            hops.start_on(pool);
            pool.wait_idle();
            EXPECT_EQ(hops.result(), 21);
        }
    });
    unsigned dumps = 0;
    while (clock::now() < end) {
        if (dumps % 50 == 0) {
            ASSERT_FALSE(support::take_moving_dump().path.empty());
        } else {
            const auto made = corodump::dump_now();
            ASSERT_TRUE(made) << made.error.message();
            unlink(made.path.c_str());
        }
        ++dumps;
    }
    stop = true;
    for (std::thread& t : threads) t.join();
    while (const auto next = station.take()) next.resume();
    while (const auto ended = end_of_line.take()) ended.destroy();
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(total, 6 * started);
    EXPECT_GT(dumps, 10U);
    RecordProperty("dumps", static_cast<int>(dumps));
    support::expect_no_frames();
}

}  // namespace
