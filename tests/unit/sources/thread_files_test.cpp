#include "agent/sources/thread_files.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace corodump::sources {
namespace {

std::int32_t own_tid() {
    return static_cast<std::int32_t>(::syscall(SYS_gettid));
}

/// A thread that blocks in read(2) until it is destroyed.
class blocked_thread {
public:
    blocked_thread() {
        EXPECT_EQ(pipe(ends_), 0);
        thread_ = std::thread([this] {
            pthread_setname_np(pthread_self(), "a) S (b");
            sigset_t one;
            sigemptyset(&one);
            sigaddset(&one, SIGUSR2);
            pthread_sigmask(SIG_BLOCK, &one, nullptr);
            tid_ = own_tid();
            char byte = 0;
            EXPECT_EQ(read(ends_[0], &byte, 1), 1);
        });
        while (tid_.load() == 0) std::this_thread::yield();
    }
    blocked_thread(const blocked_thread&) = delete;
    blocked_thread& operator=(const blocked_thread&) = delete;
    ~blocked_thread() {
        EXPECT_EQ(write(ends_[1], "", 1), 1);
        thread_.join();
        close(ends_[0]);
        close(ends_[1]);
    }
    [[nodiscard]] std::int32_t tid() const { return tid_.load(); }
    [[nodiscard]] int reads_from() const { return ends_[0]; }

private:
    int ends_[2] = {};
    std::atomic<std::int32_t> tid_{0};
    std::thread thread_;
};

TEST(ParseCall, TellsARunningThread) {
    thread_call call;
    ASSERT_TRUE(parse_call("running\n", call));
    EXPECT_EQ(call.what, thread_call::kind::running);
}

TEST(ParseCall, TellsACallWithItsArguments) {
    thread_call call;
    ASSERT_TRUE(parse_call("202 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffec1621348 0x7f4d7a17a503\n", call));
    EXPECT_EQ(call.what, thread_call::kind::in_call);
    EXPECT_EQ(call.number, 202);
    EXPECT_EQ(call.arguments[0], 1U);
    EXPECT_EQ(call.arguments[5], 6U);
    EXPECT_EQ(call.sp, 0x7ffec1621348U);
    EXPECT_EQ(call.pc, 0x7f4d7a17a503U);
}

TEST(ParseCall, TellsAThreadBlockedOutsideOfACall) {
    thread_call call;
    ASSERT_TRUE(parse_call("-1 0x7ffec1621348 0x7f4d7a17a503\n", call));
    EXPECT_EQ(call.what, thread_call::kind::blocked);
    EXPECT_EQ(call.number, -1);
}

TEST(ParseCall, RefusesWhatIsCutShort) {
    thread_call call;
    EXPECT_FALSE(parse_call("", call));
    EXPECT_FALSE(parse_call("202 0x1 0x2\n", call));
    EXPECT_FALSE(parse_call("what\n", call));
}

TEST(ThreadFiles, ListsEveryThreadOnce) {
    const blocked_thread other;
    thread_files files;
    std::vector<std::int32_t> tids(64);
    std::uint64_t left_out = 7;
    tids.resize(files.list(tids, left_out));
    EXPECT_EQ(left_out, 0U);
    EXPECT_EQ(files.error(), 0);
    EXPECT_EQ(std::ranges::count(tids, own_tid()), 1);
    EXPECT_EQ(std::ranges::count(tids, other.tid()), 1);
}

TEST(ThreadFiles, CountsThreadsThatFindNoRoom) {
    const blocked_thread other;
    thread_files files;
    std::int32_t one[1] = {};
    std::uint64_t left_out = 0;
    EXPECT_EQ(files.list(one, left_out), 1U);
    EXPECT_GE(left_out, 1U);
}

TEST(ThreadFiles, TellWhatABlockedThreadDoes) {
    const blocked_thread other;
    const thread_files files;
    thread_call call;
    do {
        ASSERT_TRUE(files.read_call(other.tid(), call));
    } while (call.number != SYS_read);
    EXPECT_EQ(call.arguments[0], static_cast<std::uint64_t>(other.reads_from()));
    thread_names names;
    ASSERT_TRUE(files.read_names(other.tid(), names));
    EXPECT_EQ(names.name, "a) S (b");
    EXPECT_EQ(names.state, 'S');
    thread_status status;
    ASSERT_TRUE(files.read_status(other.tid(), status));
    EXPECT_NE(status.blocked_signals >> (SIGUSR2 - 1) & 1U, 0U);
    EXPECT_GE(status.voluntary_switches, 1U);
    const std::int64_t used_ns = cpu_time_of(other.tid());
    EXPECT_GT(used_ns, 0);
    EXPECT_EQ(cpu_time_of(other.tid()), used_ns);
}

TEST(ThreadFiles, TellNothingOfAThreadThatHasEnded) {
    std::int32_t tid = 0;
    std::thread([&] { tid = own_tid(); }).join();
    while (::syscall(SYS_tgkill, getpid(), tid, 0) == 0) std::this_thread::yield();
    const thread_files files;
    thread_call call;
    thread_names names;
    thread_status status;
    EXPECT_FALSE(files.read_call(tid, call));
    EXPECT_FALSE(files.read_names(tid, names));
    EXPECT_FALSE(files.read_status(tid, status));
    EXPECT_TRUE(files.wait_channel(tid).empty());
    EXPECT_EQ(cpu_time_of(tid), -1);
}

}  // namespace
}  // namespace corodump::sources
