// Cases 33 to 42: the dump's file. Full disks, limits, closed and hostile directories, names that
// are taken, kills in the middle: either a whole file under the final name or one clear line.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <corodump/agent.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/chaos/chaos_host.hpp"
#include "tests/chaos/orders.hpp"
#include "tests/chaos/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using orders::count_of;
using orders::expect_orders;
using orders::expect_unharmed;
using orders::scratch;

constexpr uid_t nobody = 65534;
constexpr int many_orders = 2'000;  // a dump of more than 1 MiB

/// Both ways to make a file that has its name only when it is whole.
class ChaosFiles : public testing::TestWithParam<bool> {
protected:
    [[nodiscard]] static chaos::setup in(const std::string& directory) {
        chaos::setup with;
        with.directory = directory;
        return with;
    }
    /// In the host, first.
    static void choose_way(bool with_tmpfile) {
        if (!with_tmpfile) chaos::refuse({chaos::no_tmpfile});
    }
};
INSTANTIATE_TEST_SUITE_P(Way, ChaosFiles, testing::Bool(), [](const auto& way) {
    return way.param ? "WithTmpfile" : "WithTemporaryName";
});

void serve_many() {
    const corodump::agent agent;
    orders::service waiting(many_orders);
    chaos::tell("ready");
    orders::serve(waiting);
}

/// A file system of the test's own, in a mount namespace that dies with the test's process.
class small_file_system {
public:
    small_file_system(const std::string& at, const char* options) : at_(at) {
        if (unshare(CLONE_NEWNS) != 0 ||
            mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            mount("tmpfs", at.c_str(), "tmpfs", 0, options) != 0)
            error_ = errno;
    }
    small_file_system(const small_file_system&) = delete;
    small_file_system& operator=(const small_file_system&) = delete;
    ~small_file_system() {
        if (error_ == 0) umount2(at_.c_str(), MNT_DETACH);
    }
    [[nodiscard]] int error() const { return error_; }
    void remount(const char* options, unsigned long flags = 0) const {
        EXPECT_EQ(mount("tmpfs", at_.c_str(), "tmpfs", MS_REMOUNT | flags, options), 0);
    }

private:
    std::string at_;
    int error_ = 0;
};

/// The signal makes one line, which says why, and no file.
void expect_clear_failure(chaos::host& host, const std::string& why) {
    const int before = count_of(host.errors(), "no dump");
    host.signal(SIGUSR1);
    const std::string line = host.await_error(why);
    EXPECT_NE(line.find("corodump error: no dump: "), std::string::npos) << line;
    EXPECT_NE(line.find(host.directory()), std::string::npos) << line;
    host.expect_answers();
    EXPECT_EQ(count_of(host.errors(), "no dump"), before + 1) << host.errors();
}

TEST_P(ChaosFiles, Case33_AFullFileSystemLeavesNoFileAndTheNextDumpWorks) {
    const scratch place;
    const small_file_system small(place.path(), "size=128k");
    if (small.error() != 0) GTEST_SKIP() << "no tmpfs can be mounted: " << strerror(small.error());
    chaos::host host(
        [way = GetParam()] {
            choose_way(way);
            serve_many();
        },
        in(place.path()));
    host.await_ready();
    expect_clear_failure(host, strerror(ENOSPC));
    EXPECT_TRUE(chaos::files_in(place.path()).empty());
    small.remount("size=64m");
    expect_orders(host.signal_and_await_dump(), many_orders);
    EXPECT_EQ(chaos::files_in(place.path()).size(), 1U);
    expect_unharmed(host);
}

TEST_P(ChaosFiles, Case34_TheFileSizeLimitIsReportedAndKillsNobody) {
    chaos::host host([way = GetParam()] {
        choose_way(way);
        rlimit limit{};
        CHAOS_REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
        const rlimit tight{4096, limit.rlim_max};
        CHAOS_REQUIRE(setrlimit(RLIMIT_FSIZE, &tight) == 0);
        const corodump::agent agent;
        orders::service waiting(many_orders);
        chaos::tell("ready");
        for (std::string_view word; (word = chaos::hear()) != "raise";) chaos::tell("pong");
        CHAOS_REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        chaos::tell("raised");
        orders::serve(waiting);
    });
    host.await_ready();
    expect_clear_failure(host, strerror(EFBIG));
    EXPECT_TRUE(chaos::files_in(host.directory()).empty());
    host.say("raise");
    host.await("raised");
    expect_orders(host.signal_and_await_dump(), many_orders);
    expect_unharmed(host);
}

