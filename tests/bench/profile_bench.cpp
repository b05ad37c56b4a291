// What the profiler adds, in one run: to a resume (resume, co_await, suspend of one coroutine) and to
// a coroutine's life (create, co_await, run, destroy), for each clock over no profile.
//
// Rounds take turns, so that all see the same machine; medians. Each line of the output: a name, ns.
#include <algorithm>
#include <corodump/agent.hpp>
#include <corodump/profile.hpp>
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
constexpr int modes = 4;
constexpr const char* mode_names[modes] = {"off", "counts", "wall", "cpu"};

/// Mode 0 is no profile; the others are the clocks, in their order.
template <class Run>
void compare(const std::string& name, long times, Run run) {
    std::vector<double> took[modes];
    for (int i = 0; i < rounds::count; ++i)
        for (int mode = 0; mode < modes; ++mode) {
            if (mode != 0) corodump_profile_start_v1(static_cast<std::uint32_t>(mode - 1));
            run(times / 8);  // its frames have been met then
            took[mode].push_back(rounds::ns_each(times, run));
            if (mode != 0) corodump_profile_stop_v1();
        }
    for (int mode = 0; mode < modes; ++mode)
        rounds::tell("profile/" + name + "/" + mode_names[mode], median(took[mode]));
}

template <class Waiter, class Resume, class Destroy>
void compare_resumes(const std::string& name, Waiter waiter, Resume resume, Destroy destroy) {
    void* const frame = waiter();
    compare(name, 100'000, [&](long times) { resume(frame, times); });
    destroy(frame);
}

}  // namespace

int main() {
    const corodump::agent agent;
    compare_resumes("mixin/resume", mixin_waiter, mixin_resume, mixin_destroy);
    compare_resumes("automatic/resume", automatic_waiter, automatic_resume, automatic_destroy);
    compare_resumes("outside/resume", outside_waiter, outside_resume, outside_destroy);
    compare("mixin/create", 20'000, [](long times) { mixin_create(times); });
    compare("automatic/create", 20'000, [](long times) { automatic_create(times); });
    return 0;
}
