#include "agent/snapshot/operation_name.hpp"

#include <gtest/gtest.h>

#include <string>

namespace corodump::snapshot {
namespace {

std::string name(std::string_view type) {
    char out[512];
    return std::string(operation_name(type, out));
}

TEST(OperationName, NamesAMemberInitiationByItsObject) {
    EXPECT_EQ(name("boost::asio::basic_waitable_timer<std::chrono::_V2::steady_clock, "
                   "boost::asio::wait_traits<std::chrono::_V2::steady_clock>, "
                   "boost::asio::any_io_executor>::initiate_async_wait"),
              "boost::asio::steady_timer::async_wait");
    EXPECT_EQ(
        name("boost::asio::basic_stream_socket<boost::asio::ip::tcp>::initiate_async_receive"),
        "boost::asio::ip::tcp::socket::async_receive");
}

TEST(OperationName, NamesAComposedOperationByItsFunction) {
    EXPECT_EQ(name("boost::asio::detail::initiate_async_read<boost::asio::basic_stream_socket<"
                   "boost::asio::ip::tcp> >"),
              "boost::asio::async_read");
    EXPECT_EQ(name("asio::detail::initiate_post_with_executor<asio::any_io_executor>"),
              "asio::post");
}

TEST(OperationName, TakesTheOutermostOfNestedInitiations) {
    EXPECT_EQ(
        name("boost::asio::detail::awaitable_async_op<void (int), "
             "boost::asio::deferred_async_operation<void (int), "
             "boost::asio::experimental::parallel_group<boost::asio::deferred_async_operation<"
             "void (), boost::asio::detail::initiate_co_spawn<boost::asio::any_io_executor> "
             "> >::initiate_async_wait, int>, boost::asio::any_io_executor>"),
        "boost::asio::experimental::parallel_group::async_wait");
}

TEST(OperationName, IsEmptyForOtherTypes) {
    EXPECT_EQ(name("my::mutex::lock_awaiter"), "");
    EXPECT_EQ(name("my::reinitiate_awaiter"), "");
    EXPECT_EQ(name(""), "");
}

}  // namespace
}  // namespace corodump::snapshot
