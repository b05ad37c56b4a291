#include "agent/base/dump_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/unit/child_process.hpp"

namespace corodump::base {
namespace {

namespace fs = std::filesystem;
constexpr char name[] = "corodump-orderd-7-20261122T105912Z-1.json";

using test::run_in_child;

std::span<const char> bytes(std::string_view text) {
    return {text.data(), text.size()};
}

/// Each test runs both ways: with O_TMPFILE, and as on a file system without it (chaos 37).
class DumpFile : public ::testing::TestWithParam<bool> {
protected:
    void SetUp() override {
        char pattern[] = "/tmp/corodump-test-XXXXXX";
        ASSERT_NE(nullptr, mkdtemp(pattern));
        directory_ = pattern;
        if (!GetParam()) file_.pretend_no_tmpfile();
    }
    void TearDown() override {
        file_.abort();
        fs::remove_all(directory_);
    }

    [[nodiscard]] file_result open() { return file_.open(directory_.c_str(), name); }
    [[nodiscard]] file_result dump(std::string_view text) {
        file_result result = open();
        if (result.ok()) result = file_.write(bytes(text));
        return result.ok() ? file_.publish() : result;
    }
    [[nodiscard]] std::string path() const { return directory_ + "/" + name; }
    [[nodiscard]] std::string content() const {
        std::ifstream in{path(), std::ios::binary};
        return {std::istreambuf_iterator<char>{in}, {}};
    }
    [[nodiscard]] std::vector<std::string> entries() const {
        std::vector<std::string> found;
        for (const auto& entry : fs::directory_iterator{directory_})
            found.push_back(entry.path().filename());
        return found;
    }

