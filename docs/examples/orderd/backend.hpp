// A connection to stockd, the warehouse service behind orderd.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace orderd {

using cents = std::uint64_t;

/// stockd understood the request and said no: unknown item, out of stock.
struct request_refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Connects on first use, and again after a failure. One request at a time.
///
/// A connection carries a transaction: what was reserved or audited over it counts from `commit`
/// on, and is undone when the connection closes first. Without an open reservation each audit entry
/// counts at once.
///
/// Every coroutine throws boost::system::system_error when stockd cannot be reached.
class backend_connection {
public:
    backend_connection(const boost::asio::any_io_executor& executor,
                       const boost::asio::ip::tcp::endpoint& stockd);

    /// Sets `quantity` of `item` aside and returns the price of one. Throws request_refused.
    boost::asio::awaitable<cents> reserve(std::string item, std::int32_t quantity);
    boost::asio::awaitable<void> commit();
    boost::asio::awaitable<void> audit(std::string entry);

    /// Makes the connection fit for its next user: an open reservation is undone.
    void reset() noexcept;

private:
    boost::asio::awaitable<std::string> call(std::string request);
    boost::asio::awaitable<std::string> exchange(std::string request);
    void close() noexcept;

    boost::asio::ip::tcp::endpoint stockd_;
    boost::asio::ip::tcp::socket socket_;
    std::string input_;
    bool reserved_ = false;
};

}  // namespace orderd
