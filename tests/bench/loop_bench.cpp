// What a monitored loop pays for each callback, beyond the callback itself; and what a tick of the
// watchdog costs that looks at a thousand threads.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <atomic>
#include <corodump/agent.hpp>
#include <corodump/detail/tracking.hpp>
#include <corodump/loop_monitor.hpp>
#include <thread>
#include <vector>

#include "agent/base/clock.hpp"
#include "agent/sources/stall_watch.hpp"

namespace {

/// A call that the compiler cannot see through, as an event loop's.
void (*volatile callback)() = [] {};

void bare(benchmark::State& state) {
    for (auto _ : state) callback();
}

void monitored(benchmark::State& state, bool precise) {
    const corodump::loop_monitor monitor("bench", {.precise = precise});
    for (auto _ : state) {
        const corodump::loop_monitor::callback running(monitor);
        callback();
    }
}

void two_calls(benchmark::State& state) {
    const corodump::loop_monitor monitor("bench");
    for (auto _ : state) {
        monitor.callback_begin();
        callback();
        monitor.callback_end();
    }
}

/// `threads` in a callback of a loop and inside of a coroutine, as the watchdog sees them.
void look(benchmark::State& state) {
    const corodump::loop_monitor monitor("many");
    std::atomic<std::int64_t> ready{0};
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (std::int64_t i = 0; i < state.range(0); ++i)
        threads.emplace_back([&] {
            void* const frame = corodump_allocate_v1(64);
            auto* const record = static_cast<corodump::detail::record*>(frame) - 1;
            record->generation.store(record->generation.load() + 1);
            corodump_enter_v1(record);
            const corodump::loop_monitor::callback running(monitor);
            ready.fetch_add(1);
            stop.wait(false);
            corodump_leave_v1(record);
            record->generation.store(record->generation.load() + 1);
            corodump_release_v1(frame, 64);
        });
    while (ready.load() < state.range(0)) usleep(1000);
    corodump::sources::stall_watch watch;
    watch.begin(std::int64_t{3600} * 1'000'000'000);
    corodump::sources::stall_sign fresh[4];
    for (auto _ : state)
        benchmark::DoNotOptimize(watch.look(corodump::base::monotonic_ns(), fresh));
    stop = true;
    stop.notify_all();
    for (std::thread& one : threads) one.join();
}

BENCHMARK(bare)->Name("callback/bare");
BENCHMARK_CAPTURE(monitored, tick, false)->Name("callback/guard");
BENCHMARK(two_calls)->Name("callback/two_calls");
BENCHMARK_CAPTURE(monitored, precise, true)->Name("callback/precise");
BENCHMARK(look)->Name("look/threads")->Arg(1)->Arg(100)->Arg(1000);

}  // namespace

BENCHMARK_MAIN();
