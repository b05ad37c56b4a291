#include "agent/base/retention.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "agent/base/dump_file.hpp"

namespace corodump::base {
namespace {

namespace fs = std::filesystem;
constexpr std::int64_t start = 1795345152;  // 2026-11-22 10:59:12

std::string dump_name(std::int64_t at, std::uint64_t sequence, std::string_view comm = "orderd",
                      std::int64_t pid = 7) {
    char buffer[max_file_name_bytes];
    return std::string{final_name(buffer, {comm, pid, at, sequence})};
}

class Retention : public ::testing::Test {
protected:
    void SetUp() override {
        char pattern[] = "/tmp/corodump-test-XXXXXX";
        ASSERT_NE(nullptr, mkdtemp(pattern));
        directory_ = pattern;
    }
    void TearDown() override { fs::remove_all(directory_); }

    [[nodiscard]] std::string path(const std::string& name) const {
        return directory_ + "/" + name;
    }
    void make(const std::string& name) const { std::ofstream{path(name)} << "{}"; }
    [[nodiscard]] bool exists(const std::string& name) const {
        return fs::symlink_status(path(name)).type() != fs::file_type::not_found;
    }
    [[nodiscard]] retention_result apply(unsigned max_files) const {
        return apply_retention(directory_.c_str(), "orderd", max_files);
    }
    [[nodiscard]] std::vector<std::string> names() const {
        std::vector<std::string> found;
        for (const auto& entry : fs::directory_iterator{directory_})
            found.push_back(entry.path().filename());
        std::sort(found.begin(), found.end());
        return found;
    }

