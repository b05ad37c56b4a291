// Symptom: latency spikes. One loop for all, and now and then a request that writes its log through to the
// disk: a call that blocks, in the middle of a coroutine. While it does, nobody else is served.
#include <time.h>

#include "coroutines.hpp"

using namespace std::chrono_literals;
using example::detached, example::loop;

namespace {

/// Stands for fsync() on a busy disk.
[[gnu::noinline]] void write_through() {
    timespec left{3, 0};
    while (nanosleep(&left, &left) != 0) {
    }
}

detached audit(loop& on) {
    corodump::set_name("audit");
    for (;;) {
        co_await on.after(100ms);
        write_through();
    }
}

detached request(loop& on) {
    for (;;) co_await on.after(10ms);
}

}  // namespace

int main() {
    const corodump::agent agent;
    loop on;
    audit(on);
    for (int i = 0; i < 20; ++i) request(on);
    example::ready();
    on.run();
}
