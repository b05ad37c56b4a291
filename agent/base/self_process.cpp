#include "agent/base/self_process.hpp"

#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "agent/base/clock.hpp"
#include "agent/base/fd.hpp"
#include "agent/base/text.hpp"

namespace corodump::base {
namespace {

std::string_view read_text(const char* path, std::span<char> buffer) noexcept {
    const result<std::size_t> got = read_file_into(path, buffer);
    return got.ok() ? std::string_view(buffer.data(), *got) : std::string_view{};
}

std::int64_t number_or_unknown(std::string_view digits) noexcept {
    std::uint64_t value = 0;
    return parse_unsigned(digits, value) ? static_cast<std::int64_t>(value) : -1;
}

/// Where the name in `stat` does not stand as it is: older kernels escape it there.
void read_comm(process_facts& into) noexcept {
    char buffer[64];
    std::string_view name = read_text("/proc/self/comm", buffer);
    if (!name.empty() && name.back() == '\n') name.remove_suffix(1);
    into.comm.assign(name);
}

void read_exe(process_facts& into) noexcept {
    const std::span<char> room = into.exe.storage();
    for (const char* path : {"/proc/thread-self/exe", "/proc/self/exe"}) {
        const long size = ::syscall(SYS_readlinkat, AT_FDCWD, path, room.data(), room.size());
        if (size > 0) return into.exe.resize(static_cast<std::size_t>(size));
    }
    into.exe.clear();
}

void read_cgroup(process_facts& into) noexcept {
    char buffer[4096];
    std::string_view lines = read_text("/proc/self/cgroup", buffer);
    // Each line is hierarchy:controllers:path (cgroups(7)); the v2 one has number 0.
    while (!lines.empty()) {
        std::string_view line = split_off(lines, '\n');
        const bool unified = split_off(line, ':') == "0";
        static_cast<void>(split_off(line, ':'));
        if (unified || into.cgroup.empty()) into.cgroup.assign(line);
    }
}

// starttime is in clock ticks since boot (proc(5)), on the same clock as CLOCK_BOOTTIME, also
// inside a time namespace. The boot time in /proc/stat is not used: whole seconds, and slow to
// produce.
void read_times(process_facts& into) noexcept {
    const auto ticks_per_second = static_cast<std::int64_t>(::getauxval(AT_CLKTCK));
    if (into.start_ticks < 0 || ticks_per_second <= 0) return;
    const std::int64_t started_ns =
        into.start_ticks / ticks_per_second * 1'000'000'000 +
        into.start_ticks % ticks_per_second * 1'000'000'000 / ticks_per_second;
    const std::int64_t age_ns = boottime_ns() - started_ns;
    into.uptime_seconds = static_cast<double>(age_ns < 0 ? 0 : age_ns) / 1e9;
    into.start_time_unix_ns = realtime_ns() - age_ns;
}

void read_stat(process_facts& into) noexcept {
    char buffer[1024];
    std::string_view rest = read_text("/proc/self/stat", buffer);
    // The name in parentheses may hold spaces and parentheses: fields count from the last one.
    const std::size_t name_end = rest.rfind(')');
    const std::size_t name_begin = rest.find('(') + 1;
    if (name_end == std::string_view::npos || name_end + 2 > rest.size()) return read_comm(into);
    const std::string_view name = rest.substr(name_begin, name_end - name_begin);
    if (name.find('\\') == std::string_view::npos)
        into.comm.assign(name);
    else
        read_comm(into);
    rest.remove_prefix(name_end + 2);
    for (int field = 3; field <= 22 && !rest.empty(); ++field) {
        const std::string_view value = split_off(rest, ' ');
        if (field == 20) into.threads = number_or_unknown(value);
        if (field == 22) into.start_ticks = number_or_unknown(value);
    }
    read_times(into);
}

void read_rss(process_facts& into) noexcept {
    char buffer[256];
    std::string_view rest = read_text("/proc/thread-self/statm", buffer);
    static_cast<void>(split_off(rest, ' '));
    const std::int64_t pages = number_or_unknown(split_off(rest, ' '));
    if (pages >= 0) into.rss_bytes = pages * static_cast<std::int64_t>(::getauxval(AT_PAGESZ));
}

// As getdents64(2) lays a directory entry out; glibc's dirent64 is the same, but promises less.
struct directory_entry {
    std::uint64_t inode;
    std::int64_t offset;
    std::uint16_t length;
    std::uint8_t type;
};

std::int64_t count_entries(std::span<const char> entries) noexcept {
    std::int64_t count = 0;
    for (std::size_t at = 0; at + 20 <= entries.size();) {
        std::uint16_t length = 0;
        std::memcpy(&length, entries.data() + at + offsetof(directory_entry, length), 2);
        if (length < 20) break;
        // Every name but "." and ".." is a descriptor.
        if (entries[at + offsetof(directory_entry, type) + 1] != '.') ++count;
        at += length;
    }
    return count;
}

std::int64_t list_descriptors(const char* path) noexcept {
    const result<unique_fd> directory = open_file(path, O_RDONLY | O_DIRECTORY);
    if (!directory) return -1;
    alignas(std::uint64_t) char buffer[4096];
    std::int64_t count = 0;
    while (count < max_open_fds) {
        const long got = ::syscall(SYS_getdents64, directory->get(), buffer, sizeof buffer);
        if (got < 0) return -1;
        if (got == 0) break;
        count += count_entries(std::span(buffer, static_cast<std::size_t>(got)));
    }
    return count > 0 ? count - 1 : 0;  // without the directory's own
}

void count_descriptors(process_facts& into) noexcept {
    const char* const path = "/proc/thread-self/fd";
    // Since Linux 6.2 the directory's size is their number.
    struct stat directory{};
    if (::stat(path, &directory) == 0 && directory.st_size > 0) {
        into.open_fds = directory.st_size;
        return;
    }
    into.open_fds = list_descriptors(path);
}

void read_limit(process_facts& into) noexcept {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        into.fd_limit = static_cast<std::int64_t>(limit.rlim_cur);
    }
}

void read_hostname(process_facts& into) noexcept {
    utsname names{};
    if (::uname(&names) == 0) into.hostname.assign(names.nodename);
}

}  // namespace

void read_process_facts(process_facts& into) noexcept {
    into = process_facts{};
    into.pid = static_cast<int>(::getpid());
    into.uid = static_cast<std::int64_t>(::getuid());
    read_exe(into);
    read_hostname(into);
    read_cgroup(into);
    read_stat(into);
    read_rss(into);
    count_descriptors(into);
    read_limit(into);
}

}  // namespace corodump::base
