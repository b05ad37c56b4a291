// A service with something of everything that a dump shows, dumped in all ways, as the test says.
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <corodump/agent.hpp>
#include <corodump/describe.hpp>
#include <corodump/task.hpp>
#include <coroutine>
#include <cstdio>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "tests/chaos/host_side.hpp"
#include "tests/chaos/waiting_task.hpp"

namespace app {

corodump::resource backend("pool", "backend \"one\"", 2);

/// Waits for the pool, a socket and a deadline at once, as far as the dump is concerned.
struct pool_turn {
    int descriptor;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    void await_resume() const noexcept {}
    void describe(corodump::description& d) const noexcept {
        d.waits_for(backend);
        d.descriptor(descriptor);
        d.deadline(std::chrono::steady_clock::now() + std::chrono::hours(1));
    }
};

struct money {
    long cents;
    friend std::string to_string(const money& m) { return std::to_string(m.cents) + " cents"; }
};

lazy::task<> buys(int number, std::string item, int descriptor) {
    corodump::set_name("buyer " + std::to_string(number));
    corodump::set_label("item", item);
    corodump::set_label("password", "is not shown");
    const money price{number * 100L};
    const double weight = number / 3.0;
    corodump::watch shown_price{"price", price};
    corodump::watch shown_weight{"weight", weight};
    corodump::watch shown_item{"item", item};
    const corodump::holding held(backend);
    co_await pool_turn{descriptor};
}

}  // namespace app

namespace {

int connected_socket() {
    const int server = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address;
    CHAOS_REQUIRE(bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    CHAOS_REQUIRE(listen(server, 1) == 0);
    CHAOS_REQUIRE(getsockname(server, reinterpret_cast<sockaddr*>(&address), &bytes) == 0);
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    CHAOS_REQUIRE(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return client;
}

/// The child serves as its parent did; what it is told goes to whoever reads first, so it is told
/// nothing, and is signalled.
void fork_child() {
    const pid_t child = fork();
    CHAOS_REQUIRE(child >= 0);
    if (child != 0) return;
    chaos::tell("child", getpid());
    chaos::stay();
}

}  // namespace

int main(int count, char**) {
    const corodump::agent agent;
    synced::event until;
    std::vector<lazy::task<int>> many;
    std::vector<lazy::task<>> buyers;
    const app::waiting_task waiting;
    const int descriptor = connected_socket();
    for (int i = 0; i < 2; ++i) {
        buyers.push_back(app::buys(i, "turbine", descriptor));
        buyers.back().start();
    }
    if (count > 1)
        std::thread(chaos::stay).detach();  // a child is not served by threads of its own
    for (;;) {
        const std::string line(chaos::serve());
        if (line == "api") {
            const auto made = corodump::dump_now();
            chaos::tell(made ? "dumped" : "failed", made.error.value());
        } else if (line == "more") {
            for (int i = 0; i < 20'000; ++i) {
                many.push_back(app::outer(until));
                many.back().start();
            }
        } else if (line == "fork") {
            fork_child();
        } else if (line == "no descriptors") {
            while (dup(0) >= 0) {
            }
        } else {
            break;
        }
    }
}
