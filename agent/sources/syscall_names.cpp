#include "agent/sources/syscall_names.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace corodump::sources {
namespace {

enum class restarting : std::uint8_t {
    never,
    always,
    unless_timed,   ///< when the argument `timeout` is a null pointer
    on_descriptor,  ///< when the socket, if it is one, has no time-out
    futex,
    file_control,
};

struct known_call {
    std::int64_t number;
    std::string_view name;
    restarting restarts = restarting::never;
    std::uint8_t timeout = 0;
};

constexpr known_call calls[] = {
    {SYS_futex, "futex", restarting::futex},
    {SYS_read, "read", restarting::on_descriptor},
    {SYS_readv, "readv", restarting::on_descriptor},
    {SYS_write, "write", restarting::on_descriptor},
    {SYS_writev, "writev", restarting::on_descriptor},
    {SYS_pread64, "pread64", restarting::on_descriptor},
    {SYS_pwrite64, "pwrite64", restarting::on_descriptor},
    {SYS_accept, "accept", restarting::on_descriptor},
    {SYS_accept4, "accept4", restarting::on_descriptor},
    {SYS_connect, "connect", restarting::on_descriptor},
    {SYS_recvfrom, "recvfrom", restarting::on_descriptor},
    {SYS_recvmsg, "recvmsg", restarting::on_descriptor},
    {SYS_sendto, "sendto", restarting::on_descriptor},
    {SYS_sendmsg, "sendmsg", restarting::on_descriptor},
    {SYS_wait4, "wait4", restarting::always},
    {SYS_waitid, "waitid", restarting::always},
    {SYS_flock, "flock", restarting::always},
    {SYS_fcntl, "fcntl", restarting::file_control},
    {SYS_mq_timedreceive, "mq_timedreceive", restarting::unless_timed, 4},
    {SYS_mq_timedsend, "mq_timedsend", restarting::unless_timed, 4},
    {SYS_ioctl, "ioctl"},  // signal(7) lists it, but it is each driver's own affair
    {SYS_recvmmsg, "recvmmsg"},
    {SYS_sendmmsg, "sendmmsg"},
    {SYS_epoll_pwait, "epoll_pwait"},
    {SYS_ppoll, "ppoll"},
    {SYS_pselect6, "pselect6"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait"},
    {SYS_rt_sigsuspend, "rt_sigsuspend"},
    {SYS_msgrcv, "msgrcv"},
    {SYS_msgsnd, "msgsnd"},
    {SYS_semop, "semop"},
    {SYS_semtimedop, "semtimedop"},
    {SYS_io_getevents, "io_getevents"},
    {SYS_openat, "openat"},
    {SYS_close, "close"},
    {SYS_fsync, "fsync"},
    {SYS_fdatasync, "fdatasync"},
    {SYS_ftruncate, "ftruncate"},
    {SYS_fallocate, "fallocate"},
    {SYS_sendfile, "sendfile"},
    {SYS_splice, "splice"},
    {SYS_copy_file_range, "copy_file_range"},
    {SYS_mmap, "mmap"},
    {SYS_munmap, "munmap"},
    {SYS_mprotect, "mprotect"},
    {SYS_madvise, "madvise"},
    {SYS_clone, "clone"},
    {SYS_execve, "execve"},
    {SYS_exit, "exit"},
    {SYS_getrandom, "getrandom"},
    {SYS_restart_syscall, "restart_syscall"},
    {SYS_sched_yield, "sched_yield"},
    {SYS_membarrier, "membarrier"},
#ifdef SYS_poll
    {SYS_poll, "poll"},
    {SYS_select, "select"},
    {SYS_epoll_wait, "epoll_wait"},
    {SYS_pause, "pause"},
    {SYS_open, "open"},
    {SYS_fork, "fork"},
    {SYS_vfork, "vfork"},
#endif
#ifdef SYS_clone3
    {SYS_clone3, "clone3"},
#endif
#ifdef SYS_epoll_pwait2
    {SYS_epoll_pwait2, "epoll_pwait2"},
#endif
#ifdef SYS_io_uring_enter
    {SYS_io_uring_enter, "io_uring_enter"},
#endif
#ifdef SYS_futex_waitv
    {SYS_futex_waitv, "futex_waitv"},
#endif
};

const known_call* find(std::int64_t number) noexcept {
    const auto* const found = std::ranges::find(calls, number, &known_call::number);
    return found == std::end(calls) ? nullptr : found;
}

/// With a time-out the kernel remembers how to go on (restart_syscall), which a handler undoes.
bool futex_restarts(std::span<const std::uint64_t> arguments) noexcept {
    switch (static_cast<int>(arguments[1]) & FUTEX_CMD_MASK) {
        case FUTEX_WAIT:
        case FUTEX_WAIT_BITSET:
        case FUTEX_LOCK_PI:
            return arguments[3] == 0;
        default:
            return false;
    }
}

/// A socket with SO_RCVTIMEO or SO_SNDTIMEO gives up with EINTR, whatever SA_RESTART says.
bool descriptor_restarts(int descriptor) noexcept {
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
        timeval limit{};
        socklen_t size = sizeof limit;
        if (::syscall(SYS_getsockopt, descriptor, SOL_SOCKET, option, &limit, &size) != 0)
            return errno == ENOTSOCK;
        if (limit.tv_sec != 0 || limit.tv_usec != 0) return false;
    }
    return true;
}

}  // namespace

std::string_view syscall_name(std::int64_t number) noexcept {
    const known_call* const call = find(number);
    return call == nullptr ? std::string_view{} : call->name;
}

bool restarts_after_signal(std::int64_t number, std::span<const std::uint64_t> arguments) noexcept {
    const known_call* const call = find(number);
    if (call == nullptr || arguments.size() < 6) return false;
    switch (call->restarts) {
        case restarting::always:
            return true;
        case restarting::unless_timed:
            return arguments[call->timeout] == 0;
        case restarting::on_descriptor:
            return descriptor_restarts(static_cast<int>(arguments[0]));
        case restarting::futex:
            return futex_restarts(arguments);
        case restarting::file_control:
            return arguments[1] == F_SETLKW || arguments[1] == F_OFD_SETLKW;
        case restarting::never:
            break;
    }
    return false;
}

}  // namespace corodump::sources
