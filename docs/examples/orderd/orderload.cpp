// orderload: clients for orderd. They join one by one, and each sends its next request a few
// milliseconds after the last reply. Ends after --duration, or when no client has had a reply for
// --quiet seconds while some wait for one.
//
// Exit status: 0 the service answered to the end, 1 it could not be driven, 2 it hangs.
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <random>
#include <string>

#include "options.hpp"

namespace {

namespace asio = boost::asio;
using asio::use_awaitable;
using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr std::size_t max_reply_bytes = 512;

struct settings {
    tcp::endpoint service;
    unsigned clients;   ///< that send requests all the time
    unsigned idle;      ///< that send one request and then only stay connected
    milliseconds ramp;  ///< until the last client has joined
    seconds duration;
    seconds quiet;
    seconds linger;  ///< how long the clients of a hung service stay connected
};

struct progress {
    steady_clock::time_point start = steady_clock::now();
    steady_clock::time_point last_reply = start;
    steady_clock::time_point last_order = start;  ///< the last reply to an ORDER
    std::uint64_t replies = 0;
    std::uint64_t refused = 0;  ///< of these, `ERR`
    unsigned connected = 0;
    unsigned waiting = 0;  ///< clients that have sent a request and have no reply
    unsigned lost = 0;     ///< clients whose connection broke
};

class client {
public:
    client(asio::io_context& context, progress& all)
        : socket_(context), pause_(context), all_(all) {}

    asio::awaitable<void> connect(tcp::endpoint service) {
        co_await socket_.async_connect(service, use_awaitable);
        socket_.set_option(tcp::no_delay(true));
        ++all_.connected;
    }

    asio::awaitable<std::string> ask(std::string request) {
        request += '\n';
        ++all_.waiting;
        co_await asio::async_write(socket_, asio::buffer(request), use_awaitable);
        const std::size_t length = co_await asio::async_read_until(
            socket_, asio::dynamic_buffer(input_, max_reply_bytes), '\n', use_awaitable);
        --all_.waiting;
        std::string reply = input_.substr(0, length - 1);
        input_.erase(0, length);
        ++all_.replies;
        if (!reply.starts_with("OK") && reply != "PONG") ++all_.refused;
        all_.last_reply = steady_clock::now();
        if (request.starts_with("ORDER")) all_.last_order = all_.last_reply;
        co_return reply;
    }

    asio::awaitable<void> rest(steady_clock::duration time) {
        pause_.expires_after(time);
        co_await pause_.async_wait(use_awaitable);
    }

private:
    tcp::socket socket_;
    asio::steady_timer pause_;
    std::string input_;
    progress& all_;
};

/// What customers want: mostly small things, sometimes the answer to "is it there yet?", seldom
/// something large.
class customer {
public:
    explicit customer(unsigned number) : number_(number), random_(number) {}

    std::string next_request() {
        const unsigned roll = below(100);
        if (roll < 10) return "PING";
        if (roll < 25 && last_order_ != 0) return "STATUS " + std::to_string(last_order_);
        return roll < 96 ? order_of(small_items[below(small_items.size())], 1 + below(12))
                         : order_of("turbine", 1 + below(3));
    }

    void remember(const std::string& request, const std::string& reply) {
        if (request.starts_with("ORDER") && reply.starts_with("OK "))
            last_order_ = std::stoull(reply.substr(3));
    }

    milliseconds pause() { return milliseconds(below(5)); }

private:
    unsigned below(std::size_t limit) { return static_cast<unsigned>(random_() % limit); }

    [[nodiscard]] std::string order_of(const char* item, unsigned quantity) const {
        return "ORDER customer-" + std::to_string(number_) + ' ' + item + ' ' +
               std::to_string(quantity);
    }

