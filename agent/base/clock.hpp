// Reading the clocks, and writing a moment in UTC.
//
// gmtime takes the time zone lock and may read files, so the calendar is computed here. All clocks
// go through the vDSO: no system call on the usual machines.
//
// Threads: any. Signals: safe. Blocks: never. Errors: truncation flag of the text. Bounds: 27
// bytes.
#pragma once

#include <time.h>

#include <cstdint>

#include "agent/base/text.hpp"

namespace corodump::base {

[[nodiscard]] inline std::int64_t clock_ns(clockid_t clock) noexcept {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}
[[nodiscard]] inline std::int64_t monotonic_ns() noexcept {
    return clock_ns(CLOCK_MONOTONIC);
}
[[nodiscard]] inline std::int64_t realtime_ns() noexcept {
    return clock_ns(CLOCK_REALTIME);
}
/// Counts on while the machine sleeps: the clock of process start times in /proc.
[[nodiscard]] inline std::int64_t boottime_ns() noexcept {
    return clock_ns(CLOCK_BOOTTIME);
}

struct civil_time {
    std::int64_t year;
    unsigned month, day, hour, minute, second, microsecond;
};

/// The proleptic Gregorian calendar in UTC (ISO 8601; no leap seconds, as POSIX counts time).
///
/// A year is a leap year when divisible by 4, but by 100 only when also by 400, so 400 years (an
/// era) have 146,097 days. Counting years from 1 March puts the leap day last, and makes the month
/// lengths one repeating pattern: 153 days in each 5 months.
[[nodiscard]] constexpr civil_time to_civil(std::int64_t unix_ns) noexcept {
    const auto floor_divide = [](std::int64_t a, std::int64_t b) {
        return a / b - (a % b < 0 ? 1 : 0);
    };
    constexpr std::int64_t ns_per_day = 86'400'000'000'000;
    constexpr std::int64_t era_days = 146'097;
    constexpr std::int64_t days_to_1970 = 719'468;  // from 0000-03-01
    const std::int64_t days = floor_divide(unix_ns, ns_per_day);
    const std::int64_t in_day_us = (unix_ns - days * ns_per_day) / 1000;
    const std::int64_t era = floor_divide(days + days_to_1970, era_days);
    const std::int64_t of_era = days + days_to_1970 - era * era_days;
    // Take out the leap days that passed (each 4 years, not each 100, but each 400); the rest is
    // years of 365.
    const std::int64_t year_of_era =
        (of_era - of_era / 1'460 + of_era / 36'524 - of_era / 146'096) / 365;
    const std::int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const std::int64_t march_month = (5 * of_year + 2) / 153;
    const std::int64_t day = of_year - (153 * march_month + 2) / 5 + 1;
    const std::int64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
    const std::int64_t seconds = in_day_us / 1'000'000;
    return {era * 400 + year_of_era + (month <= 2 ? 1 : 0),
            static_cast<unsigned>(month),
            static_cast<unsigned>(day),
            static_cast<unsigned>(seconds / 3600),
            static_cast<unsigned>(seconds / 60 % 60),
            static_cast<unsigned>(seconds % 60),
            static_cast<unsigned>(in_day_us % 1'000'000)};
}

/// RFC 3339 with microseconds: 2026-11-22T10:59:12.000042Z
inline text& append_rfc3339(text& out, std::int64_t unix_ns) noexcept {
    const civil_time t = to_civil(unix_ns);
    out.decimal(static_cast<std::uint64_t>(t.year), 4).append('-').decimal(t.month, 2);
    out.append('-').decimal(t.day, 2).append('T').decimal(t.hour, 2).append(':');
    out.decimal(t.minute, 2).append(':').decimal(t.second, 2).append('.');
    return out.decimal(t.microsecond, 6).append('Z');
}

/// As in file names: 20261122T105912Z
inline text& append_compact_utc(text& out, std::int64_t unix_ns) noexcept {
    const civil_time t = to_civil(unix_ns);
    out.decimal(static_cast<std::uint64_t>(t.year), 4).decimal(t.month, 2).decimal(t.day, 2);
    out.append('T').decimal(t.hour, 2).decimal(t.minute, 2).decimal(t.second, 2);
    return out.append('Z');
}

}  // namespace corodump::base
