// One client of orderd. The protocol, one line each way:
//
//   PING                               PONG
//   ORDER <customer> <item> <quantity> OK <id> <total in cents>
//   STATUS <id>                        OK <customer> <item> <quantity> <total in cents>
//
// What cannot be done is answered by `ERR <reason>`.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>

#include "connection_pool.hpp"
#include "order_book.hpp"

namespace orderd {

/// Runs on its socket's executor, a strand of its own.
class session : public std::enable_shared_from_this<session> {
public:
    session(boost::asio::ip::tcp::socket socket, connection_pool& pool, order_book& book);

    /// Answers requests until the client leaves, falls silent for too long, or `stop`.
    boost::asio::awaitable<void> run();

    /// Lets the request at hand come to its end and takes no further one. Threads: any.
    void stop();

private:
    boost::asio::awaitable<std::optional<std::string>> next_line();
    boost::asio::awaitable<std::string> answer(std::string line);
    boost::asio::awaitable<std::string> place_order(order wanted);
    boost::asio::awaitable<void> write_audit_entry(const order& large);
    [[nodiscard]] std::string status_of(std::size_t id) const;

    boost::asio::ip::tcp::socket socket_;
    boost::asio::steady_timer idle_timer_;
    std::string input_;
    bool stopping_ = false;
    connection_pool& pool_;
    order_book& book_;
};

}  // namespace orderd