    static constexpr std::array small_items{"bolt", "crate", "gear", "rope"};
    unsigned number_;
    std::uint64_t last_order_ = 0;
    std::minstd_rand random_;
};

/// Traffic that grows ever faster: half the clients come in the last third of the ramp.
milliseconds joins_after(const settings& wish, unsigned number) {
    const double share = static_cast<double>(number) / wish.clients;
    return std::chrono::duration_cast<milliseconds>(wish.ramp * std::sqrt(share));
}

asio::awaitable<void> run_client(asio::io_context& context, const settings& wish, progress& all,
                                 unsigned number) {
    client self(context, all);
    customer who(number);
    const bool busy = number < wish.clients;
    if (busy) co_await self.rest(joins_after(wish, number));
    co_await self.connect(wish.service);
    if (!busy) {
        co_await self.ask("PING");
        for (;;) co_await self.rest(std::chrono::hours(1));
    }
    for (;;) {
        const std::string request = who.next_request();
        const std::string reply = co_await self.ask(request);
        who.remember(request, reply);
        co_await self.rest(who.pause());
    }
}

double in_seconds(steady_clock::duration time) {
    return std::chrono::duration<double>(time).count();
}

void report(const progress& now) {
    std::printf("orderload: %5.1f s  %4u clients  %8llu replies  %4u waiting\n",
                in_seconds(steady_clock::now() - now.start), now.connected,
                static_cast<unsigned long long>(now.replies), now.waiting);
    std::fflush(stdout);
}

enum class outcome : std::uint8_t { answered, lost, hung };

asio::awaitable<outcome> observe(asio::io_context& context, const settings& wish,
                                 const progress& now) {
    asio::steady_timer next(context, now.start);
    for (;;) {
        next.expires_at(next.expiry() + milliseconds(500));
        co_await next.async_wait(use_awaitable);
        report(now);
        const auto time = steady_clock::now();
        if (now.lost != 0) co_return outcome::lost;
        if (now.waiting != 0 && time - now.last_reply >= wish.quiet) co_return outcome::hung;
        if (time - now.start >= wish.duration) co_return outcome::answered;
    }
}

asio::awaitable<bool> answers_ping(asio::io_context& context, tcp::endpoint service) {
    using namespace asio::experimental::awaitable_operators;
    progress apart;
    client probe(context, apart);
    asio::steady_timer limit(context, seconds(2));
    co_await probe.connect(service);
    const auto first = co_await (probe.ask("PING") || limit.async_wait(use_awaitable));
    co_return first.index() == 0;
}

/// Keeps the clients connected until somebody has looked at the service.
asio::awaitable<void> linger(asio::io_context& context, seconds time) {
    using namespace asio::experimental::awaitable_operators;
    asio::signal_set signals(context, SIGINT, SIGTERM);
    asio::steady_timer limit(context, time);
    co_await (signals.async_wait(use_awaitable) || limit.async_wait(use_awaitable));
}

asio::awaitable<int> drive(asio::io_context& context, const settings& wish, progress& all) {
    const outcome end = co_await observe(context, wish, all);
    if (end == outcome::lost) {
        std::printf("orderload: the service has dropped %u clients\n", all.lost);
        co_return 1;
    }
    if (end == outcome::answered) {
        std::printf("orderload: the service answered to the end: %llu replies, %llu of them ERR\n",
                    static_cast<unsigned long long>(all.replies),
                    static_cast<unsigned long long>(all.refused));
        co_return 0;
    }
    const bool alive = co_await answers_ping(context, wish.service);
    std::printf("orderload: a new client's PING is %s\n", alive ? "answered" : "not answered");
    std::printf(
        "orderload: the service hangs: %llu replies, the last to an order after %.1f s; "
        "%u of %u clients wait\n",
        static_cast<unsigned long long>(all.replies), in_seconds(all.last_order - all.start),
        all.waiting, all.connected);
    std::fflush(stdout);
    co_await linger(context, wish.linger);
    co_return 2;
}

int run(const orderd::options& options) {
    const settings wish{
        .service = {asio::ip::address_v4::loopback(),
                    options.number<std::uint16_t>("--port", 7400)},
        .clients = options.number("--clients", 320U),
        .idle = options.number("--idle", 12U),
        .ramp = seconds(options.number("--ramp", 3U)),
        .duration = seconds(options.number("--duration", 30U)),
        .quiet = seconds(options.number("--quiet", 3U)),
        .linger = seconds(options.number("--linger", 0U)),
    };
    progress all;
    int status = 1;
    asio::io_context context(1);
    for (unsigned i = 0; i < wish.clients + wish.idle; ++i)
        asio::co_spawn(context, run_client(context, wish, all, i),
                       [&all](const std::exception_ptr&) { ++all.lost; });
    asio::co_spawn(context, drive(context, wish, all),
                   [&](const std::exception_ptr& failure, int result) {
                       context.stop();
                       if (failure) std::rethrow_exception(failure);
                       status = result;
                   });
    context.run();
    return status;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(
            {argc,
             argv,
             {"--port", "--clients", "--idle", "--ramp", "--duration", "--quiet", "--linger"}});
    } catch (const std::exception& error) {
        orderd::log(std::string("orderload: ") + error.what());
        return 1;
    }
}
