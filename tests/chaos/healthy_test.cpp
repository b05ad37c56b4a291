// A busy, healthy service is told of no error: its pool is often all taken, some requests are slow, hundreds
// of connections idle, tasks come and go. Five seconds; ten minutes in the long pass.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>

#include "docs/examples/diagnosing/coroutines.hpp"
#include "tests/chaos/chaos_host.hpp"

namespace app {

using namespace std::chrono_literals;

using example::detached, example::loop, example::pool, example::task;

/// Milliseconds.
class dice {
public:
    std::chrono::milliseconds between(int from, int to) {
        return std::chrono::milliseconds(std::uniform_int_distribution<>(from, to)(random_));
    }
    bool one_in(int many) { return std::uniform_int_distribution<>(1, many)(random_) == 1; }

private:
    std::mt19937 random_{2026};
};

task query(loop& on, dice& chance) {
    co_await on.after(chance.one_in(200) ? chance.between(1000, 3000) : chance.between(1, 20));
}

task place_order(loop& on, dice& chance, pool& connections) {
    const auto connection = co_await connections.acquire();
    co_await query(on, chance);
}

detached client(loop& on, dice& chance, pool& connections) {
    for (;;) {
        co_await on.after(chance.between(1, 50));
        co_await place_order(on, chance, connections);
    }
}

detached idle(loop& on) {
    co_await on.after(24h);
}

}  // namespace app

namespace {

using namespace std::chrono_literals;

TEST(Healthy, ABusyServiceIsToldOfNoError) {
    const std::chrono::seconds time{chaos::rounds(5, 600)};
    chaos::setup with;
    with.deadline = time + 60s;
    with.environment = {{"CORODUMP_MAX_FILES", "2"}};
    chaos::host host(
        [] {
            const corodump::agent agent;
            example::loop on;
            app::dice chance;
            example::pool connections("pool", "backend", 8);
            for (int i = 0; i < 100; ++i) app::client(on, chance, connections);
            for (int i = 0; i < 300; ++i) app::idle(on);
            example::ready();
            on.run();
        },
        with);
    host.await_ready();
    int dumps = 0;
    bool was_busy = false;
    for (const auto until = std::chrono::steady_clock::now() + time;
         std::chrono::steady_clock::now() < until; ++dumps) {
        host.signal(SIGUSR1);
        const nlohmann::json dump = chaos::parse(host.await_dump());
        ASSERT_GE(dump["tasks"].size(), 400U) << "after " << dumps << " dumps";
        for (const auto& verdict : dump["verdicts"])
            EXPECT_NE(verdict["severity"], "error") << verdict;
        for (const auto& object : dump["summary"]["by_object"])
            was_busy = was_busy || (object["name"] == "backend" && object["count"] > 8);
    }
    EXPECT_GT(dumps, 3);
    EXPECT_TRUE(was_busy);
}

}  // namespace
