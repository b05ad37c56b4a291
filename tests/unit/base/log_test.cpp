#include "agent/base/log.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

namespace corodump::base {
namespace {

// Puts another descriptor in the place of stderr, for a scope.
class stderr_replaced {
public:
    explicit stderr_replaced(int by) : saved_(::dup(STDERR_FILENO)) { ::dup2(by, STDERR_FILENO); }
    ~stderr_replaced() {
        ::dup2(saved_, STDERR_FILENO);
        ::close(saved_);
    }
    stderr_replaced(const stderr_replaced&) = delete;
    stderr_replaced& operator=(const stderr_replaced&) = delete;

private:
    int saved_;
};

std::string drain(int fd) {
    std::string all;
    char buffer[4096];
    for (pollfd ready{fd, POLLIN, 0}; ::poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0;) {
        const ssize_t got = ::read(fd, buffer, sizeof buffer);
        if (got <= 0) break;
        all.append(buffer, static_cast<std::size_t>(got));
    }
    return all;
}

class LogTo : public testing::Test {
protected:
    ~LogTo() override {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    int ends_[2] = {-1, -1};
};

TEST_F(LogTo, APipeIsOneLineEach) {
    ASSERT_EQ(::pipe(ends_), 0);
    {
        const stderr_replaced here(ends_[1]);
        log(log_level::info, "dumped 3 tasks\nto a\x1bpath");
        log(log_level::warning, std::string(5000, 'x'));
        log(log_level::error, "last");
    }
    const std::string all = drain(ends_[0]);
    EXPECT_NE(all.find("Z corodump info: dumped 3 tasks to a path\n"), std::string::npos) << all;
    EXPECT_NE(all.find(" corodump error: last\n"), std::string::npos);
    EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 3);
    EXPECT_LT(all.size(), 1300U);
}

// With the alarm as its deadline: a write that waits would never come back.
TEST_F(LogTo, AFullPipeDropsCountsAndTells) {
    ASSERT_EQ(::pipe(ends_), 0);
    ::alarm(30);
    {
        const stderr_replaced here(ends_[1]);
        for (int i = 0; i < 200; ++i) log(log_level::info, std::string(1000, 'x'));
        const std::uint64_t lost = dropped_log_lines();
        EXPECT_GT(lost, 100U);
        EXPECT_LT(lost, 200U);
        EXPECT_EQ(::fcntl(ends_[1], F_GETFL) & O_NONBLOCK, 0);
        EXPECT_GT(drain(ends_[0]).size(), 30000U);
        log(log_level::info, "again");
        const std::string told = "(" + std::to_string(lost) + " log lines were dropped) again\n";
        const std::string after = drain(ends_[0]);
        EXPECT_NE(after.find(told), std::string::npos) << after;
        EXPECT_EQ(dropped_log_lines(), 0U);
    }
    ::alarm(0);
}

TEST_F(LogTo, ASocketThatIsFullDropsToo) {
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_), 0);
    ::alarm(30);
    std::size_t written = 0;
    while (write_unblocked(ends_[1], std::string(1000, 'x')) && written < 100000) ++written;
    EXPECT_GT(written, 1U);
    EXPECT_LT(written, 100000U);
    ::alarm(0);
}

TEST_F(LogTo, APipeWithoutReaderRaisesNoSignal) {
    ASSERT_EQ(::pipe(ends_), 0);
    ::close(std::exchange(ends_[0], -1));
    EXPECT_FALSE(write_unblocked(ends_[1], "lost\n"));
    sigset_t pending;
    ::sigpending(&pending);
    EXPECT_EQ(::sigismember(&pending, SIGPIPE), 0);
}

TEST_F(LogTo, ATerminalThatIsStoppedDropsToo) {
    ends_[0] = ::posix_openpt(O_RDWR | O_NOCTTY);
    if (ends_[0] < 0 || ::grantpt(ends_[0]) != 0 || ::unlockpt(ends_[0]) != 0) {
        GTEST_SKIP() << "no terminals here";
    }
    ends_[1] = ::open(::ptsname(ends_[0]), O_RDWR | O_NOCTTY);
    ASSERT_GE(ends_[1], 0);
    ::alarm(30);
    std::size_t written = 0;
    while (write_unblocked(ends_[1], std::string(1000, 'x')) && written < 100000) ++written;
    EXPECT_GT(written, 1U);
    EXPECT_LT(written, 100000U);
    EXPECT_EQ(::fcntl(ends_[1], F_GETFL) & O_NONBLOCK, 0);
    ::alarm(0);
}

TEST(WriteUnblocked, RefusesClosedDescriptorsAndLongLines) {
    EXPECT_FALSE(write_unblocked(-1, "x"));
    EXPECT_FALSE(write_unblocked(STDERR_FILENO, std::string(5000, 'x')));
}

}  // namespace
}  // namespace corodump::base
