#include "connection_pool.hpp"

#include <boost/asio/use_awaitable.hpp>
#include <corodump/task.hpp>
#include <cstddef>
#include <utility>

#include "backend.hpp"

namespace orderd {

namespace asio = boost::asio;

connection_pool::connection_pool(const asio::any_io_executor& executor,
                                 const asio::ip::tcp::endpoint& stockd, std::size_t size)
    : resource_("pool", "backend", static_cast<unsigned>(size)), idle_(executor, size) {
    for (std::size_t i = 0; i < size; ++i) give_back(connections_.emplace_back(executor, stockd));
}

asio::awaitable<connection_pool::lease> connection_pool::acquire() {
    const corodump::waiting waiting_for_connection(resource_);
    backend_connection* idle = co_await idle_.async_receive(asio::use_awaitable);
    co_return lease(*this, *idle);
}

void connection_pool::close() {
    idle_.close();
}

/// The channel has room for every connection, so this fails only once the pool is closed, when
/// nobody wants the connection any more.
void connection_pool::give_back(backend_connection& connection) {
    idle_.try_send(boost::system::error_code(), &connection);
}

connection_pool::lease::lease(connection_pool& pool, backend_connection& connection) noexcept
    : pool_(&pool), connection_(&connection), holding_(pool.resource_) {}

connection_pool::lease::lease(lease&& other) noexcept
    : pool_(other.pool_),
      connection_(std::exchange(other.connection_, nullptr)),
      holding_(std::move(other.holding_)) {}

connection_pool::lease::~lease() {
    if (connection_ == nullptr) return;
    connection_->reset();
    holding_ = corodump::holding();  // first, or the next holder would be one too many
    pool_->give_back(*connection_);
}

}  // namespace orderd
