// The service that most chaos hosts are: orders that wait for their backend. A dump of it has as
// many tasks of two frames as there are orders; what the host itself has is whole as long as every
// order still ends with its number.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <corodump/agent.hpp>
#include <filesystem>
#include <string>
#include <string_view>

#include "tests/chaos/chaos_host.hpp"
#include "tests/chaos/order_tasks.hpp"

namespace orders {

/// Ends the host with `gave_up` unless its orders are whole, answering "ping" with "pong" till
/// "end".
inline void serve(service& of) {
    for (std::string_view line = chaos::hear(); line == "ping"; line = chaos::hear())
        chaos::tell("pong");
    CHAOS_REQUIRE(of.finish());
}

/// A whole host: the agent, orders, the word "ready", and serve().
inline void run() {
    const corodump::agent agent;
    service waiting;
    chaos::tell("ready");
    serve(waiting);
}

inline void expect_orders(const support::dump& in, std::size_t orders = 3) {
    EXPECT_TRUE(in.complete || !in.warnings.empty());
    const auto found = in.all_ending_in("orders::ask_backend");
    EXPECT_EQ(found.size(), orders) << in.chains();
    for (const support::task* const each : found) {
        EXPECT_EQ(each->root().function, "orders::place_order");
        EXPECT_EQ(each->activity, "suspended");
    }
}

/// The host is well: it answers, ends its orders and leaves.
inline void expect_unharmed(chaos::host& host) {
    host.expect_answers();
    host.say("end");
    EXPECT_EQ(host.wait(), 0) << host.errors();
}

inline bool has_warning(const support::dump& in, std::string_view text) {
    for (const std::string& warning : in.warnings)
        if (warning.find(text) != std::string::npos) return true;
    return false;
}

#if defined(__SANITIZE_ADDRESS__)
/// AddressSanitizer's runtime must be loaded first, does not run set-user-id programs, and UBSan's
/// look at a vtable takes a pipe.
inline constexpr bool has_address_sanitizer = true;
#else
inline constexpr bool has_address_sanitizer = false;
#endif
#define ORDERS_NOT_UNDER_ASAN() \
    if (orders::has_address_sanitizer) GTEST_SKIP() << "the sanitizer's runtime does not allow it"

/// How often `text` stands in `in`.
inline int count_of(std::string_view in, std::string_view text) {
    int count = 0;
    for (std::size_t at = 0; (at = in.find(text, at)) != std::string_view::npos; at += text.size())
        ++count;
    return count;
}

/// A directory of the test's own.
class scratch {
public:
    scratch() {
        if (mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "no directory " << path_;
    }
    scratch(const scratch&) = delete;
    scratch& operator=(const scratch&) = delete;
    ~scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string file(const std::string& name) const { return path_ + '/' + name; }

private:
    std::string path_ = "/tmp/corodump-chaos-XXXXXX";
};

}  // namespace orders
