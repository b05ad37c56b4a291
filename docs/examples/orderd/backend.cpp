#include "backend.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

namespace orderd {

namespace asio = boost::asio;
using asio::use_awaitable;
using asio::ip::tcp;

namespace {

constexpr std::size_t max_reply_bytes = 256;

}  // namespace

backend_connection::backend_connection(const asio::any_io_executor& executor,
                                       const tcp::endpoint& stockd)
    : stockd_(stockd), socket_(executor) {}

asio::awaitable<cents> backend_connection::reserve(std::string item, std::int32_t quantity) {
    const std::string price =
        co_await call("RESERVE " + std::move(item) + ' ' + std::to_string(quantity));
    reserved_ = true;
    co_return std::stoull(price);
}

asio::awaitable<void> backend_connection::commit() {
    co_await call("COMMIT");
    reserved_ = false;
}

asio::awaitable<void> backend_connection::audit(std::string entry) {
    co_await call("AUDIT " + std::move(entry));
}

void backend_connection::reset() noexcept {
    if (reserved_) close();
}

/// Returns what follows `OK ` in the reply.
asio::awaitable<std::string> backend_connection::call(std::string request) {
    std::string reply;
    try {
        reply = co_await exchange(std::move(request));
    } catch (const boost::system::system_error&) {
        close();
        throw;
    }
    if (!reply.starts_with("OK")) throw request_refused(reply.substr(reply.find(' ') + 1));
    co_return reply.size() > 3 ? reply.substr(3) : std::string();
}

asio::awaitable<std::string> backend_connection::exchange(std::string request) {
    if (!socket_.is_open()) {
        co_await socket_.async_connect(stockd_, use_awaitable);
        socket_.set_option(tcp::no_delay(true));
    }
    request += '\n';
    co_await asio::async_write(socket_, asio::buffer(request), use_awaitable);
    const std::size_t length = co_await asio::async_read_until(
        socket_, asio::dynamic_buffer(input_, max_reply_bytes), '\n', use_awaitable);
    std::string reply = input_.substr(0, length - 1);
    input_.erase(0, length);
    co_return reply;
}

void backend_connection::close() noexcept {
    boost::system::error_code error;
    std::ignore = socket_.close(error);  // closed also where this fails
    input_.clear();
    reserved_ = false;
}

}  // namespace orderd
