// The few connections to stockd which all sessions share.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <corodump/task.hpp>
#include <cstddef>
#include <list>

#include "backend.hpp"

namespace orderd {

/// Threads: any. Must outlive every coroutine that has a lease or waits for one.
class connection_pool {
public:
    /// Lends one connection; the end of its life gives it back.
    class lease {
    public:
        lease(connection_pool& pool, backend_connection& connection) noexcept;
        lease(lease&& other) noexcept;
        lease& operator=(lease&&) = delete;
        ~lease();

        backend_connection* operator->() const noexcept { return connection_; }

    private:
        connection_pool* pool_;
        backend_connection* connection_;  ///< null: moved from
        corodump::holding holding_;
    };

    connection_pool(const boost::asio::any_io_executor& executor,
                    const boost::asio::ip::tcp::endpoint& stockd, std::size_t size);

    /// Waits for an idle connection, first come, first served. Throws system_error when closed.
    boost::asio::awaitable<lease> acquire();

    /// Whoever waits for a connection, now or later, gets an error instead.
    void close();

private:
    using idle_connections = boost::asio::experimental::concurrent_channel<void(
        boost::system::error_code, backend_connection*)>;

    void give_back(backend_connection& connection);

    corodump::resource resource_;
    std::list<backend_connection> connections_;
    idle_connections idle_;
};

}  // namespace orderd
