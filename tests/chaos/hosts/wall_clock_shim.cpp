// Preloaded into a host: its wall clock jumps when chaos_shift_wall_clock is called. The machine's
// own clock must not be touched by a test.
#include <dlfcn.h>
#include <time.h>

#include <atomic>

namespace {
std::atomic<long> shift_seconds{0};
}

extern "C" __attribute__((visibility("default"))) void chaos_shift_wall_clock(long seconds) {
    shift_seconds = seconds;
}

extern "C" __attribute__((visibility("default"))) int clock_gettime(clockid_t clock, timespec* to) {
    static const auto forward =
        reinterpret_cast<int (*)(clockid_t, timespec*)>(dlsym(RTLD_NEXT, "clock_gettime"));
    const int result = forward(clock, to);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        to->tv_sec += shift_seconds;
    return result;
}
