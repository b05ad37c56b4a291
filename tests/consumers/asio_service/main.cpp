// A service that hangs: one task waits for a timer that expires tomorrow, below a parent that waits
// for it. It says "ready" once both are parked.
#include <boost/asio.hpp>
#include <chrono>
#include <corodump/agent.hpp>
#include <cstdio>

namespace asio = boost::asio;

asio::awaitable<void> wait_for_tomorrow() {
    asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::hours(24));
    co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<void> serve() {
    co_await wait_for_tomorrow();
}

int main() {
    corodump::agent agent;
    asio::io_context loop;
    asio::co_spawn(loop, serve(), asio::detached);
    loop.poll();
    std::puts("ready");
    std::fflush(stdout);
    loop.run();
}
