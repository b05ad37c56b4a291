// A co_spawn of three nested awaitables, run to completion. Compiled twice into shared libraries of
// their own, with and without corodump: in one executable the linker would keep one of each
// template.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

namespace {

using boost::asio::awaitable;

awaitable<int> price(int order) {
    co_return order + 1;
}
awaitable<int> quote(int order) {
    co_return co_await price(order) + 1;
}
awaitable<void> session(int order, long& sum) {
    sum += co_await quote(order);
}

}  // namespace

extern "C" [[gnu::visibility("default")]] long ASIO_WORKLOAD(long count) {
    boost::asio::io_context context(1);
    long sum = 0;
    for (long i = 0; i < count; ++i) {
        boost::asio::co_spawn(context, session(static_cast<int>(i), sum), boost::asio::detached);
        context.run();
        context.restart();
    }
    return sum;
}
