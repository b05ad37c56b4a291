#include "agent/base/time_stamp.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>

#include "agent/base/clock.hpp"

namespace corodump::base {
namespace {

struct reading {
    std::uint64_t stamp;
    std::int64_t monotonic_ns;
};

/// Both clocks at one moment: the closest of a few tries, since a thread may be interrupted between
/// the readings.
reading read_both() noexcept {
    reading best{};
    std::uint64_t closest = ~std::uint64_t{0};
    for (unsigned i = 0; i < 5; ++i) {
        const std::uint64_t before = time_stamp();
        const std::int64_t ns = monotonic_ns();
        const std::uint64_t apart = time_stamp() - before;
        if (apart >= closest) continue;
        closest = apart;
        best = {before + apart / 2, ns};
    }
    return best;
}

}  // namespace

bool has_steady_counter() noexcept {
#if defined(__x86_64__)
    constexpr unsigned power_leaf = 0x80000007U;
    constexpr unsigned invariant_tsc = 1U << 8U;
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(power_leaf, &a, &b, &c, &d) != 0 && (d & invariant_tsc) != 0;
#elif defined(__aarch64__)
    return true;  // the architecture says so of the generic timer
#else
    return false;
#endif
}

stamp_scale stamp_scale::begin(bool counter) noexcept {
    stamp_scale made;
    made.counter_ = counter;
    if (!counter) return made;
    const reading now = read_both();
    made.stamp_ = now.stamp;
    made.monotonic_ns_ = now.monotonic_ns;
    return made;
}

std::uint64_t stamp_scale::now() const noexcept {
    return counter_ ? time_stamp() : static_cast<std::uint64_t>(monotonic_ns());
}

double stamp_scale::ns_per_step() const noexcept {
    if (!counter_) return 1;
    const reading now = read_both();
    const auto steps = static_cast<double>(std::max<std::uint64_t>(now.stamp - stamp_, 1));
    return static_cast<double>(now.monotonic_ns - monotonic_ns_) / steps;
}

}  // namespace corodump::base
