// stockd: the warehouse behind orderd. One line each way:
//
//   RESERVE <item> <quantity>   OK <price of one in cents>
//   AUDIT <text>                OK
//   COMMIT                      OK
//
// What was reserved or audited over a connection counts from COMMIT on and is undone when the
// connection closes first. An audit entry outside of a reservation counts at once.
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "options.hpp"

namespace {

namespace asio = boost::asio;
using asio::use_awaitable;
using asio::ip::tcp;

constexpr std::size_t max_line_bytes = 512;

struct article {
    std::uint64_t price_cents;
    std::uint64_t in_stock;
};

struct warehouse {
    std::map<std::string, article> articles{
        {"anvil", {24900, 1'000'000'000}},       {"bolt", {15, 1'000'000'000}},
        {"crate", {1800, 1'000'000'000}},        {"gear", {420, 1'000'000'000}},
        {"lathe", {389000, 1'000'000'000}},      {"rope", {990, 1'000'000'000}},
        {"turbine", {1'250'000, 1'000'000'000}}, {"unobtainium", {9'999'900, 0}},
    };
    std::uint64_t audit_entries = 0;
};

/// What one connection has reserved and not committed. Undone where it ends.
class transaction {
public:
    explicit transaction(warehouse& stock) : stock_(stock) {}
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;
    ~transaction() {
        for (const auto& [reserved, quantity] : reserved_) reserved->in_stock += quantity;
    }

    std::string reserve(const std::string& item, std::uint64_t quantity) {
        const auto found = stock_.articles.find(item);
        if (found == stock_.articles.end()) return "ERR no such item";
        article& wanted = found->second;
        if (wanted.in_stock < quantity) return "ERR out of stock";
        wanted.in_stock -= quantity;
        reserved_.emplace_back(&wanted, quantity);
        return "OK " + std::to_string(wanted.price_cents);
    }

    std::string audit() {
        ++(reserved_.empty() ? stock_.audit_entries : audit_entries_);
        return "OK";
    }

    std::string commit() {
        reserved_.clear();
        stock_.audit_entries += std::exchange(audit_entries_, 0);
        return "OK";
    }

private:
    warehouse& stock_;
    std::vector<std::pair<article*, std::uint64_t>> reserved_;
    std::uint64_t audit_entries_ = 0;
};

std::string answer(transaction& open, const std::string& line) {
    std::istringstream words(line);
    std::string verb;
    std::string item;
    std::uint64_t quantity = 0;
    words >> verb;
    if (verb == "RESERVE" && words >> item >> quantity) return open.reserve(item, quantity);
    if (verb == "AUDIT") return open.audit();
    if (verb == "COMMIT") return open.commit();
    return "ERR not understood";
}

asio::awaitable<void> serve(tcp::socket client, warehouse& stock) {
    client.set_option(tcp::no_delay(true));
    transaction open(stock);
    for (std::string input;;) {
        const std::size_t length = co_await asio::async_read_until(
            client, asio::dynamic_buffer(input, max_line_bytes), '\n', use_awaitable);
        std::string reply = answer(open, input.substr(0, length - 1));
        input.erase(0, length);
        reply += '\n';
        co_await asio::async_write(client, asio::buffer(reply), use_awaitable);
    }
}

asio::awaitable<void> accept_clients(tcp::acceptor& acceptor, warehouse& stock) {
    for (;;) {
        tcp::socket client = co_await acceptor.async_accept(use_awaitable);
        asio::co_spawn(acceptor.get_executor(), serve(std::move(client), stock),
                       [](const std::exception_ptr&) {});  // the client has left
    }
}

void run(const orderd::options& options) {
    warehouse stock;
    asio::io_context context(1);
    tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(),
                                                  options.number<std::uint16_t>("--port", 7401)));
    const unsigned port = acceptor.local_endpoint().port();
    orderd::log("stockd: listens on 127.0.0.1:" + std::to_string(port));
    orderd::write_port_file(options.text("--port-file"), port);

    asio::signal_set signals(context, SIGINT, SIGTERM);
    signals.async_wait([&](const boost::system::error_code&, int) { context.stop(); });
    asio::co_spawn(context, accept_clients(acceptor, stock), [](const std::exception_ptr& failure) {
        if (failure) std::rethrow_exception(failure);
    });
    context.run();
    orderd::log("stockd: wrote " + std::to_string(stock.audit_entries) + " audit entries");
}

}  // namespace

int main(int argc, char** argv) {
    try {
        run({argc, argv, {"--port", "--port-file"}});
    } catch (const std::exception& error) {
        orderd::log(std::string("stockd: ") + error.what());
        return 1;
    }
}