    std::string directory_;
};

// Chaos 42.
TEST_F(Retention, HoldsItsLimitOverAThousandDumps) {
    for (unsigned i = 1; i <= 1000; ++i) {
        make(dump_name(start + i / 3, i));
        const auto result = apply(20);
        ASSERT_EQ(0, result.error);
        ASSERT_EQ(std::min(i, 20U), result.kept);
        ASSERT_EQ(i > 20 ? 1U : 0U, result.removed);
    }
    for (unsigned i = 981; i <= 1000; ++i) EXPECT_TRUE(exists(dump_name(start + i / 3, i)));
    EXPECT_EQ(20U, names().size());
}

TEST_F(Retention, RemovesTheOldestByTimeThenSequence) {
    make(dump_name(start + 10, 1));
    make(dump_name(start, 10));  // sorts before 9 as text
    make(dump_name(start, 9));
    make(dump_name(start - 1, 99));
    EXPECT_EQ(2U, apply(2).removed);
    EXPECT_EQ((std::vector<std::string>{dump_name(start, 10), dump_name(start + 10, 1)}), names());
}

// Chaos 60: the wall clock was set back.
TEST_F(Retention, KeepsTheDumpJustWrittenAndRemovesThoseFromTheFutureFirst) {
    for (unsigned i = 1; i <= 3; ++i) make(dump_name(start + 86400, i));
    make(dump_name(start - 1, 4));
    make(dump_name(start + 59, 5));  // a neighbour's clock, not the future
    const std::string written = dump_name(start, 6);
    make(written);
    const auto result =
        apply_retention(directory_.c_str(), "orderd", 4, retention_moment{written, start});
    EXPECT_EQ(4U, result.kept);
    EXPECT_EQ(2U, result.removed);
    EXPECT_EQ((std::vector<std::string>{dump_name(start - 1, 4), written, dump_name(start + 59, 5),
                                        dump_name(start + 86400, 3)}),
              names());
    static_cast<void>(
        apply_retention(directory_.c_str(), "orderd", 1, retention_moment{written, start}));
    EXPECT_EQ((std::vector<std::string>{written}), names());
}

TEST_F(Retention, WorksOffALargeBacklogInAnyOrder) {
    std::vector<unsigned> order(1000);
    for (unsigned i = 0; i < order.size(); ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), std::mt19937{42});
    for (const unsigned i : order) make(dump_name(start + i, 1));
    const auto result = apply(10);
    EXPECT_TRUE(result.complete);
    EXPECT_EQ(990U, result.removed);
    EXPECT_EQ(10U, result.kept);
    for (unsigned i = 990; i < 1000; ++i) EXPECT_TRUE(exists(dump_name(start + i, 1)));
}

TEST_F(Retention, CountsDumpsOfEarlierProcessesOfTheService) {
    make(dump_name(start, 1, "orderd", 7));
    make(dump_name(start + 1, 1, "orderd", 8));
    EXPECT_EQ(1U, apply(1).removed);
    EXPECT_TRUE(exists(dump_name(start + 1, 1, "orderd", 8)));
}

TEST_F(Retention, RemovesNothingThatIsNotOurs) {
    const std::vector<std::string> others{
        dump_name(start, 1, "other"),
        dump_name(start, 1, "orderd-2"),
        dump_name(start, 1, "order"),
        dump_name(start, 1) + ".gz",
        "x" + dump_name(start, 1),
        "corodump-orderd-7-20261122T105912Z-1.jso",
        "corodump-orderd-7-20261122T105912Z-.json",
        "corodump-orderd-7-20261122T105912Z-01.json",
        "corodump-orderd-07-20261122T105912Z-1.json",
        "corodump-orderd--7-20261122T105912Z-1.json",
        "corodump-orderd-7-20261122 105912Z-1.json",
        "corodump-orderd-7-2026112T105912Z-1.json",
        "corodump-orderd-7-20261122T105912Z-99999999999999999999999.json",
        "notes.txt",
    };
    for (const auto& name : others) make(name);
    for (unsigned i = 0; i < 5; ++i) make(dump_name(start + 100 + i, 1));
    const auto result = apply(1);
    EXPECT_EQ(4U, result.removed);
    EXPECT_EQ(1U, result.kept);
    for (const auto& name : others) EXPECT_TRUE(exists(name)) << name;
}

TEST_F(Retention, RemovesRegularFilesOnly) {
    make("target");
    ASSERT_EQ(0, symlink(path("target").c_str(), path(dump_name(start, 1)).c_str()));
    ASSERT_EQ(0, mkfifo(path(dump_name(start, 2)).c_str(), 0600));
    ASSERT_TRUE(fs::create_directory(path(dump_name(start, 3))));
    make(dump_name(start, 4));
    make(dump_name(start, 5));
    EXPECT_EQ(1U, apply(1).removed);
    for (const unsigned i : {1U, 2U, 3U, 5U}) EXPECT_TRUE(exists(dump_name(start, i))) << i;
    EXPECT_TRUE(exists("target"));
}

TEST_F(Retention, LeavesFilesOfOtherUsers) {
    if (geteuid() != 0) GTEST_SKIP() << "giving a file away needs root";
    make(dump_name(start, 1));
    ASSERT_EQ(0, chown(path(dump_name(start, 1)).c_str(), 65534, 65534));
    make(dump_name(start, 2));
    make(dump_name(start, 3));
    const auto result = apply(1);
    EXPECT_EQ(1U, result.removed);
    EXPECT_EQ(1U, result.kept);
    EXPECT_TRUE(exists(dump_name(start, 1)));
}

TEST_F(Retention, KeepsAllWithoutALimit) {
    for (unsigned i = 1; i <= 5; ++i) make(dump_name(start, i));
    EXPECT_EQ(0U, apply(0).removed);
    EXPECT_EQ(5U, names().size());
}

TEST_F(Retention, ClearsTemporariesOfKilledProcessesAfterAnHour) {
    const std::string stale = "." + dump_name(start, 1) + ".tmp";
    const std::string fresh = "." + dump_name(start, 2) + ".tmp";
    const std::string other = "." + dump_name(start, 1, "other") + ".tmp";
    for (const auto& name : {stale, fresh, other}) make(name);
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    const timespec old[2] = {{now.tv_sec - 4000, 0}, {now.tv_sec - 4000, 0}};
    ASSERT_EQ(0, utimensat(AT_FDCWD, path(stale).c_str(), old, 0));
    ASSERT_EQ(0, utimensat(AT_FDCWD, path(other).c_str(), old, 0));
    EXPECT_EQ(0, apply(1).error);
    EXPECT_FALSE(exists(stale));
    EXPECT_TRUE(exists(fresh));
    EXPECT_TRUE(exists(other));
}

TEST_F(Retention, SaysWhenTheDirectoryCannotBeRead) {
    const auto result = apply_retention(path("none").c_str(), "orderd", 1);
    EXPECT_EQ(ENOENT, result.error);
    EXPECT_FALSE(result.complete);
}

TEST_F(Retention, MatchesTheSanitisedCommand) {
    make(dump_name(start, 1, "my app"));
    make(dump_name(start, 2, "my app"));
    EXPECT_EQ(1U, apply_retention(directory_.c_str(), "my app", 1).removed);
}

}  // namespace
}  // namespace corodump::base
