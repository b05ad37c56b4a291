// Coroutines that create coroutines on every core, while dumps are made as fast as they can be:
// what a dump says of a creation is true, or is not there.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <corodump/agent.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "styles/eager_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace app {

eager::task created(synced::event& until) {
    co_await until;
    co_return 1;
}
eager::task creates(synced::event& until, std::optional<eager::task>& into) {
    into.emplace(created(until));
    co_await until;
    co_return 2;
}
/// Made in the same memory, outside of all coroutines.
eager::task stands_alone(synced::event& until) {
    co_await until;
    co_return 3;
}

void work(std::atomic<bool>& stop, std::atomic<int>& alive) {
    for (int round = 0; !stop; ++round) {
        synced::event until;
        std::optional<eager::task> below;
        std::optional<eager::task> task;
        task.emplace(round % 2 == 0 ? creates(until, below) : stands_alone(until));
        ++alive;
        // Some wait for a while, so that dumps find them.
        if (round % 64 < 2) std::this_thread::yield();
        until.set();
    }
}

}  // namespace app

namespace {

using nlohmann::json;

std::string created_by(const json& task) {
    return task["created"]["by"].is_null() ? "" : task["created"]["by"].get<std::string>();
}

/// Who is the creator in all dumps: `created` was created by a task of `creates`, if it is still in
/// the dump; `stands_alone` by none.
void check(const json& all, std::uint64_t& seen) {
    std::map<std::string, std::string> functions;
    for (const json& task : all["tasks"])
        functions[task["id"]] = task["created"]["location"]["function"].is_null()
                                    ? ""
                                    : task["created"]["location"]["function"].get<std::string>();
    for (const json& task : all["tasks"]) {
        const std::string& function = functions[task["id"]];
        const std::string creator = created_by(task);
        if (function == "app::stands_alone") {
            EXPECT_EQ(creator, "");
        }
        const auto found = functions.find(creator);
        if (function != "app::created" || creator.empty() || found == functions.end()) continue;
        EXPECT_EQ(found->second, "app::creates");
        ++seen;
    }
}

void dump_while_creating(corodump::creation_stacks which) {
    corodump::options chosen;
    chosen.creators = true;
    chosen.creation_stacks = which;
    const corodump::agent agent(chosen);
    std::atomic<bool> stop{false};
    std::atomic<int> alive{0};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < std::max(2U, std::thread::hardware_concurrency()); ++i)
        threads.emplace_back([&] { app::work(stop, alive); });
    while (alive < 1000) std::this_thread::yield();
    std::uint64_t seen = 0;
    constexpr int least_dumps = 20;
    constexpr int most_dumps = 2000;
    for (int i = 0; i < least_dumps || (seen < 10 && i < most_dumps); ++i)
        check(json::parse(support::take_moving_dump().text), seen);
    stop = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_GE(seen, 10U);
}

TEST(CreationStress, CreatorsAreTrueWhileEverythingMoves) {
    dump_while_creating(corodump::creation_stacks::off);
}
TEST(CreationStress, StacksAreTakenOnAllCoresDuringDumps) {
    dump_while_creating(corodump::creation_stacks::all);
}
TEST(CreationStress, SamplesAreTakenOnAllCoresDuringDumps) {
    dump_while_creating(corodump::creation_stacks::sampled);
}

}  // namespace
