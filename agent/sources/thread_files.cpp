#include "agent/sources/thread_files.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "agent/base/text.hpp"

namespace corodump::sources {
namespace {

// As getdents64(2) lays a record out.
constexpr std::size_t record_size_offset = 16;
constexpr std::size_t record_name_offset = 19;

std::uint64_t number_in(std::string_view text) noexcept {
    std::uint64_t value = 0;
    const bool hex = text.starts_with("0x");
    return base::parse_unsigned(hex ? text.substr(2) : text, value, hex ? 16 : 10) ? value : 0;
}

/// The value behind `key`, up to the line's end.
std::string_view line_of(std::string_view text, std::string_view key) noexcept {
    const std::size_t at = text.find(key);
    if (at == std::string_view::npos) return {};
    text.remove_prefix(at + key.size());
    return base::split_off(text, '\n');
}

/// Adds the ids in a block of records; returns how many found no room.
std::uint64_t add_ids(std::span<const char> records, std::span<std::int32_t> tids,
                      std::size_t& used) noexcept {
    std::uint64_t left_out = 0;
    for (std::size_t at = 0; at + record_name_offset < records.size();) {
        std::uint16_t bytes = 0;
        std::memcpy(&bytes, records.data() + at + record_size_offset, sizeof bytes);
        if (bytes <= record_name_offset || at + bytes > records.size()) break;
        const char* const name = records.data() + at + record_name_offset;
        std::int32_t tid = 0;
        std::from_chars(name, records.data() + at + bytes, tid);
        at += bytes;
        if (tid <= 0) continue;  // "." and ".."
        if (used < tids.size())
            tids[used++] = tid;
        else
            ++left_out;
    }
    return left_out;
}

}  // namespace

bool parse_call(std::string_view text, thread_call& into) noexcept {
    into = {};
    if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
    if (text == "running") return true;
    const std::string_view number = base::split_off(text, ' ');
    if (number == "-1") {
        into.what = thread_call::kind::blocked;
    } else {
        std::uint64_t value = 0;
        if (!base::parse_unsigned(number, value)) return false;
        into.what = thread_call::kind::in_call;
        into.number = static_cast<std::int64_t>(value);
        for (std::uint64_t& argument : into.arguments)
            argument = number_in(base::split_off(text, ' '));
    }
    into.sp = number_in(base::split_off(text, ' '));
    into.pc = number_in(text);
    return into.sp != 0 && into.pc != 0;
}

// The files in /proc count in scheduler ticks only. The clock's number is made as the kernel makes
// it for pthread_getcpuclockid(3): of a thread, by the scheduler.
std::int64_t cpu_time_of(std::int32_t tid) noexcept {
    const auto clock = static_cast<clockid_t>((~static_cast<std::uint32_t>(tid) << 3U) | 4U | 2U);
    timespec used{};
    if (::syscall(SYS_clock_gettime, clock, &used) != 0) return -1;
    return std::int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

thread_files::thread_files() noexcept {
    auto opened = base::open_file("/proc/self/task", O_RDONLY | O_DIRECTORY);
    if (opened)
        tasks_ = std::move(*opened);
    else
        error_ = opened.error();
}

std::size_t thread_files::list(std::span<std::int32_t> tids, std::uint64_t& left_out) noexcept {
    alignas(std::uint64_t) char buffer[4096];
    std::size_t used = 0;
    left_out = 0;
    while (tasks_) {
        const long got = ::syscall(SYS_getdents64, tasks_.get(), buffer, sizeof buffer);
        if (got < 0) error_ = errno;
        if (got <= 0) break;
        left_out += add_ids(std::span(buffer, static_cast<std::size_t>(got)), tids, used);
    }
    return used;
}

base::unique_fd thread_files::open(std::int32_t tid, std::string_view file) const noexcept {
    char path[48];
    base::text name(path);
    name.decimal(static_cast<std::uint32_t>(tid)).append('/').append(file).append('\0');
    return base::unique_fd(
        static_cast<int>(::syscall(SYS_openat, tasks_.get(), path, O_RDONLY | O_CLOEXEC, 0)));
}

std::string_view thread_files::read(std::int32_t tid, std::string_view file,
                                    std::span<char> into) const noexcept {
    const base::unique_fd opened = open(tid, file);
    if (!opened) return {};
    const base::result<std::size_t> got = base::read_some(opened.get(), into);
    return got.ok() ? std::string_view(into.data(), *got) : std::string_view{};
}

bool thread_files::read_names(std::int32_t tid, thread_names& into) const noexcept {
    char buffer[512];
    // tid (name) state …: the name may hold parentheses, so it ends at the last one.
    const std::string_view text = read(tid, "stat", buffer);
    const std::size_t begin = text.find('(');
    const std::size_t end = text.rfind(')');
    if (begin == std::string_view::npos || end == std::string_view::npos || end + 2 >= text.size())
        return false;
    into.name.assign(text.substr(begin + 1, end - begin - 1));
    into.state = text[end + 2];
    return true;
}

base::unique_fd thread_files::open_call(std::int32_t tid) const noexcept {
    return open(tid, "syscall");
}

bool thread_files::read_call(const base::unique_fd& file, thread_call& into) noexcept {
    char buffer[256];
    if (!file) return false;
    // The kernel writes the text anew for a read from the beginning.
    const long got = ::syscall(SYS_pread64, file.get(), buffer, sizeof buffer, 0L);
    return got > 0 && parse_call({buffer, static_cast<std::size_t>(got)}, into);
}

bool thread_files::read_call(std::int32_t tid, thread_call& into) const noexcept {
    return read_call(open_call(tid), into);
}

bool thread_files::read_status(std::int32_t tid, thread_status& into) const noexcept {
    char buffer[4096];  // what is looked for stands within 1,500 bytes, but for very many groups
    const std::string_view text = read(tid, "status", buffer);
    const std::string_view blocked = line_of(text, "\nSigBlk:\t");
    into.voluntary_switches = number_in(line_of(text, "\nvoluntary_ctxt_switches:\t"));
    return base::parse_hex(blocked, into.blocked_signals);
}

base::fixed_string<thread_files::max_wait_channel> thread_files::wait_channel(
    std::int32_t tid) const noexcept {
    char buffer[max_wait_channel + 1];
    const std::string_view text = read(tid, "wchan", buffer);
    return base::fixed_string<max_wait_channel>(text == "0" ? std::string_view{} : text);
}

}  // namespace corodump::sources