    std::string directory_;
    dump_file file_;
};
INSTANTIATE_TEST_SUITE_P(Way, DumpFile, ::testing::Bool(), [](const auto& way) {
    return way.param ? "WithTmpfile" : "WithTemporaryName";
});

TEST_P(DumpFile, HasItsNameOnlyWhenItIsWhole) {
    ASSERT_TRUE(open().ok());
    ASSERT_TRUE(file_.write(bytes("{\"tasks\":")).ok());
    EXPECT_FALSE(fs::exists(path()));
    ASSERT_TRUE(file_.write(bytes("[]}")).ok());
    EXPECT_FALSE(fs::exists(path()));
    ASSERT_TRUE(file_.publish().ok());
    EXPECT_EQ("{\"tasks\":[]}", content());
    EXPECT_EQ(12U, file_.size_bytes());
    EXPECT_FALSE(file_.is_open());
    EXPECT_EQ(1U, entries().size());
}

TEST_P(DumpFile, LeavesNothingAfterAbort) {
    ASSERT_TRUE(open().ok());
    ASSERT_TRUE(file_.write(bytes("half")).ok());
    file_.abort();
    EXPECT_TRUE(entries().empty());
    EXPECT_EQ(EBADF, file_.publish().error);
    EXPECT_EQ(EBADF, file_.write(bytes("more")).error);
}

// Chaos 41.
TEST_P(DumpFile, IsPrivateWhateverTheUmask) {
    for (const mode_t mask : {0000U, 0077U, 0777U}) {
        const mode_t before = umask(mask);
        const file_result result = dump("x");
        umask(before);
        ASSERT_TRUE(result.ok()) << result.what;
        struct stat status{};
        ASSERT_EQ(0, stat(path().c_str(), &status));
        EXPECT_EQ(0600U, status.st_mode & 07777U);
        ASSERT_EQ(0, unlink(path().c_str()));
    }
}

// Chaos 39.
TEST_P(DumpFile, TouchesNothingThatIsPlantedAtItsName) {
    const std::string victim = directory_ + "/victim";
    std::ofstream{victim} << "untouched";
    const auto expect_refused = [&](const char* what) {
        EXPECT_EQ(EEXIST, dump("x").error) << what;
        file_.abort();
        EXPECT_EQ("untouched", (std::ifstream{victim} >> std::ws,
                                [&] {
                                    std::ifstream in{victim};
                                    return std::string{std::istreambuf_iterator<char>{in}, {}};
                                }()))
            << what;
        ASSERT_EQ(0, unlink(path().c_str()));
        EXPECT_EQ(1U, entries().size()) << what;
    };
    ASSERT_EQ(0, symlink(victim.c_str(), path().c_str()));
    expect_refused("symbolic link");
    ASSERT_EQ(0, symlink("nowhere", path().c_str()));
    expect_refused("dangling symbolic link");
    ASSERT_EQ(0, link(victim.c_str(), path().c_str()));
    expect_refused("hard link");
    ASSERT_EQ(0, mkfifo(path().c_str(), 0666));
    expect_refused("FIFO");
}

TEST_P(DumpFile, TakesAnotherNameWhenItsOwnIsTaken) {
    std::ofstream{path()} << "other";
    EXPECT_EQ(EEXIST, dump("whole").error);
    ASSERT_TRUE(file_.publish_as("second.json").ok());
    EXPECT_EQ("other", content());
    std::ifstream in{directory_ + "/second.json"};
    EXPECT_EQ("whole", (std::string{std::istreambuf_iterator<char>{in}, {}}));
    EXPECT_EQ(2U, entries().size());
}

TEST_P(DumpFile, RefusesWhatIsNoFileName) {
    for (const std::string bad : {"", ".", "..", "a/b", "../x", "/x"}) {
        EXPECT_EQ(EINVAL, file_.open(directory_.c_str(), bad).error) << bad;
    }
    EXPECT_EQ(EINVAL, file_.open(directory_.c_str(), std::string(256, 'x')).error);
    EXPECT_TRUE(entries().empty());
}

// Chaos 36.
TEST_P(DumpFile, SaysWhyADirectoryCannotBeUsed) {
    const file_result missing = file_.open((directory_ + "/none").c_str(), name);
    EXPECT_EQ(ENOENT, missing.error);
    EXPECT_STREQ("cannot open the dump directory", missing.what);
    std::ofstream{directory_ + "/file"} << "";
    EXPECT_EQ(ENOTDIR, file_.open((directory_ + "/file").c_str(), name).error);
    EXPECT_EQ(0, run_in_child([this] {
                  REQUIRE(chown(directory_.c_str(), 65534, 65534) == 0);
                  REQUIRE(chmod(directory_.c_str(), 0500) == 0);
                  REQUIRE(setresuid(65534, 65534, 65534) == 0);
                  REQUIRE(open().error == EACCES);
              }));
}

// Chaos 40.
TEST_P(DumpFile, RefusesADirectoryThatOthersRule) {
    ASSERT_EQ(0, chmod(directory_.c_str(), 0777));
    const file_result open_to_all = open();
    EXPECT_EQ(EPERM, open_to_all.error);
    EXPECT_STREQ("the dump directory is writable by everybody and not sticky", open_to_all.what);
    ASSERT_EQ(0, chmod(directory_.c_str(), 01777));
    EXPECT_TRUE(open().ok());
    file_.abort();
    if (geteuid() != 0) GTEST_SKIP() << "giving the directory away needs root";
    ASSERT_EQ(0, chown(directory_.c_str(), 65534, 65534));
    EXPECT_EQ(EPERM, open().error);
    EXPECT_STREQ("the dump directory belongs to another user", open().what);
    EXPECT_TRUE(entries().empty());
}

// Chaos 34.
TEST_P(DumpFile, ReportsTheFileSizeLimit) {
    EXPECT_EQ(0, run_in_child([this] {
                  sigset_t set;
                  sigemptyset(&set);
                  sigaddset(&set, SIGXFSZ);
                  pthread_sigmask(SIG_BLOCK, &set, nullptr);  // as on the watchdog
                  const rlimit limit{1000, 1000};
                  REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
                  REQUIRE(open().ok());
                  const file_result result = file_.write(bytes(std::string(4000, 'x')));
                  REQUIRE(result.error == EFBIG);
                  REQUIRE(file_.size_bytes() == 1000);  // the short write was counted
                  file_.abort();
              }));
    EXPECT_TRUE(entries().empty());
}

// Chaos 33.
TEST_P(DumpFile, LeavesNothingOnAFullFileSystemAndWorksAfterwards) {
    if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
    EXPECT_EQ(
        0, run_in_child([this] {
            REQUIRE(unshare(CLONE_NEWNS) == 0);
            REQUIRE(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
            REQUIRE(mount("tmpfs", directory_.c_str(), "tmpfs", 0, "size=64k,mode=0700") == 0);
            const std::string large(200'000, 'x');
            REQUIRE(dump(large).error == ENOSPC);
            file_.abort();
            REQUIRE(entries().empty());
            REQUIRE(dump("small").ok());
            REQUIRE(content() == "small");
        }));
}

TEST_P(DumpFile, WritesWhereProcIsNotMounted) {
    if (geteuid() != 0) GTEST_SKIP() << "chroot needs root";
    EXPECT_EQ(0, run_in_child([this] {
                  REQUIRE(chroot(directory_.c_str()) == 0);
                  REQUIRE(file_.open("/", name).ok());
                  REQUIRE(file_.write(bytes("x")).ok());
                  REQUIRE(file_.publish().ok());
              }));
    EXPECT_EQ("x", content());
    EXPECT_EQ(1U, entries().size());
}

TEST_P(DumpFile, IsPublishedWithoutPrivileges) {
    EXPECT_EQ(0, run_in_child([this] {
                  REQUIRE(geteuid() != 0 || chmod(directory_.c_str(), 01777) == 0);
                  REQUIRE(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
                  REQUIRE(dump("x").ok());
              }));
    EXPECT_EQ("x", content());
}

void use_up_descriptors() {
    while (::open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) {
    }
    REQUIRE(errno == EMFILE);
}

// Chaos 35.
TEST_P(DumpFile, WritesFromReservedDescriptors) {
    // Nothing of the fixture's is called below: UBSan checks its type through a pipe.
    EXPECT_EQ(0, run_in_child([&file = file_, directory = directory_, path = path()] {
                  const rlimit limit{32, 32};
                  REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
                  reserved_descriptors reserve;
                  REQUIRE(reserve.reserve().ok() && reserve.held() == 2);
                  use_up_descriptors();
                  REQUIRE(file.open(directory.c_str(), name).error == EMFILE);
                  for (int i = 0; i < 3; ++i) {
                      REQUIRE(file.open(directory.c_str(), name, &reserve).ok());
                      REQUIRE(reserve.held() == 0);
                      REQUIRE(file.write(bytes("whole")).ok());
                      REQUIRE(file.publish().ok());
                      REQUIRE(reserve.reserve().ok() && reserve.held() == 2);
                      REQUIRE(i == 2 || unlink(path.c_str()) == 0);
                  }
              }));
    EXPECT_EQ("whole", content());
}

// Chaos 61, as far as this file goes.
TEST(ReservedDescriptors, LeaveDescriptorsOfTheHostAlone) {
    EXPECT_EQ(0, run_in_child([] {
                  reserved_descriptors reserve;
                  REQUIRE(reserve.reserve().ok());
                  REQUIRE(close_range(3, ~0U, 0) == 0);
                  int host[2];
                  REQUIRE(pipe(host) == 0);  // takes the very numbers, and is a pipe as well
                  REQUIRE(reserve.held() == 0);
                  reserve.release();
                  REQUIRE(fcntl(host[0], F_GETFD) == 0 && fcntl(host[1], F_GETFD) == 0);
                  REQUIRE(reserve.reserve().ok() && reserve.held() == 2);
              }));
}

// Chaos 38: a process killed at any moment leaves no short file under a final name.
TEST_P(DumpFile, IsNeverShortAfterAKill) {
    const std::string whole(100'000, 'x');
    for (int round = 0; round < 50; ++round) {
        int progress[2];
        ASSERT_EQ(0, pipe(progress));
        const pid_t child = fork();
        if (child == 0) {
            for (unsigned i = 0;; ++i) {
                char text[64];
                snprintf(text, sizeof(text), "final-%u.json", i);
                REQUIRE(file_.open(directory_.c_str(), text).ok());
                for (std::size_t at = 0; at < whole.size(); at += 1000)
                    REQUIRE(file_.write({whole.data() + at, 1000}).ok());
                REQUIRE(file_.publish().ok());
                REQUIRE(write(progress[1], "p", 1) == 1);
            }
        }
        char byte = 0;
        for (int i = 0; i <= round % 5; ++i) ASSERT_EQ(1, read(progress[0], &byte, 1));
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        close(progress[0]);
        close(progress[1]);
        for (const auto& entry : fs::directory_iterator{directory_}) {
            const std::string file = entry.path().filename();
            if (file.starts_with("final-")) {
                ASSERT_EQ(whole.size(), fs::file_size(entry)) << file;
            }
            fs::remove(entry);
        }
    }
}

std::string built(const dump_name_parts& parts) {
    char buffer[max_file_name_bytes];
    return std::string{final_name(buffer, parts)};
}

TEST(FinalName, FollowsTheFormat) {
    EXPECT_EQ("corodump-orderd-4242-20261122T105912Z-3.json",
              built({"orderd", 4242, 1795345152, 3}));
    EXPECT_EQ("corodump-a-1-19700101T000000Z-1.json", built({"a", 1, 0, 1}));
    EXPECT_EQ("corodump-a-1-20000229T235959Z-1.json", built({"a", 1, 951868799, 1}));
    EXPECT_EQ("corodump-a-1-21000301T000000Z-1.json", built({"a", 1, 4107542400, 1}));
}

TEST(FinalName, AgreesWithTheCLibraryOnEveryDay) {
    for (std::int64_t day = 0; day < 80'000; ++day) {
        const time_t at = day * 86400 + day % 86400;
        tm parts{};
        gmtime_r(&at, &parts);
        char expected[64];
        strftime(expected, sizeof(expected), "corodump-a-1-%Y%m%dT%H%M%SZ-1.json", &parts);
        ASSERT_EQ(expected, built({"a", 1, at, 1}));
    }
}

TEST(FinalName, ReplacesWhatIsNotPlain) {
    EXPECT_EQ("corodump-my_app_2.1-x-1-19700101T000000Z-1.json", built({"my app/2.1-x", 1, 0, 1}));
    EXPECT_EQ("corodump-______-1-19700101T000000Z-1.json", built({"\n\x1b\xff\"\\\x7f", 1, 0, 1}));
    EXPECT_EQ("corodump-_-1-19700101T000000Z-1.json", built({"", 1, 0, 1}));
}

TEST(FinalName, IsEmptyWhereItDoesNotFit) {
    char small[20];
    EXPECT_TRUE(final_name(small, {"orderd", 1, 0, 1}).empty());
}

}  // namespace
}  // namespace corodump::base
