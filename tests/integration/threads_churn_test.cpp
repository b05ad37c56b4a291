// Stacks of threads that come and go, and run through modules that come and go, and of very many
// threads: no hang, no crash, and what is missing is said.
//
// CORODUMP_CHURN_ROUNDS sets the number of dumps (default 100; the long run takes 2,000).
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <corodump/agent.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support_dump.hpp"

namespace {

using nlohmann::json;
using steady = std::chrono::steady_clock;

int rounds() {
    const char* const given = std::getenv("CORODUMP_CHURN_ROUNDS");
    return given == nullptr ? 100 : std::atoi(given);
}

std::atomic<bool> stop{false};

void use_processor(std::chrono::microseconds time) {
    for (const auto end = steady::now() + time; steady::now() < end;) {
    }
}

void run_and_wait() {
    use_processor(std::chrono::microseconds(300));
    poll(nullptr, 0, 1);
}

void load_and_call() {
    while (!stop.load()) {
        void* const module = dlopen(CORODUMP_TEST_PROGRAMS_DIR "/plugin_calls.so", RTLD_NOW);
        ASSERT_NE(module, nullptr) << dlerror();
        reinterpret_cast<void (*)(void (*)())>(dlsym(module, "corodump_test_call"))(run_and_wait);
        dlclose(module);
    }
}

void come_and_go() {
    while (!stop.load()) std::thread(run_and_wait).join();
}

struct tally {
    int stacks = 0, complete = 0, ended = 0, unmapped = 0;
    std::map<std::string, int> reasons;

    void add(const json& thread) {
        const json& taken = thread["stack"];
        const std::string reason = taken.value("reason", "");
        if (reason == "it writes this dump") return;
        if (reason == "the thread has ended") {
            ++ended;
            return;
        }
        ++stacks;
        if (taken["quality"] != "partial")
            ++complete;
        else
            ++reasons[reason];
    }
};

TEST(ThreadChurn, NeitherHangsNorLosesManyStacks) {
    const corodump::agent agent;
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) threads.emplace_back(load_and_call);
    for (int i = 0; i < 3; ++i) threads.emplace_back(come_and_go);
    threads.emplace_back([] {
        while (!stop.load()) use_processor(std::chrono::milliseconds(1));
    });
    tally all;
    std::int64_t longest_us = 0;
    const auto self = static_cast<std::int64_t>(syscall(SYS_gettid));
    for (int i = 0; i < rounds(); ++i) {
        const json dump = support::dump_as_json(support::schema::not_checked);
        longest_us = std::max(longest_us, dump["dump"]["duration_us"].get<std::int64_t>());
        for (const json& thread : dump["threads"])
            if (thread["tid"] != self) all.add(thread);
    }
    stop = true;
    for (std::thread& one : threads) one.join();
    printf(
        "churn: %d rounds, %d stacks, %d complete (%.2f %%), %d threads had ended, longest %.1f "
        "ms\n",
        rounds(), all.stacks, all.complete, 100.0 * all.complete / std::max(all.stacks, 1),
        all.ended, static_cast<double>(longest_us) / 1000.0);
    for (const auto& [reason, count] : all.reasons) printf("  %5d  %s\n", count, reason.c_str());
    EXPECT_GT(all.stacks, rounds() * 6);
    EXPECT_GT(all.complete * 10, all.stacks * 9) << "more than one in ten is cut short";
}

/// What a round of a signal to each thread with an empty handler takes: the measure of the rest.
std::atomic<int> rung{0};
double empty_round_ms(const std::vector<pid_t>& tids) {
    struct sigaction action = {};
    action.sa_handler = [](int) { ++rung; };
    action.sa_flags = SA_RESTART;
    sigaction(SIGRTMIN + 5, &action, nullptr);
    rung = 0;
    const auto began = steady::now();
    for (const pid_t tid : tids) syscall(SYS_tgkill, getpid(), tid, SIGRTMIN + 5);
    while (rung.load() < static_cast<int>(tids.size())) std::this_thread::yield();
    return std::chrono::duration<double, std::milli>(steady::now() - began).count();
}

TEST(ManyThreads, AllHaveStacks) {
    constexpr int count = 512;
    const corodump::agent agent;
    sem_t release;
    sem_init(&release, 0, 0);
    std::vector<std::thread> threads;
    std::vector<pid_t> tids(count);
    std::atomic<int> ready{0};
    for (int i = 0; i < count; ++i)
        threads.emplace_back([&, i] {
            tids[static_cast<std::size_t>(i)] = static_cast<pid_t>(syscall(SYS_gettid));
            ++ready;
            while (sem_wait(&release) != 0) {
            }
        });
    while (ready.load() < count) std::this_thread::yield();
    const double signals_ms = empty_round_ms(tids);
    static_cast<void>(
        support::dump_as_json(support::schema::not_checked));  // symbol tables come from the disk
    const json dump = support::dump_as_json(support::schema::not_checked);
    tally all;
    for (const json& thread : dump["threads"]) all.add(thread);
    const double took_ms =
        static_cast<double>(dump["dump"]["duration_us"].get<std::int64_t>()) / 1000;
    printf(
        "%d threads: %d of %d stacks complete, snapshot %.1f ms, empty signal round %.1f ms, "
        "ratio %.1f\n",
        count, all.complete, all.stacks, took_ms, signals_ms, took_ms / signals_ms);
    for (int i = 0; i < count; ++i) sem_post(&release);
    for (std::thread& one : threads) one.join();
    EXPECT_GE(all.complete, count);
}

}  // namespace
