// A task that runs, or blocks its thread, shows where: the native frames of its thread, from its
// own function on.
#include <gtest/gtest.h>
#include <semaphore.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <corodump/agent.hpp>
#include <coroutine>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support_dump.hpp"
#include "tests/sanitizers.hpp"

namespace running {

using nlohmann::json;

sem_t release;
std::atomic<bool> stop{false};
std::atomic<int> inside{0};

[[gnu::noinline]] void blocks() {
    ++inside;
    while (sem_wait(&release) != 0) {
    }
    asm volatile("" ::: "memory");
}

[[gnu::noinline]] void spins() {
    ++inside;
    while (!stop.load(std::memory_order_relaxed)) {
    }
    asm volatile("" ::: "memory");
}

struct detached {
    struct promise_type {
        detached get_return_object() { return {}; }
        std::suspend_never initial_suspend() { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
};

/// Suspends once, so that what follows runs in the coroutine's resume function.
struct handed_over {
    std::coroutine_handle<>* to;
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> self) { *to = self; }
    void await_resume() {}
};

// It has a suspension: without one, clang gives a frame no function to resume it by.
detached blocking_from_the_start(std::coroutine_handle<>* self) {
    blocks();
    co_await handed_over{self};
}

detached blocking_once_resumed(std::coroutine_handle<>* self) {
    co_await handed_over{self};
    blocks();
}

detached spinning_once_resumed(std::coroutine_handle<>* self) {
    co_await handed_over{self};
    spins();
}

detached resuming_another(std::coroutine_handle<>* self, std::coroutine_handle<>* other) {
    co_await handed_over{self};
    other->resume();
    asm volatile("" ::: "memory");
}

const json* task_in(const json& dump, const std::string& function) {
    for (const json& task : dump["tasks"])
        if (task["await_chain"][0]["function"] == function) return &task;
    return nullptr;
}

/// Function names, innermost first.
std::vector<std::string> functions(const json& frames) {
    std::vector<std::string> names;
    for (const json& frame : frames)
        names.push_back(frame["function"].is_string() ? frame["function"].get<std::string>() : "?");
    return names;
}

const json& thread_of(const json& dump, const json& task) {
    static const json none;
    for (const json& thread : dump["threads"])
        if (thread["tid"] == task["thread"]) return thread;
    return none;
}

class RunningTask : public testing::Test {
protected:
    void SetUp() override {
        sem_init(&release, 0, 0);
        stop = false;
        inside = 0;
    }
    /// Runs `body` on a thread of its own, and takes a dump once `count` coroutines are inside.
    template <class Body>
    json dump_of(Body body, int count = 1) {
        const corodump::agent agent;
        std::thread thread(body);
        while (inside.load() < count) std::this_thread::yield();
        json dump = support::dump_as_json();
        stop = true;
        for (int i = 0; i < count; ++i) sem_post(&release);
        thread.join();
        return dump;
    }

    static void expect_stack(const json& dump, const std::string& function,
                             const std::string& innermost) {
        const json* const task = task_in(dump, function);
        ASSERT_NE(task, nullptr) << dump["tasks"].dump(1);
        EXPECT_EQ((*task)["activity"], "running");
        ASSERT_TRUE(task->contains("native_stack")) << dump["threads"].dump(1);
        const std::vector<std::string> names = functions((*task)["native_stack"]);
        EXPECT_EQ(names.back(), function);
        EXPECT_NE(std::find(names.begin(), names.end(), innermost), names.end())
            << testing::PrintToString(names);
        const json& thread = thread_of(dump, *task);
        EXPECT_GT(thread["frames"].size(), names.size());
        for (std::size_t i = 0; i < names.size(); ++i)
            EXPECT_EQ(thread["frames"][i], (*task)["native_stack"][i]);
    }
};

TEST_F(RunningTask, BlockedBeforeItsFirstSuspensionShowsWhere) {
    const json dump = dump_of([] {
        std::coroutine_handle<> self;
        blocking_from_the_start(&self);
        self.resume();
    });
    expect_stack(dump, "running::blocking_from_the_start", "running::blocks");
    const json& task = *task_in(dump, "running::blocking_from_the_start");
    const json& thread = thread_of(dump, task);
    EXPECT_EQ(thread["task"], task["id"]);
    EXPECT_EQ(thread["syscall"], "futex");
    EXPECT_EQ(thread["stack"]["source"], "no_signal");
}

TEST_F(RunningTask, BlockedAfterItsResumptionShowsWhere) {
    const json dump = dump_of([] {
        std::coroutine_handle<> self;
        blocking_once_resumed(&self);
        self.resume();
    });
    expect_stack(dump, "running::blocking_once_resumed", "running::blocks");
}

TEST_F(RunningTask, SpinningShowsWhere) {
    CORODUMP_TEST_NEEDS_RUNNING_STACKS();
    const json dump = dump_of([] {
        std::coroutine_handle<> self;
        spinning_once_resumed(&self);
        self.resume();
    });
    expect_stack(dump, "running::spinning_once_resumed", "running::spins");
    const json& task = *task_in(dump, "running::spinning_once_resumed");
    EXPECT_EQ(thread_of(dump, task)["stack"]["source"], "signal");
}

TEST_F(RunningTask, ThatResumedAnotherIsOnTheSameStackFurtherOut) {
    const json dump = dump_of([] {
        std::coroutine_handle<> self, other;
        blocking_once_resumed(&other);
        resuming_another(&self, &other);
        self.resume();
    });
    expect_stack(dump, "running::blocking_once_resumed", "running::blocks");
    expect_stack(dump, "running::resuming_another", "running::blocking_once_resumed");
    const json& inner = *task_in(dump, "running::blocking_once_resumed");
    const json& outer = *task_in(dump, "running::resuming_another");
    const json& thread = thread_of(dump, inner);
    EXPECT_EQ(thread["task"], inner["id"]);
    EXPECT_EQ(thread["outer_tasks"], json::array({outer["id"]}));
}

TEST_F(RunningTask, IsNoTaskOfAThreadThatLeftIt) {
    const json dump = dump_of([] {
        std::coroutine_handle<> self;
        blocking_once_resumed(&self);  // suspends
        blocks();
        self.destroy();
    });
    const json& task = *task_in(dump, "running::blocking_once_resumed");
    EXPECT_EQ(task["activity"], "suspended");
    EXPECT_FALSE(task.contains("native_stack"));
    EXPECT_TRUE(thread_of(dump, task)["task"].is_null());
}

}  // namespace running
