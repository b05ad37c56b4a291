// Writing to somebody else's descriptor without ever waiting for it.
//
// What can be done depends on what the descriptor is:
//   socket    send with MSG_DONTWAIT: the flag is per call.
//   pipe      pwritev2 with RWF_NOWAIT, per call too (Linux 6.4 and later). Before that the pipe is
//             opened anew through /proc with O_NONBLOCK: a description of our own, same pipe.
//             Where that is not allowed: poll, then write.
//   terminal  opened anew likewise, since poll promises room for one byte only (tty(4) flow
//             control).
//   file      plain write.
// On poll and pipes: POSIX promises only that one byte fits. Linux says POLLOUT when a whole page
// slot of the ring is free, and a write of at most PIPE_BUF (4,096, at most a page) needs no more
// than one slot, so poll + write suffices unless another writer comes in between. That window is
// why it is the last choice.
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "agent/base/fd.hpp"
#include "agent/base/log.hpp"
#include "agent/base/text.hpp"

namespace corodump::base {
namespace {

// A reader that went away must not kill the host by SIGPIPE, nor may a write from the background to
// a terminal with TOSTOP stop it by SIGTTOU; blocked, both become plain errors or nothing
// (signal(7), setpgid of termios(3)). The SIGPIPE that our write left pending is taken back.
class quiet_signals {
public:
    quiet_signals() noexcept {
        sigset_t pending;
        ::sigpending(&pending);
        had_pipe_ = ::sigismember(&pending, SIGPIPE) == 1;
        sigset_t quiet;
        ::sigemptyset(&quiet);
        ::sigaddset(&quiet, SIGPIPE);
        ::sigaddset(&quiet, SIGTTOU);
        ::pthread_sigmask(SIG_BLOCK, &quiet, &before_);
    }
    ~quiet_signals() {
        if (broken_ && !had_pipe_) {
            sigset_t pipe_only;
            ::sigemptyset(&pipe_only);
            ::sigaddset(&pipe_only, SIGPIPE);
            const timespec now{};
            static_cast<void>(::sigtimedwait(&pipe_only, nullptr, &now));
        }
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    quiet_signals(const quiet_signals&) = delete;
    quiet_signals& operator=(const quiet_signals&) = delete;

    void note(int error) noexcept { broken_ = broken_ || error == EPIPE; }

private:
    sigset_t before_{};
    bool had_pipe_ = false;
    bool broken_ = false;
};

enum class outcome : std::uint8_t { written, would_block, not_possible };

outcome judge(long written, std::size_t size) noexcept {
    if (written == static_cast<long>(size)) return outcome::written;
    if (written >= 0) return outcome::would_block;  // cut: only terminals do that to short writes
    switch (errno) {
        case EOPNOTSUPP:
        case ENOSYS:
        case EINVAL:
        case ENOTSOCK:
            return outcome::not_possible;
        default:
            return outcome::would_block;
    }
}

outcome write_now(int fd, std::string_view bytes) noexcept {
    return judge(::syscall(SYS_write, fd, bytes.data(), bytes.size()), bytes.size());
}

outcome write_nowait(int fd, std::string_view bytes) noexcept {
    const iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    constexpr int nowait = 0x00000008;  // RWF_NOWAIT; older kernel headers lack it
    // Offset -1: at the file's own position (pwritev2(2)); the kernel takes it in two halves.
    return judge(::syscall(SYS_pwritev2, fd, &part, 1UL, -1L, -1L, nowait), bytes.size());
}

outcome write_reopened(int fd, std::string_view bytes) noexcept {
    char path[48];
    text where(path);
    where.append("/proc/thread-self/fd/").decimal(static_cast<unsigned>(fd)).append('\0');
    const result<unique_fd> own = open_file(path, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    return own.ok() ? write_now(own->get(), bytes) : outcome::not_possible;
}

outcome write_polled(int fd, std::string_view bytes) noexcept {
    pollfd ready{fd, POLLOUT, 0};
    if (::poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) return outcome::would_block;
    if ((ready.revents & (POLLERR | POLLHUP)) != 0) return outcome::would_block;
    return write_now(fd, bytes);
}

outcome write_by_kind(int fd, mode_t kind, std::string_view bytes) noexcept {
    if (S_ISSOCK(kind)) {
        return judge(::syscall(SYS_sendto, fd, bytes.data(), bytes.size(),
                               MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0),
                     bytes.size());
    }
    if (S_ISREG(kind)) return write_now(fd, bytes);
    outcome how = outcome::not_possible;
    if (S_ISFIFO(kind)) how = write_nowait(fd, bytes);
    if (how == outcome::not_possible && (S_ISFIFO(kind) || ::isatty(fd) == 1)) {
        how = write_reopened(fd, bytes);
    }
    return how == outcome::not_possible ? write_polled(fd, bytes) : how;
}

}  // namespace

bool write_unblocked(int descriptor, std::string_view bytes) noexcept {
    struct stat kind{};
    if (bytes.size() > PIPE_BUF || ::fstat(descriptor, &kind) != 0) return false;
    const int saved_errno = errno;
    quiet_signals quiet;
    const outcome how = write_by_kind(descriptor, kind.st_mode, bytes);
    if (how != outcome::written) quiet.note(errno);
    errno = saved_errno;
    return how == outcome::written;
}

}  // namespace corodump::base
