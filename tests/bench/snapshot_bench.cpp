// Copying the records of a million live frames, against a plain copy of the same bytes; what a
// coroutine on another thread feels of it; and the memory that a snapshot takes.
//
// Linked with the agent's rooms, not with its library, to reach copy_records. An agent is
// installed.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <corodump/agent.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "agent/runtime/code_symbols.hpp"
#include "agent/snapshot/snapshot_builder.hpp"
#include "agent/sources/pool.hpp"
#include "agent/sources/registry.hpp"
#include "shapes/shapes.hpp"

int shapes_seed = 1;
std::size_t shapes_frame_bytes = 0;

namespace {

using namespace corodump;
using detail::slab_header;

constexpr std::size_t chain_frames = 3;
constexpr std::size_t all_frames = 1'000'000;
constexpr std::size_t arena_bytes = std::size_t{1} << 30U;

/// Live frames: three-frame chains, each waiting in its innermost frame.
class population {
public:
    explicit population(std::size_t frames) {
        for (std::size_t i = 0; i < frames / chain_frames; ++i) roots_.push_back(mixin_chain());
        while (roots_.size() * chain_frames + singles_.size() < frames)
            singles_.push_back(mixin_waiter());
    }
    population(const population&) = delete;
    population& operator=(const population&) = delete;
    ~population() {
        for (void* const frame : roots_) mixin_destroy(frame);
        for (void* const frame : singles_) mixin_destroy(frame);
    }

private:
    std::vector<void*> roots_, singles_;
};

base::arena reserved_arena() {
    base::arena memory;
    if (!memory.reserve(arena_bytes)) std::abort();
    return memory;
}

void require_all(std::size_t copied) {
    if (copied == all_frames) return;
    std::fprintf(stderr, "snapshot_bench: %zu records instead of %zu\n", copied, all_frames);
    std::exit(1);
}

/// `fresh`: each copy goes to pages that the kernel has yet to give, as in a dump.
void copy_by_agent(benchmark::State& state, bool fresh) {
    base::arena memory = reserved_arena();
    const auto start = memory.mark();
    for (auto _ : state) {
        const auto copied = sources::copy_records(memory, 2 * all_frames);
        require_all(copied.frames.size());
        state.PauseTiming();
        fresh ? memory.release() : memory.rewind(start);
        state.ResumeTiming();
    }
}

/// The record's 48 bytes of each object in the slabs of frames, in the order of copy_records, to an
/// array of `To`.
template <class To>
std::size_t copy_plainly(std::span<To> to) {
    std::size_t used = 0;
    for (std::size_t c = 0; c < sources::chunk_count(); ++c) {
        for (std::size_t s = 0; s < sources::slabs_in_chunk; ++s) {
            const char* const base =
                reinterpret_cast<const char*>(sources::chunk_at(c)) + s * detail::slab_bytes;
            const auto* const slab = reinterpret_cast<const slab_header*>(base);
            if (slab->magic != detail::slab_magic) break;
            if (slab->kind != detail::slab_kind::frames) continue;
            const char* from = base + detail::slab_header_bytes;
            const std::size_t count = std::min<std::size_t>(
                slab->carved.load(std::memory_order_relaxed), to.size() - used);
            for (std::size_t i = 0; i < count; ++i, from += slab->object_bytes)
                std::memcpy(static_cast<void*>(&to[used++]), from, sizeof(detail::record));
        }
    }
    return used;
}

template <class To>
void copy_plain(benchmark::State& state, bool fresh) {
    base::arena memory = reserved_arena();
    const auto start = memory.mark();
    // As many as copy_records makes room for.
    const std::size_t room = all_frames + all_frames / 16 + 1024;
    for (auto _ : state) {
        const auto to = memory.allocate_uninitialized<To>(room);
        benchmark::DoNotOptimize(copy_plainly(to));
        benchmark::ClobberMemory();
        state.PauseTiming();
        fresh ? memory.release() : memory.rewind(start);
        state.ResumeTiming();
    }
}

struct packed_record {
    std::byte bytes[sizeof(detail::record)];
};

long resident_bytes() {
    long total = 0, resident = 0;
    if (std::FILE* const file = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(file, "%ld %ld", &total, &resident) != 2) resident = 0;
        std::fclose(file);
    }
    return resident * sysconf(_SC_PAGESIZE);
}

