// Symptom: intermittent error. A request that times out is destroyed in the middle, and what it had
// borrowed by hand is never given back. Each time-out costs one connection, until there is none.
#include <optional>

#include "coroutines.hpp"

using namespace std::chrono_literals;
using example::detached, example::loop, example::pool;

namespace {

/// Where leases are kept by hand, so that the end of a request does not end them.
struct ledger {
    std::vector<pool::lease> leases;
};

struct abandon {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const noexcept { handle.destroy(); }
    void await_resume() const noexcept {}
};

detached request(loop& on, pool& connections, ledger& kept, bool times_out) {
    kept.leases.push_back(co_await connections.acquire());
    if (times_out) {
        co_await on.after(5ms);
        co_await abandon{};  // the ledger still has the lease
    }
    co_await on.after(1h);
}

}  // namespace

int main() {
    const corodump::agent agent;
    loop on;
    pool connections("pool", "backend", 3);
    ledger kept;
    kept.leases.reserve(8);
    for (int i = 0; i < 3; ++i) request(on, connections, kept, true);
    for (int i = 0; i < 4; ++i) request(on, connections, kept, false);
    example::ready();
    on.run();
}
