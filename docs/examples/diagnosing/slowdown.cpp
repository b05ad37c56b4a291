// Symptom: slowdown. Two connections to a backend that has become slow, and forty requests that want one.
#include "coroutines.hpp"

using namespace std::chrono_literals;
using example::detached, example::loop, example::pool, example::task;

namespace {

task query_backend(loop& on) {
    co_await on.after(30s);  // it took 3 ms yesterday
}

detached request(loop& on, pool& connections) {
    for (;;) {
        const auto connection = co_await connections.acquire();
        co_await query_backend(on);
    }
}

}  // namespace

int main() {
    const corodump::agent agent;
    loop on;
    pool connections("pool", "backend", 2);
    for (int i = 0; i < 40; ++i) request(on, connections);
    example::ready();
    on.run();
}
