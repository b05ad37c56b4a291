// The sets of functions that unwind_victims.cpp is compiled into, see victims.cmake.
#pragma once

namespace corodump::test {

/// Called where a victim stops, on its stack.
using stop_function = void();

enum class victim {
    plain,
    deep,  ///< 200 frames of one function
    frames,
    callbacks,
    formatting,
    exceptions,
    libraries,
    system_calls,
};

using victim_set = void(victim which, stop_function* at_stop);

struct named_victims {
    const char* name;
    victim_set* run;
};

#define CORODUMP_VICTIM_SET(name) victim_set name;
#include "victim_sets.inc"
#undef CORODUMP_VICTIM_SET

inline constexpr named_victims all_victims[] = {
#define CORODUMP_VICTIM_SET(name) {#name, name},
#include "victim_sets.inc"
#undef CORODUMP_VICTIM_SET
};

}  // namespace corodump::test
