// Accepts the clients of orderd and keeps the list of their sessions.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <unordered_set>

#include "connection_pool.hpp"
#include "order_book.hpp"
#include "session.hpp"

namespace orderd {

/// Everything here runs on one strand; each session runs on one of its own.
class server {
public:
    /// Listens on loopback; port 0 takes any free one.
    server(boost::asio::any_io_executor workers, std::uint16_t port, connection_pool& pool,
           order_book& book);

    [[nodiscard]] const boost::asio::any_io_executor& executor() const noexcept { return strand_; }
    [[nodiscard]] std::uint16_t port() const;

    /// Serves until SIGINT or SIGTERM, then tells the sessions to end. A second signal kills.
    boost::asio::awaitable<void> run();

private:
    boost::asio::awaitable<void> accept_clients();
    boost::asio::awaitable<void> report_statistics();
    boost::asio::awaitable<void> stop_signal();
    void start_session(boost::asio::ip::tcp::socket client);

    boost::asio::any_io_executor workers_;
    boost::asio::any_io_executor strand_;
    boost::asio::ip::tcp::acceptor acceptor_;
    connection_pool& pool_;
    order_book& book_;
    std::unordered_set<std::shared_ptr<session>> sessions_;
};

}  // namespace orderd
