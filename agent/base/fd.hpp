// File descriptors: one owner type, and the few calls the dump path makes on them.
//
// They go through ::syscall, not through open(), read() and the rest: those are cancellation points
// and favourite targets of interposers (sanitizers, fault injectors, tracing preloads), which may
// lock or allocate. Nothing here keeps a descriptor longer than its caller's scope, because a host
// may close every descriptor it does not know, and the number can be its own socket a moment later.
//
// Threads: any. Signals: safe. Blocks: as the file does (only /proc, regular files and directories
// are opened). Errors: errno in the result. Bounds: the caller's buffer.
#pragma once

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "agent/base/result.hpp"

namespace corodump::base {

class unique_fd {
public:
    unique_fd() noexcept = default;
    explicit unique_fd(int descriptor) noexcept : descriptor_(descriptor) {}
    unique_fd(unique_fd&& other) noexcept : descriptor_(other.release()) {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        if (this != &other) reset(other.release());
        return *this;
    }
    unique_fd(const unique_fd&) = delete;
    unique_fd& operator=(const unique_fd&) = delete;
    ~unique_fd() { reset(); }

    [[nodiscard]] int get() const noexcept { return descriptor_; }
    explicit operator bool() const noexcept { return descriptor_ >= 0; }
    [[nodiscard]] int release() noexcept { return std::exchange(descriptor_, -1); }
    void reset(int descriptor = -1) noexcept {
        const int old = std::exchange(descriptor_, descriptor);
        // No retry on EINTR: on Linux the number is free again whatever close returns (close(2)).
        if (old >= 0) static_cast<void>(::syscall(SYS_close, old));
    }

private:
    int descriptor_ = -1;
};

/// O_CLOEXEC is always added.
[[nodiscard]] inline result<unique_fd> open_file(const char* path, int flags = O_RDONLY,
                                                 mode_t mode = 0) noexcept {
    for (;;) {
        const long fd = ::syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
        if (fd >= 0) return unique_fd(static_cast<int>(fd));
        if (errno != EINTR) return failure{errno};
    }
}

/// One read, repeated only on EINTR; 0 at the end.
[[nodiscard]] inline result<std::size_t> read_some(int fd, std::span<char> into) noexcept {
    for (;;) {
        const long got = ::syscall(SYS_read, fd, into.data(), into.size());
        if (got >= 0) return static_cast<std::size_t>(got);
        if (errno != EINTR) return failure{errno};
    }
}

/// Reads until the buffer is full or the file ends.
[[nodiscard]] inline result<std::size_t> pread_full(int fd, std::span<char> into,
                                                    std::uint64_t offset) noexcept {
    std::size_t done = 0;
    while (done < into.size()) {
        const long got = ::syscall(SYS_pread64, fd, into.data() + done, into.size() - done,
                                   static_cast<long>(offset + done));
        if (got == 0) break;
        if (got > 0) {
            done += static_cast<std::size_t>(got);
        } else if (errno != EINTR) {
            return failure{errno};
        }
    }
    return done;
}

/// The bytes read: the whole file, or as much of its beginning as the buffer holds.
[[nodiscard]] inline result<std::size_t> read_file_into(const char* path,
                                                        std::span<char> into) noexcept {
    const result<unique_fd> file = open_file(path);
    if (!file) return failure{file.error()};
    std::size_t done = 0;
    // Files of /proc come in pieces, so a short read is not the end.
    while (done < into.size()) {
        const result<std::size_t> got = read_some(file->get(), into.subspan(done));
        if (!got) return got;
        if (*got == 0) break;
        done += *got;
    }
    return done;
}

}  // namespace corodump::base
