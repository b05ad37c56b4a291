// The cheapest clock of the machine: a counter of the processor's, in steps of unknown length that
// are measured against CLOCK_MONOTONIC.
//
// Where the counter may change its pace or stops in idle states (x86 without the invariant TSC of
// CPUID 80000007H) the stamps are nanoseconds of CLOCK_MONOTONIC.
//
//   stamp_scale began;  ... later:  began.ns(stamp - other_stamp)
//
// Threads: any. Signals: safe. Blocks: never. Errors: none.
#pragma once

#include <time.h>

#include <cstdint>

namespace corodump::base {

/// Counts while the thread runs and while it does not. For time between two looks, where a wrong
/// pace only makes an estimate worse; else see has_steady_counter.
[[nodiscard]] inline std::uint64_t time_stamp() noexcept {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    std::uint64_t now = 0;
    asm volatile("mrs %0, cntvct_el0" : "=r"(now));
    return now;
#else
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::uint64_t(now.tv_sec) * 1'000'000'000U + std::uint64_t(now.tv_nsec);
#endif
}

/// Whether time_stamp() is a clock: of one pace on all processors, and one that never stops.
[[nodiscard]] bool has_steady_counter() noexcept;

/// How long a stamp's step is, from two readings of both clocks: this one's, and the one at which
/// it is asked.
class stamp_scale {
public:
    /// Reads the clocks. `counter`: the stamps are time_stamp()'s, else they are nanoseconds.
    [[nodiscard]] static stamp_scale begin(bool counter) noexcept;

    /// A moment by the same clock.
    [[nodiscard]] std::uint64_t now() const noexcept;
    /// Nanoseconds of a step at `now`, at least some milliseconds after begin(); 1 where stamps are
    /// nanoseconds.
    [[nodiscard]] double ns_per_step() const noexcept;
    [[nodiscard]] bool counts() const noexcept { return counter_; }

private:
    bool counter_ = false;
    std::uint64_t stamp_ = 0;
    std::int64_t monotonic_ns_ = 0;
};

}  // namespace corodump::base
