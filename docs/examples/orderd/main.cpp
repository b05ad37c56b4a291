// orderd: takes orders from its clients over TCP and has stockd set the goods aside.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/thread_pool.hpp>
#include <corodump/agent.hpp>
#include <cstdint>
#include <exception>
#include <string>

#include "connection_pool.hpp"
#include "options.hpp"
#include "order_book.hpp"
#include "server.hpp"

namespace {

namespace asio = boost::asio;

void serve(const orderd::options& options) {
    const asio::ip::tcp::endpoint stockd(asio::ip::address_v4::loopback(),
                                         options.number<std::uint16_t>("--stockd-port", 7401));
    asio::thread_pool workers(2);
    orderd::connection_pool pool(workers.get_executor(), stockd,
                                 options.number<std::uint16_t>("--connections", 4));
    orderd::order_book book;
    orderd::server server(workers.get_executor(), options.number<std::uint16_t>("--port", 7400),
                          pool, book);
    orderd::log("orderd: listens on 127.0.0.1:" + std::to_string(server.port()));
    orderd::write_port_file(options.text("--port-file"), server.port());

    asio::co_spawn(server.executor(), server.run(), [](const std::exception_ptr& failure) {
        if (failure) std::rethrow_exception(failure);
    });
    workers.join();
}

}  // namespace

int main(int argc, char** argv) {
    const corodump::agent agent;
    try {
        serve({argc, argv, {"--port", "--port-file", "--stockd-port", "--connections"}});
    } catch (const std::exception& error) {
        orderd::log(std::string("orderd: ") + error.what());
        return 1;
    }
}
