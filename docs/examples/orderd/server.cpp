#include "server.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <corodump/task.hpp>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "connection_pool.hpp"
#include "options.hpp"
#include "order_book.hpp"
#include "session.hpp"

namespace orderd {

namespace asio = boost::asio;
using asio::use_awaitable;
using asio::ip::tcp;

namespace {

constexpr std::chrono::seconds statistics_period{5};
constexpr std::chrono::milliseconds accept_retry{100};

}  // namespace

server::server(asio::any_io_executor workers, std::uint16_t port, connection_pool& pool,
               order_book& book)
    : workers_(std::move(workers)),
      strand_(asio::make_strand(workers_)),
      acceptor_(strand_, tcp::endpoint(asio::ip::address_v4::loopback(), port)),
      pool_(pool),
      book_(book) {}

std::uint16_t server::port() const {
    return acceptor_.local_endpoint().port();
}

asio::awaitable<void> server::run() {
    using namespace asio::experimental::awaitable_operators;
    corodump::set_name("server");
    co_await (accept_clients() || report_statistics() || stop_signal());
    acceptor_.close();
    pool_.close();
    for (const auto& each : sessions_) each->stop();
}

asio::awaitable<void> server::accept_clients() {
    corodump::set_name("acceptor");
    asio::steady_timer pause(strand_);
    for (;;) {
        auto [error, client] = co_await acceptor_.async_accept(
            asio::any_io_executor(asio::make_strand(workers_)), asio::as_tuple(use_awaitable));
        if (error == asio::error::operation_aborted) co_return;
        if (error) {  // mostly: out of descriptors, which will get better when clients leave
            log("orderd: accept: " + error.message());
            pause.expires_after(accept_retry);
            co_await pause.async_wait(use_awaitable);
            continue;
        }
        start_session(std::move(client));
    }
}

void server::start_session(tcp::socket client) {
    const auto strand = client.get_executor();
    auto started = std::make_shared<session>(std::move(client), pool_, book_);
    sessions_.insert(started);
    asio::co_spawn(strand, started->run(),
                   asio::bind_executor(strand_, [this, started](const std::exception_ptr& failure) {
                       sessions_.erase(started);
                       if (failure) log("orderd: a session was cut off by its client");
                   }));
}

asio::awaitable<void> server::report_statistics() {
    corodump::set_name("statistics");
    asio::steady_timer next(strand_, std::chrono::steady_clock::now());
    for (std::size_t before = 0, now = 0;; before = now) {
        next.expires_at(next.expiry() + statistics_period);
        co_await next.async_wait(use_awaitable);
        now = book_.size();
        log("orderd: " + std::to_string(sessions_.size()) + " sessions, " + std::to_string(now) +
            " orders (+" + std::to_string(now - before) + ")");
    }
}

asio::awaitable<void> server::stop_signal() {
    corodump::set_name("stop signal");
    asio::signal_set signals(strand_, SIGINT, SIGTERM);
    const int signal = co_await signals.async_wait(use_awaitable);
    log("orderd: stops on signal " + std::to_string(signal));
}

}  // namespace orderd
