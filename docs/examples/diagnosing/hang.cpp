// Symptom: hang. Two accounts, each with its lock, and two transfers that take them in opposite order.
#include "coroutines.hpp"

using namespace std::chrono_literals;
using example::detached, example::loop, example::pool;

namespace {

detached transfer(loop& on, pool& from, pool& to, int& done) {
    corodump::set_name("transfer");
    const auto outer = co_await from.acquire();
    co_await on.after(10ms);  // time for the other one to take the other lock
    const auto inner = co_await to.acquire();
    ++done;
}

detached report(loop& on, pool& account) {
    co_await on.after(20ms);
    const auto held = co_await account.acquire();
}

}  // namespace

int main() {
    const corodump::agent agent;
    loop on;
    pool savings("lock", "savings", 1);
    pool wages("lock", "wages", 1);
    int done = 0;
    transfer(on, savings, wages, done);
    transfer(on, wages, savings, done);
    for (int i = 0; i < 5; ++i) report(on, wages);
    example::ready();
    on.run();
}
