#include "agent/base/fd.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>

namespace corodump::base {
namespace {

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) != -1;
}

TEST(UniqueFd, ClosesOnceAndMoves) {
    int raw = -1;
    {
        result<unique_fd> opened = open_file("/dev/null");
        ASSERT_TRUE(opened.ok());
        raw = opened->get();
        EXPECT_EQ(::fcntl(raw, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        unique_fd other(std::move(*opened));
        EXPECT_EQ(other.get(), raw);
        EXPECT_FALSE(*opened);
        EXPECT_TRUE(is_open(raw));
    }
    EXPECT_FALSE(is_open(raw));
}

TEST(UniqueFd, ReleasesWithoutClosing) {
    result<unique_fd> opened = open_file("/dev/null");
    ASSERT_TRUE(opened.ok());
    const int raw = opened->release();
    opened->reset();
    EXPECT_TRUE(is_open(raw));
    ::close(raw);
}

TEST(ReadFile, ReadsAllOrTheBeginning) {
    char path[] = "/tmp/corodump-fd-XXXXXX";
    const int fd = ::mkstemp(path);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::write(fd, "0123456789", 10), 10);
    char buffer[64];
    EXPECT_EQ(read_file_into(path, buffer).value(), 10U);
    EXPECT_EQ(std::string(buffer, 10), "0123456789");
    EXPECT_EQ(read_file_into(path, std::span(buffer, 4)).value(), 4U);
    EXPECT_EQ(pread_full(fd, std::span(buffer, 20), 7).value(), 3U);
    EXPECT_EQ(std::string(buffer, 3), "789");
    ::close(fd);
    ::unlink(path);
}

TEST(ReadFile, ReturnsTheErrno) {
    char buffer[8];
    EXPECT_EQ(read_file_into("/no/such/file", buffer).error(), ENOENT);
    EXPECT_EQ(read_file_into("/tmp", buffer).error(), EISDIR);
    EXPECT_EQ(pread_full(-1, buffer, 0).error(), EBADF);
    EXPECT_STREQ(error_text(ENOENT), "No such file or directory");
    EXPECT_STREQ(error_text(123456), "unknown error");
}

TEST(Result, HoldsAValueOrAnError) {
    const result<int> good = 3;
    const result<int> bad = failure{EIO};
    EXPECT_TRUE(good.ok());
    EXPECT_EQ(*good, 3);
    EXPECT_FALSE(bad.ok());
    EXPECT_EQ(bad.error(), EIO);
    EXPECT_EQ(bad.value_or(7), 7);
    EXPECT_TRUE(result<void>{}.ok());
    EXPECT_EQ(result<void>(failure{EPERM}).error(), EPERM);
}

}  // namespace
}  // namespace corodump::base
