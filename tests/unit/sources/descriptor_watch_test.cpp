#include "agent/sources/descriptor_watch.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace corodump::sources {
namespace {

constexpr std::int64_t second = 1'000'000'000;

std::size_t number(int descriptor) {
    return static_cast<std::size_t>(descriptor);
}

class DescriptorWatch : public ::testing::Test {
protected:
    void SetUp() override { ASSERT_EQ(watch.begin(second), 0); }

    descriptor_watch watch;
};

TEST_F(DescriptorWatch, KnowsThoseFromTheStart) {
    EXPECT_EQ(watch.first_seen_ns(1), second);
    EXPECT_TRUE(watch.from_the_start(1));
    EXPECT_EQ(watch.totals().opened, 0U);
    EXPECT_GE(watch.totals().live, 1U);
}

TEST_F(DescriptorWatch, TellsSinceWhenOneIsOpen) {
    const std::uint64_t before = watch.totals().live;
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    EXPECT_EQ(watch.first_seen_ns(number(pair[1])), -1);
    watch.look_at_all(5 * second);
    watch.look_at_all(9 * second);
    EXPECT_EQ(watch.first_seen_ns(number(pair[0])), 5 * second);
    EXPECT_FALSE(watch.from_the_start(number(pair[0])));
    EXPECT_EQ(watch.totals().live, before + 2);
    EXPECT_EQ(watch.totals().opened, 2U);
    close(pair[0]);
    close(pair[1]);
    watch.look_at_all(10 * second);
    EXPECT_EQ(watch.first_seen_ns(number(pair[0])), -1);
    EXPECT_EQ(watch.totals().live, before);
    EXPECT_EQ(watch.totals().peak, before + 2);
}

TEST_F(DescriptorWatch, ANumberThatComesBackAsSomethingElseIsAnother) {
    const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    watch.look_at_all(5 * second);
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    ASSERT_EQ(dup2(ends[0], file), file);
    watch.look_at_all(6 * second);
    EXPECT_EQ(watch.first_seen_ns(number(file)), 6 * second);
    for (const int one : {file, ends[0], ends[1]}) close(one);
}

TEST_F(DescriptorWatch, AFileThatIsDeletedStaysTheSame) {
    char path[] = "/tmp/descriptor_watch_XXXXXX";
    const int file = mkostemp(path, O_CLOEXEC);
    ASSERT_GE(file, 0);
    watch.look_at_all(5 * second);
    unlink(path);
    watch.look_at_all(6 * second);
    EXPECT_EQ(watch.first_seen_ns(number(file)), 5 * second);
    char buffer[256];
    EXPECT_EQ(descriptor_watch::target_of(number(file), buffer), std::string(path) + " (deleted)");
    close(file);
    EXPECT_EQ(descriptor_watch::target_of(number(file), buffer), "");
}

TEST_F(DescriptorWatch, LooksAtAPartOfManyAtATick) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::max<rlim_t>(limit.rlim_cur, std::min<rlim_t>(limit.rlim_max, 2048));
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    std::vector<int> open;
    for (int i = 0; i < 1500; ++i) {
        open.push_back(fcntl(0, F_DUPFD_CLOEXEC, 0));
        ASSERT_GE(open.back(), 0);
    }
    watch.look(20 * second);
    EXPECT_LT(watch.totals().live, 1500U);
    watch.look(20 * second);
    watch.look(20 * second);
    EXPECT_GE(watch.totals().live, 1500U);
    EXPECT_EQ(watch.first_seen_ns(number(open.back())), 20 * second);
    for (const int one : open) close(one);
}

TEST_F(DescriptorWatch, KeepsWhatItKnowsWhereNoDescriptorIsLeft) {
    const std::uint64_t live = watch.totals().live;
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    const rlimit none{0, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    watch.look_at_all(5 * second);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(watch.totals().live, live);
    EXPECT_EQ(watch.first_seen_ns(1), second);
}

TEST_F(DescriptorWatch, WaitsASecondBetweenPasses) {
    watch.look(20 * second);
    const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    watch.look(20 * second + second / 2);
    EXPECT_EQ(watch.first_seen_ns(number(file)), -1);
    watch.look(22 * second);
    EXPECT_EQ(watch.first_seen_ns(number(file)), 22 * second);
    close(file);
}

}  // namespace
}  // namespace corodump::sources