/// Opens descriptors until there are none; returns those it got.
std::vector<int> take_all_descriptors() {
    std::vector<int> taken;
    for (int fd; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) taken.push_back(fd);
    CHAOS_REQUIRE(errno == EMFILE);
    return taken;
}

bool are_all_open(const std::vector<int>& descriptors) {
    return std::ranges::all_of(descriptors, [](int fd) { return fcntl(fd, F_GETFD) >= 0; });
}

TEST(Chaos, Case35_OutOfDescriptorsItDumpsFromItsReserve) {
    ORDERS_NOT_UNDER_ASAN();
    chaos::setup with;
    with.limits = {{RLIMIT_NOFILE, 40}};
    chaos::host host(
        [] {
            const corodump::agent agent;
            orders::service waiting;
            const std::vector<int> taken = take_all_descriptors();
            chaos::tell("ready");
            orders::serve(waiting);
            CHAOS_REQUIRE(are_all_open(taken));
        },
        with);
    host.await_ready();
    for (int i = 0; i < 3; ++i) {
        host.signal(SIGUSR1);
        expect_orders(support::read_dump(host.await_dump()));
    }
    expect_unharmed(host);
}

TEST(Chaos, Case35_OutOfDescriptorsAndReserveItSaysSo) {
    ORDERS_NOT_UNDER_ASAN();
    chaos::setup with;
    with.limits = {{RLIMIT_NOFILE, 40}};
    chaos::host host(
        [] {
            const corodump::agent agent;
            orders::service waiting;
            close_range(3, ~0U, 0);  // the reserve too
            std::vector<int> taken = take_all_descriptors();
            chaos::tell("ready");
            for (std::string_view word; (word = chaos::hear()) != "free";) chaos::tell("pong");
            CHAOS_REQUIRE(are_all_open(taken));
            for (const int fd : taken) close(fd);
            chaos::tell("freed");
            orders::serve(waiting);
        },
        with);
    host.await_ready();
    expect_clear_failure(host, strerror(EMFILE));
    host.say("free");
    host.await("freed");
    expect_orders(host.signal_and_await_dump());
    expect_unharmed(host);
}

/// Signals, and takes the path from the log line: the directory may not have been there to watch.
std::string dump_by_log(chaos::host& host, int orders = 3) {
    const std::string dumped = "dumped " + std::to_string(orders) + " tasks to ";
    host.signal(SIGUSR1);
    const std::string line = host.await_error(dumped);
    const std::size_t at = line.find(dumped);
    if (at == std::string::npos) return {};
    const std::size_t begin = at + dumped.size();
    return line.substr(begin, line.find(" in ", begin) - begin);
}

TEST(Chaos, Case36_AMissingDirectoryIsReportedAndTheNextDumpWorks) {
    const scratch place;
    chaos::setup with;
    with.directory = place.file("missing");
    chaos::host host(orders::run, with);
    host.await_ready();
    expect_clear_failure(host, strerror(ENOENT));
    std::ofstream(with.directory) << "a file";
    expect_clear_failure(host, strerror(ENOTDIR));
    fs::remove(with.directory);
    fs::create_directory(with.directory);
    expect_orders(support::read_dump(dump_by_log(host)));
    expect_unharmed(host);
}

TEST(Chaos, Case36_AReadOnlyDirectoryIsReportedAndTheNextDumpWorks) {
    const scratch place;
    const small_file_system small(place.path(), "size=64m");
    if (small.error() != 0) GTEST_SKIP() << "no tmpfs can be mounted: " << strerror(small.error());
    chaos::setup with;
    with.directory = place.path();
    chaos::host host(orders::run, with);
    host.await_ready();
    small.remount(nullptr, MS_RDONLY);
    expect_clear_failure(host, strerror(EROFS));
    small.remount("size=64m");
    expect_orders(host.signal_and_await_dump());
    expect_unharmed(host);
}

TEST(Chaos, Case36_AnOptionThatCannotBeADirectoryCostsOneLine) {
    chaos::setup with;
    const std::string too_long = "/tmp/" + std::string(400, 'x');
    with.environment = {{"CORODUMP_DIR", too_long}};
    chaos::host host(
        [&too_long] {
            // What the environment said is ignored; what the program says is no better.
            corodump::options chosen;
            chosen.directory = too_long;
            const corodump::agent agent(chosen);
            CHAOS_REQUIRE(!agent.error());
            orders::service waiting;
            chaos::tell("ready");
            orders::serve(waiting);
        },
        with);
    host.await_ready();
    const std::string path = dump_by_log(host);
    EXPECT_TRUE(path.starts_with("/tmp/corodump-")) << path;
    expect_orders(support::read_dump(path));
    fs::remove(path);
    EXPECT_EQ(count_of(host.errors(), "400 bytes"), 2) << host.errors();
    expect_unharmed(host);
}

