// For the benchmarks whose variants need an agent, or a profile, of their own: rounds in which they
// take turns, so that all see the same machine, and medians of these.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace rounds {

inline constexpr int count = 41;

/// The processor time of this thread.
inline std::int64_t cpu_ns() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

/// Of `count` values.
inline double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + count / 2, values.end());
    return values[count / 2];
}

template <class Run>
double ns_each(long times, Run run) {
    const std::int64_t began = cpu_ns();
    run(times);
    return static_cast<double>(cpu_ns() - began) / static_cast<double>(times);
}

/// A line for run.py.
inline void tell(const std::string& name, double ns) {
    std::printf("%s %.2f\n", name.c_str(), ns);
}

}  // namespace rounds
