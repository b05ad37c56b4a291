// Boost.Asio's own coroutines, tracked and untracked, with an agent installed: see
// asio_workload.cpp.
#include <benchmark/benchmark.h>

#include <corodump/agent.hpp>

extern "C" {
long tracked_asio_sessions(long count);
long untracked_asio_sessions(long count);
}

namespace {

constexpr long batch = 1000;

void sessions(benchmark::State& state, long (*run)(long)) {
    while (state.KeepRunningBatch(batch)) benchmark::DoNotOptimize(run(batch));
}
BENCHMARK_CAPTURE(sessions, untracked, untracked_asio_sessions);
BENCHMARK_CAPTURE(sessions, tracked, tracked_asio_sessions);

}  // namespace

int main(int argc, char** argv) {
    const corodump::agent agent;
    if (agent.error()) return 1;
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