TEST(Chaos, Case37_WithoutTmpfileADumpIsStillAtomic) {
    chaos::host host([] {
        chaos::refuse({chaos::no_tmpfile});
        serve_many();
    });
    host.await_ready();
    const int dumps = chaos::rounds(3, 50);
    for (int i = 0; i < dumps; ++i) {
        // await_dump comes back as soon as the final name is there: the file must be whole by then.
        host.signal(SIGUSR1);
        expect_orders(support::read_dump(host.await_dump()), many_orders);
    }
    for (const std::string& name : chaos::files_in(host.directory()))
        EXPECT_TRUE(name.starts_with("corodump-")) << name;
    expect_unharmed(host);
}

TEST_P(ChaosFiles, Case38_AKillAtAnyMomentLeavesNoShortFile) {
    const int kills = chaos::rounds(20, 250);  // each way
    const scratch place;
    chaos::setup with = in(place.path());
    with.environment = {{"CORODUMP_MAX_FILES", "10000"}};
    const auto start = [&] {
        return std::make_unique<chaos::host>(
            [way = GetParam()] {
                choose_way(way);
                serve_many();
            },
            with);
    };
    const auto first = start();
    first->await_ready();
    const auto begin = std::chrono::steady_clock::now();
    expect_orders(first->signal_and_await_dump(), many_orders);
    const auto whole = std::chrono::steady_clock::now() - begin;
    for (int i = 0; i < kills; ++i) {
        const auto host = start();
        host->await_ready();
        host->signal(SIGUSR1);
        // From before the dump has begun to after it has ended: where each kill falls is chance.
        std::this_thread::sleep_for(whole * i / kills);
        host->signal(SIGKILL);
        EXPECT_EQ(host->wait(), -SIGKILL);
    }
    int survived = 0;
    for (const std::string& name : chaos::files_in(place.path())) {
        if (!name.starts_with("corodump-")) continue;
        expect_orders(support::read_dump(place.file(name)), many_orders);
        ++survived;
    }
    RecordProperty("whole", survived);
    RecordProperty("killed", kills);
    EXPECT_GE(survived, 1);
}

/// What somebody may plant in a sticky directory, at each name that the next dumps could have.
class planted_names {
public:
    planted_names(const chaos::host& before, const std::string& directory) : directory_(directory) {
        std::ifstream comm("/proc/" + std::to_string(before.pid()) + "/comm");
        std::getline(comm, comm_);
        pid_ = before.pid();
        std::ofstream(victim()) << "precious";
        for (int second = 0; second < 60; ++second) plant(time(nullptr) + second);
    }
    [[nodiscard]] std::string victim() const { return directory_ + "/victim"; }
    [[nodiscard]] std::string content() const {
        std::string text;
        std::ifstream in(victim());
        std::getline(in, text);
        return text;
    }

private:
    void plant(time_t at) const {
        tm utc{};
        gmtime_r(&at, &utc);
        char text[32];
        strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
        const auto name = [&](int sequence) {
            return directory_ + "/corodump-" + comm_ + '-' + std::to_string(pid_) + '-' + text +
                   '-' + std::to_string(sequence) + ".json";
        };
        fs::create_symlink(victim(), name(1));
        fs::create_hard_link(victim(), name(2));
        EXPECT_EQ(mkfifo(name(3).c_str(), 0666), 0);
        fs::create_symlink(directory_ + "/elsewhere", name(4));
    }

    std::string directory_, comm_;
    pid_t pid_ = 0;
};

TEST_P(ChaosFiles, Case39_WhatIsPlantedAtTheNextNameIsLeftAlone) {
    const scratch place;
    chaos::host host(
        [way = GetParam()] {
            choose_way(way);
            orders::run();
        },
        in(place.path()));
    host.await_ready();
    const planted_names planted(host, place.path());
    const std::size_t files = chaos::files_in(place.path()).size();
    const std::string path = dump_by_log(host);
    EXPECT_TRUE(path.ends_with("-5.json")) << path;
    struct stat status{};
    ASSERT_EQ(lstat(path.c_str(), &status), 0);
    EXPECT_TRUE(S_ISREG(status.st_mode));
    EXPECT_EQ(status.st_nlink, 1U);
    expect_orders(support::read_dump(path));
    EXPECT_EQ(planted.content(), "precious");
    EXPECT_FALSE(fs::exists(place.file("elsewhere")));
    // The limit on old dumps did remove some hard links: they are regular files of ours by name.
    EXPECT_LE(chaos::files_in(place.path()).size(), files + 1);
    expect_unharmed(host);
}

