// A service whose wall clock jumps as the test says: each line is a number of seconds.
#include <dlfcn.h>

#include <corodump/agent.hpp>
#include <cstdlib>
#include <string>

#include "tests/chaos/host_side.hpp"
#include "tests/chaos/waiting_task.hpp"

int main() {
    const corodump::agent agent;
    const app::waiting_task waiting;
    auto* const shift =
        reinterpret_cast<void (*)(long)>(dlsym(RTLD_DEFAULT, "chaos_shift_wall_clock"));
    CHAOS_REQUIRE(shift != nullptr);
    for (;;) {
        const std::string seconds(chaos::serve());
        if (seconds.empty()) return 0;
        shift(std::atol(seconds.c_str()));
    }
}
