// What the tracing of creations costs, in one run and as ratios:
//
//   - a stack of 20 frames: glibc's backtrace() over all that one birth takes in the mode `all`
//     (noting it, the walk, the depot's look-up)
//   - create, co_await, run, destroy: each mode over none
//
// Rounds take turns, so that all see the same machine; medians. Each line of the output: a name, ns.
#include <execinfo.h>
#include <algorithm>
#include <corodump/agent.hpp>
#include <corodump/detail/abi.hpp>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "rounds.hpp"
#include "shapes/shapes.hpp"

int shapes_seed = 1;
std::size_t shapes_frame_bytes = 0;

namespace {

using rounds::median;
using rounds::ns_each;
using rounds::tell;
constexpr int depth = 20;

/// The agent as it would be with these options. Only one at a time.
corodump::options with(bool creators, corodump::creation_stacks stacks) {
    corodump::options chosen;
    chosen.creators = creators;
    chosen.creation_stacks = stacks;
    chosen.creation_depth = depth;
    return chosen;
}

void* frame_of_pool;

void births(long times) {
    for (long i = 0; i < times; ++i) corodump_born_v1(frame_of_pool);
}
void backtraces(long times) {
    void* addresses[depth];
    for (long i = 0; i < times; ++i) {
        const int found = backtrace(addresses, depth);
        asm volatile("" : : "r"(found), "r"(addresses) : "memory");
    }
}

/// Below `levels` calls.
[[gnu::noinline]] double at_depth(int levels, long times, void (*run)(long)) {
    if (levels == 0) return ns_each(times, run);
    const double taken = at_depth(levels - 1, times, run);
    asm volatile("" : : : "memory");  // no tail call
    return taken;
}

void compare_stacks() {
    std::vector<double> ours, creators, glibc;
    for (int i = 0; i < rounds::count; ++i) {
        {
            const corodump::agent agent(with(true, corodump::creation_stacks::all));
            frame_of_pool = corodump_allocate_v1(128);
            ours.push_back(at_depth(depth + 4, 20'000, births));
            corodump_release_v1(frame_of_pool, 128);
        }
        {
            const corodump::agent agent(with(true, corodump::creation_stacks::off));
            frame_of_pool = corodump_allocate_v1(128);
            creators.push_back(at_depth(depth + 4, 20'000, births));
            corodump_release_v1(frame_of_pool, 128);
        }
        glibc.push_back(at_depth(depth + 4, 500, backtraces));
    }
    tell("birth/plain", median(creators));
    tell("birth/stack", median(ours));
    tell("birth/backtrace", median(glibc));
}

void compare_creation(const char* name, long (*create)(long)) {
    using corodump::creation_stacks;
    const corodump::options modes[] = {
        with(false, creation_stacks::off), with(true, creation_stacks::off),
        with(true, creation_stacks::sampled), with(true, creation_stacks::all)};
    std::vector<double> times[4];
    for (int i = 0; i < rounds::count; ++i)
        for (int mode = 0; mode < 4; ++mode) {
            const corodump::agent agent(modes[mode]);
            times[mode].push_back(ns_each(20'000, [&](long count) { create(count); }));
        }
    const char* const names[] = {"off", "creators", "sampled", "all"};
    for (int mode = 0; mode < 4; ++mode)
        tell(std::string("births/") + name + "/" + names[mode], median(times[mode]));
}

}  // namespace

int main() {
    compare_stacks();
    compare_creation("mixin", mixin_create);
    compare_creation("automatic", automatic_create);
    return 0;
}