/// Chains, summary and groups as well. The peak counts what the arena handed out, touched or not.
void build(benchmark::State& state) {
    base::arena memory = reserved_arena();
    runtime::code_symbols code;
    snapshot::snapshot_builder builder(memory, code);
    for (auto _ : state) {
        code.begin(memory);
        const long before = resident_bytes();
        require_all(builder.build({}).frames.size());
        state.counters["resident_bytes_per_frame"] =
            static_cast<double>(resident_bytes() - before) / static_cast<double>(all_frames);
        state.counters["peak_bytes_per_frame"] =
            static_cast<double>(memory.peak()) / static_cast<double>(all_frames);
        state.PauseTiming();
        memory.release();
        state.ResumeTiming();
    }
}

/// A thread that goes round `work` until it is destroyed.
template <class Work>
class neighbour {
public:
    explicit neighbour(Work& work)
        : thread_([this, &work] {
              while (!ended_.load(std::memory_order_relaxed)) work();
          }) {}
    neighbour(const neighbour&) = delete;
    neighbour& operator=(const neighbour&) = delete;
    ~neighbour() {
        ended_.store(true, std::memory_order_relaxed);
        thread_.join();
    }

private:
    std::atomic<bool> ended_{false};
    std::thread thread_;
};

/// The median of short batches: a batch that another process interrupted does not count.
double median_create_seconds() {
    constexpr long batch = 64;
    constexpr std::size_t samples = 20'000;
    using clock = std::chrono::steady_clock;
    static std::vector<clock::duration> times(samples);
    for (clock::duration& time : times) {
        const auto begin = clock::now();
        benchmark::DoNotOptimize(mixin_create(batch));
        time = clock::now() - begin;
    }
    std::nth_element(times.begin(), times.begin() + samples / 2, times.end());
    return std::chrono::duration<double>(times[samples / 2]).count() / static_cast<double>(batch);
}

void mutate_quietly(benchmark::State& state) {
    for (auto _ : state) state.SetIterationTime(median_create_seconds());
}

void mutate_during_snapshots(benchmark::State& state) {
    base::arena memory = reserved_arena();
    runtime::code_symbols code;
    snapshot::snapshot_builder builder(memory, code);
    auto snapshot = [&] {
        memory.release();
        code.begin(memory);
        builder.build({});
    };
    const neighbour other(snapshot);
    for (auto _ : state) state.SetIterationTime(median_create_seconds());
}

/// What a busy second core costs without any snapshot: the part of the above that is the machine's.
void mutate_beside_plain_copies(benchmark::State& state) {
    base::arena memory = reserved_arena();
    auto copy = [&] {
        memory.release();
        copy_plainly(memory.allocate_uninitialized<model::frame>(all_frames));
    };
    const neighbour other(copy);
    for (auto _ : state) state.SetIterationTime(median_create_seconds());
}

BENCHMARK_CAPTURE(copy_by_agent, fresh, true)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(copy_by_agent, warm, false)->Unit(benchmark::kMillisecond);
constexpr auto copy_alike = copy_plain<model::frame>;
constexpr auto copy_packed = copy_plain<packed_record>;
BENCHMARK_CAPTURE(copy_alike, fresh, true)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(copy_alike, warm, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(copy_packed, fresh, true)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(copy_packed, warm, false)->Unit(benchmark::kMillisecond);
BENCHMARK(build)->Unit(benchmark::kMillisecond)->Iterations(1);
BENCHMARK(mutate_quietly)->UseManualTime()->Iterations(1);
BENCHMARK(mutate_during_snapshots)->UseManualTime()->Iterations(1);
BENCHMARK(mutate_beside_plain_copies)->UseManualTime()->Iterations(1);

}  // namespace

int main(int argc, char** argv) {
    const corodump::agent agent;
    if (agent.error()) return 1;
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    const population frames(all_frames);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