void expect_refused(const std::string& directory, const std::string& why) {
    chaos::setup with;
    with.directory = directory;
    chaos::host host(orders::run, with);
    host.await_ready();
    expect_clear_failure(host, why);
    EXPECT_TRUE(chaos::files_in(directory).empty());
    expect_unharmed(host);
}

TEST(Chaos, Case40_ADirectoryThatEverybodyMayChangeIsRefused) {
    const scratch place;
    ASSERT_EQ(chmod(place.path().c_str(), 0777), 0);
    expect_refused(place.path(), "writable by everybody and not sticky");
    const scratch other;
    fs::create_directory_symlink(place.path(), other.file("link"));
    expect_refused(other.file("link"), "writable by everybody and not sticky");
    ASSERT_EQ(chmod(place.path().c_str(), 01777), 0);
    chaos::setup with;
    with.directory = place.path();
    chaos::host host(orders::run, with);
    host.await_ready();
    expect_orders(host.signal_and_await_dump());
    expect_unharmed(host);
}

TEST(Chaos, Case40_ADirectoryOfAnotherUsersIsRefused) {
    if (geteuid() != 0) GTEST_SKIP() << "it takes root to give a directory away";
    const scratch place;
    ASSERT_EQ(chown(place.path().c_str(), nobody, nobody), 0);
    expect_refused(place.path(), "belongs to another user");
}

TEST_P(ChaosFiles, Case41_WhateverTheUmaskADumpIsItsOwnersAlone) {
    for (const mode_t mask : {0000U, 0777U}) {
        chaos::host host([mask, way = GetParam()] {
            choose_way(way);
            umask(mask);
            orders::run();
        });
        host.await_ready();
        host.signal(SIGUSR1);
        const std::string path = host.await_dump();
        struct stat status{};
        ASSERT_EQ(stat(path.c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 07777, 0600U);
        expect_unharmed(host);
    }
}

/// Files that look like ours and are not, each for another reason.
std::vector<std::string> put_strangers(const scratch& place, const std::string& comm) {
    const std::string rest = "-7-20200101T000000Z-1.json";
    const std::string ours = "corodump-" + comm;
    std::vector<std::string> names = {"corodump-other" + rest,
                                      ours + "x" + rest,
                                      ours + "-07-20200101T000000Z-1.json",
                                      ours + "-7-20200101T000000Z-1.json.bak",
                                      ours + "-7-2020-01-01T00:00:00Z-1.json",
                                      ".corodump-other-7-20200101T000000Z-1.json.tmp",
                                      "orders.db"};
    for (const std::string& name : names) std::ofstream(place.file(name)) << "precious";
    names.push_back(ours + "-8-20200101T000000Z-1.json");
    fs::create_directory(place.file(names.back()));
    names.push_back(ours + "-9-20200101T000000Z-1.json");
    fs::create_symlink("orders.db", place.file(names.back()));
    if (geteuid() == 0) {
        names.push_back(ours + "-10-20200101T000000Z-1.json");
        std::ofstream(place.file(names.back())) << "precious";
        EXPECT_EQ(chown(place.file(names.back()).c_str(), nobody, nobody), 0);
    }
    return names;
}

TEST(Chaos, Case42_TheLimitHoldsAndOnlyOurOwnFilesAreRemoved) {
    const int dumps = chaos::rounds(100, 1'000);
    const scratch place;
    char comm[17] = {};
    std::ifstream("/proc/self/comm").getline(comm, sizeof comm);
    const std::vector<std::string> strangers = put_strangers(place, comm);
    const std::string old =
        place.file("corodump-" + std::string(comm) + "-7-20200101T000000Z-1.json");
    std::ofstream(old) << "of an earlier process of this service";
    chaos::setup with;
    with.directory = place.path();
    chaos::host host(
        [dumps] {
            const corodump::agent agent;
            orders::service waiting;
            for (int i = 0; i < dumps; ++i) CHAOS_REQUIRE(!corodump::dump_now().error);
            chaos::tell("ready");
            orders::serve(waiting);
        },
        with);
    host.await_ready();
    const std::vector<std::string> files = chaos::files_in(place.path());
    EXPECT_EQ(files.size(), strangers.size() + 16);
    for (const std::string& name : strangers)
        EXPECT_TRUE(std::ranges::binary_search(files, name)) << name;
    EXPECT_FALSE(fs::exists(old));
    for (int i = 0; i < 16; ++i) {
        const std::string end = '-' + std::to_string(dumps - i) + ".json";
        EXPECT_TRUE(
            std::ranges::any_of(files, [&](const auto& name) { return name.ends_with(end); }))
            << "the newest are kept: " << end;
    }
    expect_unharmed(host);
}

}  // namespace
