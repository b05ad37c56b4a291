#include "agent/triggers/thread_masks.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string_view>

#include "agent/triggers/raw_syscall.hpp"

namespace corodump::triggers {
namespace {

constexpr std::size_t record_name_offset = 19;  // linux_dirent64: inode, offset, size, type, name
constexpr std::size_t record_size_offset = 16;

/// The value of "SigBlk:" in a status file; nothing when the thread has gone.
std::optional<raw::signal_set> blocked_signals(int tasks, const char* tid) noexcept {
    char path[32];
    const std::string_view name{tid};
    constexpr std::string_view file = "/status";
    if (name.size() + file.size() >= sizeof(path)) return std::nullopt;
    std::memcpy(path, name.data(), name.size());
    std::memcpy(path + name.size(), file.data(), file.size());
    path[name.size() + file.size()] = '\0';

    const int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return std::nullopt;
    char text[4096];  // SigBlk stands about 900 bytes in, unless there are very many groups
    const ssize_t got = read(fd, text, sizeof(text));
    close(fd);
    constexpr std::string_view key = "\nSigBlk:\t";
    const std::string_view status{text, got > 0 ? static_cast<std::size_t>(got) : 0};
    const std::size_t at = status.find(key);
    if (at == status.npos) return std::nullopt;
    raw::signal_set set = 0;
    const char* const start = status.data() + at + key.size();
    std::from_chars(start, status.data() + status.size(), set, 16);
    return set;
}

class thread_scan {
public:
    thread_scan(int tasks, int signal, std::initializer_list<std::int32_t> ours) noexcept
        : tasks_(tasks), signal_(signal), ours_(ours) {}

    unblocked_threads run() noexcept {
        alignas(8) char buffer[8 * 1024];
        for (;;) {
            const long got = syscall(SYS_getdents64, tasks_, buffer, sizeof(buffer));
            if (got <= 0) {
                found_.complete = got == 0;
                return found_;
            }
            if (!see_records(buffer, got)) return found_;
        }
    }

private:
    bool see_records(const char* buffer, long size) noexcept {
        for (long at = 0; at < size;) {
            std::uint16_t record_bytes = 0;
            std::memcpy(&record_bytes, buffer + at + record_size_offset, sizeof(record_bytes));
            if (found_.examined == max_scanned_threads) return false;
            see(buffer + at + record_name_offset);
            at += record_bytes;
        }
        return true;
    }

    void see(const char* name) noexcept {
        std::int32_t tid = 0;
        std::from_chars(name, name + std::strlen(name), tid);
        if (tid <= 0 || std::find(ours_.begin(), ours_.end(), tid) != ours_.end()) return;
        const auto blocked = blocked_signals(tasks_, name);
        if (!blocked) return;
        ++found_.examined;
        if ((*blocked & raw::set_of(signal_)) != 0) return;
        ++found_.count;
        if (found_.first == 0) found_.first = tid;
    }

    int tasks_;
    int signal_;
    std::initializer_list<std::int32_t> ours_;
    unblocked_threads found_;
};

}  // namespace

unblocked_threads count_unblocked_threads(int signal,
                                          std::initializer_list<std::int32_t> ours) noexcept {
    const int tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tasks < 0) return {};
    const unblocked_threads found = thread_scan{tasks, signal, ours}.run();
    close(tasks);
    return found;
}

}  // namespace corodump::triggers
