// What each coroutine pays: the same coroutines (shapes/) bare and tracked, with an agent installed
// and its clock running. A benchmark's name is WHAT/VARIANT; run.py takes the ratios of the
// medians.
#include <benchmark/benchmark.h>

#include <corodump/agent.hpp>
#include <corodump/detail/abi.hpp>
#include <cstdint>
#include <vector>

#include "shapes/shapes.hpp"

int shapes_seed = 1;
std::size_t shapes_frame_bytes = 0;

namespace {

constexpr long batch = 1000;
constexpr std::size_t many_frames = 4096;

void create(benchmark::State& state, long (*run)(long)) {
    while (state.KeepRunningBatch(batch)) benchmark::DoNotOptimize(run(batch));
}

void resume(benchmark::State& state, void* (*make)(), void (*run)(void*, long),
            void (*destroy)(void*)) {
    void* const frame = make();
    while (state.KeepRunningBatch(batch)) run(frame, batch);
    destroy(frame);
}

void resume_many(benchmark::State& state, void* (*make)(), void (*run)(void* const*, std::size_t),
                 void (*destroy)(void*)) {
    std::vector<void*> frames(many_frames);
    for (void*& frame : frames) frame = make();
    while (state.KeepRunningBatch(many_frames)) run(frames.data(), frames.size());
    for (void* const frame : frames) destroy(frame);
}

std::size_t pooled_bytes(const void* frame) {
    using namespace corodump::detail;
    const auto slab = reinterpret_cast<std::uintptr_t>(frame) & ~(slab_bytes - 1);
    return reinterpret_cast<const slab_header*>(slab)->object_bytes;
}

/// No time: bytes of a frame as the pool rounds them, over the bare frame rounded alike.
void memory(benchmark::State& state, void* (*make)(), void (*destroy)(void*), void* (*bare)()) {
    sized_destroy(bare());
    void* const frame = make();
    for (auto _ : state) benchmark::DoNotOptimize(pooled_bytes(frame));
    state.counters["bare_bytes"] = static_cast<double>((shapes_frame_bytes + 15) / 16 * 16);
    state.counters["tracked_bytes"] = static_cast<double>(pooled_bytes(frame));
    destroy(frame);
}

#define BENCH_CREATE(variant)                             \
    BENCHMARK_CAPTURE(create, variant, variant##_create); \
    BENCHMARK_CAPTURE(create, variant##_plain, variant##_create_plain)
#define BENCH_RESUME(variant)                                                                  \
    BENCHMARK_CAPTURE(resume, variant, variant##_waiter, variant##_resume, variant##_destroy); \
    BENCHMARK_CAPTURE(resume_many, variant, variant##_waiter, variant##_resume_all,            \
                      variant##_destroy)
BENCH_CREATE(bare);
BENCH_CREATE(mixin);
BENCH_CREATE(automatic);
BENCH_CREATE(outside);
BENCHMARK_CAPTURE(create, mixin_named, mixin_create_named);
BENCHMARK_CAPTURE(create, mixin_watched, mixin_create_watched);
BENCH_RESUME(bare);
BENCH_RESUME(current);
BENCH_RESUME(mixin);
BENCH_RESUME(automatic);

void* mixin_int() {
    return mixin_waiter_of(1);
}
void* automatic_int() {
    return automatic_waiter_of(1);
}
void* sized_int() {
    return sized_waiter_of(1);
}
#define BENCH_MEMORY(name, variant, make, bare) \
    BENCHMARK_CAPTURE(memory, name, make, variant##_destroy, bare)->Iterations(1)
BENCH_MEMORY(mixin, mixin, mixin_waiter, sized_waiter);
BENCH_MEMORY(mixin_int, mixin, mixin_int, sized_int);
BENCH_MEMORY(automatic, automatic, automatic_waiter, sized_waiter);
BENCH_MEMORY(automatic_int, automatic, automatic_int, sized_int);

}  // namespace

int main(int argc, char** argv) {
    const corodump::agent agent;
    if (agent.error()) return 1;
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
