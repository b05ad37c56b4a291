// What it costs to track a resource: to open and close one, by label, on one thread and on two at
// once, alone and beside a hundred thousand that are open; what each of those takes; and how long a
// look at all of them lasts.
#include <benchmark/benchmark.h>

#include <corodump/agent.hpp>
#include <corodump/resources.hpp>
#include <cstddef>
#include <cstdio>
#include <string_view>
#include <vector>

#include "agent/sources/resources.hpp"

namespace {

struct connection {
    int number = 0;
};
using token = corodump::resource_tracker<connection>::token;
constexpr std::int64_t crowd = 100'000;

constexpr std::string_view none,
    label_of_20 = "192.168.100.200:4433",
    label_of_60 = "192.168.100.200:4433 in region eu-west-1 of tenant acme-corp";

void open_and_close(benchmark::State& state, std::string_view label) {
    static const corodump::resource_tracker<connection> tracker("alone");
    const connection object;
    for (auto _ : state) {
        token one = tracker.open(object, label);
        benchmark::DoNotOptimize(one);
    }
}

/// Of a kind of which a hundred thousand are open: threads then seldom meet at its counts.
void in_a_crowd(benchmark::State& state) {
    static const corodump::resource_tracker<connection> tracker("crowd");
    static std::vector<token> others;
    const connection object;
    if (state.thread_index() == 0) {
        others.reserve(crowd);
        for (std::int64_t i = 0; i < crowd; ++i) others.push_back(tracker.open(object));
    }
    for (auto _ : state) {
        token one = tracker.open(object);
        benchmark::DoNotOptimize(one);
    }
    if (state.thread_index() == 0) others.clear();
}

/// Exact, as statm is not.
std::int64_t resident_bytes() {
    long kib = 0;
    char line[256];
    std::FILE* const file = std::fopen("/proc/self/smaps_rollup", "r");
    if (file == nullptr) return 0;
    while (std::fgets(line, sizeof line, file) != nullptr)
        if (std::sscanf(line, "Rss: %ld", &kib) == 1) break;
    std::fclose(file);
    return std::int64_t{kib} * 1024;
}

/// Of the first crowd of the process: later ones use the same memory again.
double bytes_of_each = 0;

void measure_bytes() {
    const corodump::resource_tracker<connection> tracker("memory");
    // What is executed, and the lists of this thread, are resident before it is measured.
    static_cast<void>(tracker.open(label_of_20));
    static_cast<void>(resident_bytes());
    std::vector<token> open(crowd);
    const std::int64_t before = resident_bytes();
    for (token& one : open) one = tracker.open(label_of_20);
    bytes_of_each = static_cast<double>(resident_bytes() - before) / static_cast<double>(crowd);
}

void open_a_crowd(benchmark::State& state) {
    static const corodump::resource_tracker<connection> tracker("memory");
    std::vector<token> open(crowd);
    for (auto _ : state)
        for (token& one : open) one = tracker.open(label_of_20);
    state.counters["bytes_per_resource"] = bytes_of_each;
}

/// As a dump does: all that is looked at of each.
void look_at_a_crowd(benchmark::State& state) {
    static const corodump::resource_tracker<connection> tracker("looked at");
    std::vector<token> open;
    for (std::int64_t i = 0; i < crowd; ++i) open.push_back(tracker.open(label_of_20));
    for (auto _ : state) {
        std::uint64_t found = 0;
        for (std::size_t slab = 0; slab < corodump::sources::resource_slabs(); ++slab) {
            const auto* const entries = corodump::sources::resource_slab(slab);
            for (std::size_t i = 0; entries != nullptr && i < corodump::sources::slab_entries;
                 ++i) {
                corodump::sources::resource_glance seen;
                found += corodump::sources::glance_at(entries[i], seen) ? 1 : 0;
            }
        }
        benchmark::DoNotOptimize(found);
    }
}

BENCHMARK(open_a_crowd)->Name("resource/open_100000")->Iterations(1)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(open_and_close, none, none)->Name("resource/no_label");
BENCHMARK_CAPTURE(open_and_close, short, label_of_20)->Name("resource/label_20");
BENCHMARK_CAPTURE(open_and_close, long, label_of_60)->Name("resource/label_60");
BENCHMARK_CAPTURE(open_and_close, two, none)->Name("resource/two")->Threads(2);
BENCHMARK(in_a_crowd)->Name("resource/crowd");
BENCHMARK(in_a_crowd)->Name("resource/crowd_two")->Threads(2);
BENCHMARK(look_at_a_crowd)->Name("resource/look")->Unit(benchmark::kMicrosecond);

}  // namespace

int main(int argc, char** argv) {
    const corodump::agent agent;
    measure_bytes();
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
}
