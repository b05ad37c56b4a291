#include "session.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <corodump/task.hpp>
#include <cstddef>
#include <optional>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <variant>

#include "backend.hpp"
#include "connection_pool.hpp"
#include "order_book.hpp"

namespace orderd {

namespace asio = boost::asio;
using asio::use_awaitable;
using asio::ip::tcp;

namespace {

constexpr std::chrono::seconds idle_limit{60};
constexpr std::size_t max_line_bytes = 512;
constexpr cents audited_from = 1'000'000;

std::string address_of(const tcp::socket& socket) {
    boost::system::error_code gone;
    const tcp::endpoint peer = socket.remote_endpoint(gone);
    return gone ? "gone" : peer.address().to_string() + ':' + std::to_string(peer.port());
}

}  // namespace

session::session(tcp::socket socket, connection_pool& pool, order_book& book)
    : socket_(std::move(socket)), idle_timer_(socket_.get_executor()), pool_(pool), book_(book) {}

asio::awaitable<void> session::run() {
    corodump::set_name("session " + address_of(socket_));
    while (!stopping_) {
        std::optional<std::string> line = co_await next_line();
        if (!line) break;
        std::string reply = co_await answer(*std::move(line));
        reply += '\n';
        co_await asio::async_write(socket_, asio::buffer(reply), use_awaitable);
    }
}

void session::stop() {
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
        self->stopping_ = true;
        boost::system::error_code gone;
        // This wakes a read that waits, but lets what has arrived already be read.
        std::ignore = self->socket_.shutdown(tcp::socket::shutdown_receive, gone);
    });
}

/// Nothing at the end of the connection, after `idle_limit` without a line, and on any error.
asio::awaitable<std::optional<std::string>> session::next_line() {
    using namespace asio::experimental::awaitable_operators;
    idle_timer_.expires_after(idle_limit);
    // `||` waits for the first success, so a read that fails must be a success with an error
    // inside.
    const auto first =
        co_await (asio::async_read_until(socket_, asio::dynamic_buffer(input_, max_line_bytes),
                                         '\n', asio::as_tuple(use_awaitable)) ||
                  idle_timer_.async_wait(use_awaitable));
    if (first.index() != 0) co_return std::nullopt;
    const auto [error, length] = std::get<0>(first);
    if (error) co_return std::nullopt;
    std::string line = input_.substr(0, length - 1);
    input_.erase(0, length);
    co_return line;
}

asio::awaitable<std::string> session::answer(std::string line) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    if (verb == "PING") co_return "PONG";
    if (std::size_t id = 0; verb == "STATUS" && words >> id) co_return status_of(id);
    order wanted;
    if (verb == "ORDER") words >> wanted.customer >> wanted.item >> wanted.quantity;
    if (verb != "ORDER" || !words || wanted.quantity <= 0) co_return "ERR not understood";
    try {
        co_return co_await place_order(std::move(wanted));
    } catch (const request_refused& refusal) {
        co_return std::string("ERR ") + refusal.what();
    } catch (const boost::system::system_error&) {
        co_return "ERR the warehouse cannot be reached";
    }
}

asio::awaitable<std::string> session::place_order(order wanted) {
    corodump::set_label("customer", wanted.customer);
    const corodump::watch item("item", wanted.item);
    const corodump::watch quantity("quantity", wanted.quantity);

    const connection_pool::lease warehouse = co_await pool_.acquire();
    const cents price = co_await warehouse->reserve(wanted.item, wanted.quantity);
    wanted.total = price * static_cast<cents>(wanted.quantity);
    if (wanted.total >= audited_from) co_await write_audit_entry(wanted);
    co_await warehouse->commit();

    const cents total = wanted.total;
    const std::size_t id = book_.add(std::move(wanted));
    co_return "OK " + std::to_string(id) + ' ' + std::to_string(total);
}

/// The entry must stay when the order is undone, so it must not be part of the transaction on the
/// order's connection: it goes over another one.
asio::awaitable<void> session::write_audit_entry(const order& large) {
    const connection_pool::lease journal = co_await pool_.acquire();
    co_await journal->audit(large.customer + ' ' + large.item + ' ' + std::to_string(large.total));
}

std::string session::status_of(std::size_t id) const {
    const std::optional<order> found = book_.find(id);
    if (!found) return "ERR no such order";
    return "OK " + found->customer + ' ' + found->item + ' ' + std::to_string(found->quantity) +
           ' ' + std::to_string(found->total);
}

}  // namespace orderd
