// Runs one shape a given number of times and ends: run.py counts its instructions by callgrind at
// two numbers, whose difference is what one time takes. Counts do not change with the machine's
// load.
//
//   hot_path_counts WHAT/VARIANT TIMES
#include <corodump/loop_monitor.hpp>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "shapes/shapes.hpp"

int shapes_seed = 1;
std::size_t shapes_frame_bytes = 0;

extern "C" {
long tracked_asio_sessions(long count);
long untracked_asio_sessions(long count);
}

namespace {

struct shape {
    std::string_view name;
    long (*run)(long);
};

template <auto Make, auto Run, auto Destroy>
long resume(long times) {
    void* const frame = Make();
    Run(frame, times);
    Destroy(frame);
    return times;
}

/// Not to be seen through, as a loop's callbacks are not.
void (*volatile callback)() = [] {};

long bare_callbacks(long times) {
    for (long i = 0; i < times; ++i) callback();
    return times;
}

long monitored_callbacks(long times) {
    const corodump::loop_monitor monitor("counted");
    for (long i = 0; i < times; ++i) {
        const corodump::loop_monitor::callback running(monitor);
        callback();
    }
    return times;
}

constexpr shape shapes[] = {
    {"callback/bare", bare_callbacks},
    {"callback/monitored", monitored_callbacks},
    {"create/bare", bare_create},
    {"create/mixin", mixin_create},
    {"create/automatic", automatic_create},
    {"create/outside", outside_create},
    {"create/bare_plain", bare_create_plain},
    {"create/mixin_plain", mixin_create_plain},
    {"create/automatic_plain", automatic_create_plain},
    {"create/mixin_named", mixin_create_named},
    {"create/mixin_watched", mixin_create_watched},
    {"resume/bare", resume<bare_waiter, bare_resume, bare_destroy>},
    {"resume/current", resume<current_waiter, current_resume, current_destroy>},
    {"resume/mixin", resume<mixin_waiter, mixin_resume, mixin_destroy>},
    {"resume/automatic", resume<automatic_waiter, automatic_resume, automatic_destroy>},
#ifdef BENCH_WITH_ASIO
    {"sessions/tracked", tracked_asio_sessions},
    {"sessions/untracked", untracked_asio_sessions},
#endif
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    for (const shape& each : shapes)
        if (each.name == argv[1]) return each.run(std::strtol(argv[2], nullptr, 10)) < 0;
    return 2;
}
