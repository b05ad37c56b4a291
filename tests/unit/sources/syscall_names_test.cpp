#include "agent/sources/syscall_names.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>

namespace corodump::sources {
namespace {

using arguments = std::uint64_t[6];

TEST(SyscallNames, AreThoseOfTheMachine) {
    EXPECT_EQ(syscall_name(SYS_futex), "futex");
    EXPECT_EQ(syscall_name(SYS_clock_nanosleep), "clock_nanosleep");
    EXPECT_EQ(syscall_name(-1), "");
    EXPECT_EQ(syscall_name(100'000), "");
}

TEST(RestartsAfterSignal, NeverWhatSignal7ListsAsInterrupted) {
    const arguments none = {};
    for (const long call :
         {SYS_ppoll, SYS_pselect6, SYS_epoll_pwait, SYS_nanosleep, SYS_clock_nanosleep, SYS_msgrcv,
          SYS_semop, SYS_semtimedop, SYS_io_getevents, SYS_rt_sigtimedwait, SYS_rt_sigsuspend})
        EXPECT_FALSE(restarts_after_signal(call, none)) << call;
    EXPECT_FALSE(restarts_after_signal(100'000, none));
}

TEST(RestartsAfterSignal, AFutexOnlyWithoutATimeOut) {
    arguments wait = {0x1000, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0};
    EXPECT_TRUE(restarts_after_signal(SYS_futex, wait));
    wait[3] = 0x2000;
    EXPECT_FALSE(restarts_after_signal(SYS_futex, wait));
    const arguments other = {0x1000, FUTEX_WAIT_REQUEUE_PI, 1, 0, 0, 0};
    EXPECT_FALSE(restarts_after_signal(SYS_futex, other));
}

TEST(RestartsAfterSignal, ASocketOnlyWithoutATimeOut) {
    int ends[2] = {};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    const arguments receive = {static_cast<std::uint64_t>(ends[0])};
    EXPECT_TRUE(restarts_after_signal(SYS_recvfrom, receive));
    EXPECT_TRUE(restarts_after_signal(SYS_read, receive));
    const timeval limit{5, 0};
    ASSERT_EQ(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    EXPECT_FALSE(restarts_after_signal(SYS_recvfrom, receive));
    EXPECT_FALSE(restarts_after_signal(SYS_read, receive));
    close(ends[0]);
    close(ends[1]);
    EXPECT_FALSE(restarts_after_signal(SYS_read, receive)) << "a descriptor that is none";
}

TEST(RestartsAfterSignal, AReadOfWhatIsNoSocket) {
    int ends[2] = {};
    ASSERT_EQ(pipe(ends), 0);
    EXPECT_TRUE(restarts_after_signal(SYS_read, arguments{static_cast<std::uint64_t>(ends[0])}));
    close(ends[0]);
    close(ends[1]);
}

TEST(RestartsAfterSignal, OnlyTheWaitingKindOfFileControl) {
    EXPECT_TRUE(restarts_after_signal(SYS_fcntl, arguments{0, F_SETLKW}));
    EXPECT_FALSE(restarts_after_signal(SYS_fcntl, arguments{0, F_SETLK}));
}

}  // namespace
}  // namespace corodump::sources
