// Creation stacks of a host whose code has no frame pointers: whatever is in the register is
// followed on this thread's own stack alone, and what is shown are calls.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "styles/eager_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace app {

eager::task waits(synced::event& until) {
    co_await until;
    co_return 1;
}

/// What a function without a frame pointer keeps in its register may be anything.
[[gnu::noinline]] eager::task called_with(std::uintptr_t in_register, synced::event& until) {
#if defined(__x86_64__)
    // The call must be made while rbp holds it; saved and given back around a plain call.
    eager::task (*volatile make)(synced::event&) = waits;
    asm volatile("" : "+r"(in_register));
    eager::task made = make(until);
    asm volatile("" : : "r"(in_register) : "memory");
    return made;
#else
    static_cast<void>(in_register);
    return waits(until);
#endif
}

}  // namespace app

namespace {

using nlohmann::json;

TEST(CreationOmitted, TakesStacksOfCodeWithoutFramePointers) {
    corodump::options chosen;
    chosen.creation_stacks = corodump::creation_stacks::all;
    const corodump::agent agent(chosen);
    synced::event until;
    std::vector<eager::task> tasks;
    std::uintptr_t local[4] = {1, 2, 3, 4};
    for (const std::uintptr_t value :
         {std::uintptr_t{0}, ~std::uintptr_t{0}, std::uintptr_t{8}, std::uintptr_t{0x1000},
          reinterpret_cast<std::uintptr_t>(&local), reinterpret_cast<std::uintptr_t>(&tasks) | 1U})
        tasks.push_back(app::called_with(value, until));
    std::thread([&] { tasks.push_back(app::called_with(8, until)); }).join();
    const json all = json::parse(support::take_dump().text);
    EXPECT_EQ(all["creation"]["births"], 7);
    EXPECT_EQ(all["creation"]["stacks_taken"], 7);
    EXPECT_LE(all["creation"]["short_stacks"], 7);
    for (const json& stack : all["creation_stacks"])
        for (const json& frame : stack["frames"]) EXPECT_FALSE(frame["module"].is_null());
    until.set();
}

}  // namespace
