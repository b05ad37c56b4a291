#include "agent/base/safe_copy.hpp"

#include <limits.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "agent/base/fd.hpp"

namespace corodump::base {
namespace {

// Written by whichever thread first sees a refusal, read by all; no order with anything else.
std::atomic<copy_method> method{copy_method::process_vm};

constexpr std::size_t max_iovecs = 1024;  // UIO_MAXIOV, which is what IOV_MAX means on Linux
// Smallest page of any Linux; a larger real page only costs a further call at a range's end.
constexpr std::size_t page_bytes = 4096;

std::size_t to_page_end(std::uint64_t address, std::size_t size) noexcept {
    const std::size_t in_page = page_bytes - static_cast<std::size_t>(address % page_bytes);
    return std::min(in_page, size);
}

bool refused(int error) noexcept {
    return error == EPERM || error == ENOSYS || error == EACCES;
}

// The calling thread's id, not getpid(): once main has left by pthread_exit, the process id names a
// zombie without memory and the kernel answers ESRCH. And not a cached one: after a fork a stale id
// would silently read the parent. The call takes a tenth of what the copy takes.
long own_task() noexcept {
    return ::syscall(SYS_gettid);
}

long vm_read(const iovec* local, const iovec* remote, std::size_t count) noexcept {
    return ::syscall(SYS_process_vm_readv, own_task(), local, count, remote, count, 0UL);
}

// One attempt, as the fallbacks see it: bytes read, or -1 with errno.
class mem_reader {
public:
    mem_reader() noexcept : file_(open_file("/proc/thread-self/mem")) {}
    [[nodiscard]] bool usable() const noexcept { return file_.ok(); }
    long read(void* destination, std::uint64_t source, std::size_t size) const noexcept {
        if (source > static_cast<std::uint64_t>(LONG_MAX)) return -1;  // a negative offset
        return ::syscall(SYS_pread64, file_->get(), destination, size, static_cast<long>(source));
    }

private:
    result<unique_fd> file_;
};

class pipe_reader {
public:
    pipe_reader() noexcept {
        int ends[2] = {-1, -1};
        if (::syscall(SYS_pipe2, ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
        from_.reset(ends[0]);
        to_.reset(ends[1]);
    }
    [[nodiscard]] bool usable() const noexcept { return static_cast<bool>(to_); }
    // At most a page at a time, within one page: so it fits the empty pipe and fails as a whole.
    long read(void* destination, std::uint64_t source, std::size_t size) const noexcept {
        const std::size_t part = to_page_end(source, size);
        const long sent = ::syscall(SYS_write, to_.get(), source, part);
        if (sent <= 0) return -1;
        return ::syscall(SYS_read, from_.get(), destination, static_cast<std::size_t>(sent));
    }

private:
    unique_fd from_, to_;
};

class vm_reader {
public:
    [[nodiscard]] static bool usable() noexcept { return true; }
    static long read(void* destination, std::uint64_t source, std::size_t size) noexcept {
        const iovec local{destination, size};
        const iovec remote{reinterpret_cast<void*>(source), size};
        return vm_read(&local, &remote, 1);
    }
};

// Goes on after short counts; when even the rest of one page gives nothing, that page is
// unreadable.
template <class Reader>
std::size_t copy_prefix(const Reader& reader, void* destination, std::uint64_t source,
                        std::size_t size, std::size_t done) noexcept {
    std::size_t ask = size - done;
    while (done < size) {
        const long got = reader.read(static_cast<char*>(destination) + done, source + done, ask);
        if (got > 0) {
            done += static_cast<std::size_t>(got);
            ask = size - done;
            continue;
        }
        if (refused(errno) && got < 0) break;
        const std::size_t smaller = to_page_end(source + done, size - done);
        if (ask <= smaller) break;
        ask = smaller;
    }
    return done;
}

template <class Reader>
std::size_t copy_each(const Reader& reader, std::span<copy_request> batch) noexcept {
    std::size_t whole = 0;
    for (copy_request& one : batch) {
        one.copied = copy_prefix(reader, one.destination, one.source, one.size, 0);
        if (one.whole()) ++whole;
    }
    return whole;
}

// Hands the bytes of one call out to the elements in order; returns the first that is not whole.
std::size_t account(std::span<copy_request> part, std::size_t bytes) noexcept {
    std::size_t i = 0;
    for (; i < part.size(); ++i) {
        part[i].copied = std::min(bytes, part[i].size);
        bytes -= part[i].copied;
        if (!part[i].whole()) break;
    }
    return i;
}

// False when the kernel refuses the call as such: nothing of `batch` was read then.
bool copy_by_vm(std::span<copy_request> batch) noexcept {
    iovec local[max_iovecs];
    iovec remote[max_iovecs];
    while (!batch.empty()) {
        const std::size_t count = std::min(batch.size(), max_iovecs);
        for (std::size_t i = 0; i < count; ++i) {
            local[i] = {batch[i].destination, batch[i].size};
            remote[i] = {reinterpret_cast<void*>(batch[i].source), batch[i].size};
        }
        const long got = vm_read(local, remote, count);
        if (got < 0 && refused(errno)) return false;
        const std::size_t stopped =
            account(batch.first(count), got > 0 ? static_cast<std::size_t>(got) : 0);
        if (stopped == count) {
            batch = batch.subspan(count);
            continue;
        }
        // The kernel stops at the first element it cannot finish: take that one alone, page by
        // page, and go on behind it.
        copy_request& bad = batch[stopped];
        bad.copied = copy_prefix(vm_reader{}, bad.destination, bad.source, bad.size, bad.copied);
        batch = batch.subspan(stopped + 1);
    }
    return true;
}

std::size_t count_whole(std::span<const copy_request> batch) noexcept {
    return static_cast<std::size_t>(
        std::count_if(batch.begin(), batch.end(), [](const auto& one) { return one.whole(); }));
}

std::size_t copy_by_mem(std::span<copy_request> batch) noexcept {
    const mem_reader mem;
    if (mem.usable()) return copy_each(mem, batch);
    // Not remembered: it may be for want of descriptors at this moment.
    return copy_each(pipe_reader{}, batch);
}

}  // namespace

copy_method current_copy_method() noexcept {
    return method.load(std::memory_order_relaxed);
}

void set_copy_method(copy_method wanted) noexcept {
    method.store(wanted, std::memory_order_relaxed);
}

std::size_t safe_copy(std::span<copy_request> batch) noexcept {
    for (copy_request& one : batch) one.copied = 0;
    if (batch.empty()) return 0;
    switch (current_copy_method()) {
        case copy_method::process_vm:
            if (copy_by_vm(batch)) return count_whole(batch);
            set_copy_method(copy_method::proc_mem);
            [[fallthrough]];
        case copy_method::proc_mem:
            return copy_by_mem(batch);
        case copy_method::pipe:
            break;
    }
    return copy_each(pipe_reader{}, batch);
}

std::size_t safe_copy(void* destination, std::uint64_t source, std::size_t size) noexcept {
    if (size == 0) return 0;
    // The common case without the 32 KB of iovecs.
    if (current_copy_method() == copy_method::process_vm) {
        const long got = vm_reader::read(destination, source, size);
        if (got == static_cast<long>(size)) return size;
        if (got >= 0 || !refused(errno)) {
            const std::size_t done = got > 0 ? static_cast<std::size_t>(got) : 0;
            return copy_prefix(vm_reader{}, destination, source, size, done);
        }
    }
    copy_request one{destination, source, size, 0};
    safe_copy(std::span(&one, 1));
    return one.copied;
}

}  // namespace corodump::base
