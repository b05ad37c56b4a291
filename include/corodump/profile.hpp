// The profiler: where a service's coroutines spend their time, by function and by await chain.
//
//   corodump::profile::start();            // wall clock; or {.clock = corodump::profile::clock::cpu}
//   ...                                    // the load of interest
//   corodump::profile::stop();
//   const auto dump = corodump::dump_now();   // its section `profile`; then on a shell:
//                                             //   corodump profile DUMP --format folded
//
// It may be started and stopped at any time, as often as one likes; the agent's environment variable
// CORODUMP_PROFILE starts it with the service. While it is off, coroutines run as if there were
// none. docs/profiling.md says what is counted, and what that costs.
//
// Threads: any. Signals: unsafe. Blocks: never, but for another thread in one of these calls.
// Errors: as each says; nothing is changed then.
#pragma once

#include <cstdint>
#include <system_error>

#include "detail/abi.hpp"

extern "C" {
/// `clock`: 0 off, 1 wall, 2 cpu. 0 or an errno: EALREADY, EINVAL.
CORODUMP_API int corodump_profile_start_v1(std::uint32_t clock) noexcept;
/// 0 or ESRCH: it does not run.
CORODUMP_API int corodump_profile_stop_v1() noexcept;
CORODUMP_API int corodump_profile_reset_v1() noexcept;
/// 0, or 1 + the clock of the profile that runs.
CORODUMP_API std::uint32_t corodump_profile_running_v1() noexcept;
}

namespace corodump {
inline namespace abi_v1 {
namespace profile {

enum class clock : std::uint32_t {
    off,   ///< calls, resumes and what is live are counted; no time
    wall,  ///< and the time between entering and leaving, whatever the thread does meanwhile
    cpu    ///< and the processor time of the thread: a system call at each enter and leave
};

struct options {
    profile::clock clock = profile::clock::wall;
};

/// From here on all is counted, from zero. Errors: EALREADY, one runs.
inline std::error_code start(const options& chosen = {}) noexcept {
    return {corodump_profile_start_v1(static_cast<std::uint32_t>(chosen.clock)),
            std::generic_category()};
}
/// What was counted stays, for dumps, until the next start. Errors: ESRCH, none runs.
inline std::error_code stop() noexcept {
    return {corodump_profile_stop_v1(), std::generic_category()};
}
/// Counts from zero again. Errors: ESRCH, none runs.
inline std::error_code reset() noexcept {
    return {corodump_profile_reset_v1(), std::generic_category()};
}
[[nodiscard]] inline bool running() noexcept {
    return corodump_profile_running_v1() != 0;
}

}  // namespace profile

/// Profiles while it lives. Where a profile runs already it does nothing, and leaves it running.
class profiling {
public:
    explicit profiling(const profile::options& chosen = {}) noexcept
        : error_(profile::start(chosen)) {}
    profiling(const profiling&) = delete;
    profiling& operator=(const profiling&) = delete;
    ~profiling() {
        if (!error_) corodump_profile_stop_v1();
    }
    [[nodiscard]] std::error_code error() const noexcept { return error_; }

private:
    std::error_code error_;
};

}  // namespace abi_v1
}  // namespace corodump
