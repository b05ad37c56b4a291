#include "agent/base/retention.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <span>
#include <tuple>

#include "agent/base/clock.hpp"
#include "agent/base/dump_file.hpp"
#include "agent/base/text.hpp"

namespace corodump::base {
namespace {

constexpr std::int64_t stale_temporary_seconds = 3600;
constexpr std::int64_t clock_tolerance_seconds = 60;  // of machines that share a directory

/// Takes a dump's name apart from the left. Once something did not match, `ok` stays false.
class name_scanner {
public:
    explicit name_scanner(std::string_view name) noexcept : rest_(name) {}

    void literal(std::string_view expected) noexcept {
        ok_ = ok_ && rest_.starts_with(expected);
        if (ok_) rest_.remove_prefix(expected.size());
    }

    /// A decimal number as final_name writes it: no sign, no leading zero.
    std::uint64_t number() noexcept {
        std::uint64_t value = 0;
        const char* const end = rest_.data() + rest_.size();
        const auto [stop, error] = std::from_chars(rest_.data(), end, value);
        const auto count = static_cast<std::size_t>(stop - rest_.data());
        ok_ = ok_ && error == std::errc{} && (rest_.front() != '0' || count == 1);
        if (ok_) rest_.remove_prefix(count);
        return value;
    }

    /// Exactly `count` digits.
    std::uint64_t digits(std::size_t count) noexcept {
        std::uint64_t value = 0;
        ok_ = ok_ && rest_.size() >= count;
        for (std::size_t i = 0; ok_ && i < count; ++i) {
            ok_ = rest_[i] >= '0' && rest_[i] <= '9';
            value = value * 10 + static_cast<std::uint64_t>(rest_[i] - '0');
        }
        if (ok_) rest_.remove_prefix(count);
        return value;
    }

    [[nodiscard]] bool matched_all() const noexcept { return ok_ && rest_.empty(); }

private:
    std::string_view rest_;
    bool ok_ = true;
};

struct old_file {
    parsed_dump_name parsed;
    char name[max_file_name_bytes + 1];

    [[nodiscard]] bool older_than(const old_file& other) const noexcept {
        return std::tie(parsed.time, parsed.sequence, parsed.pid) <
               std::tie(other.parsed.time, other.parsed.sequence, other.parsed.pid);
    }
};

/// The `batch_files` oldest of what it was shown, oldest first.
class oldest_files {
public:
    void offer(const parsed_dump_name& parsed, std::string_view name) noexcept {
        old_file candidate;
        candidate.parsed = parsed;
        std::memcpy(candidate.name, name.data(), name.size());
        candidate.name[name.size()] = '\0';
        std::size_t at = count_;
        while (at > 0 && candidate.older_than(files_[at - 1])) --at;
        if (at == retention_bounds::batch_files) return;
        const std::size_t moved = std::min(count_, retention_bounds::batch_files - std::size_t{1});
        std::copy_backward(files_ + at, files_ + moved, files_ + moved + 1);
        files_[at] = candidate;
        count_ = std::min<std::size_t>(count_ + 1, retention_bounds::batch_files);
    }

    [[nodiscard]] std::span<const old_file> oldest(std::size_t wanted) const noexcept {
        return {files_, std::min(wanted, count_)};
    }

private:
    old_file files_[retention_bounds::batch_files];
    std::size_t count_ = 0;
};

/// A record of getdents64; the C library's readdir would need malloc.
struct directory_record {
    std::uint64_t inode;
    std::int64_t offset;
    std::uint16_t size_bytes;
    std::uint8_t type;
};
constexpr std::size_t record_name_offset = 19;

/// Calls `each(name)` for every entry, at most max_entries. Returns an errno value, and E2BIG where
/// the bound was reached.
template <class Each>
int for_each_entry(int directory, Each each) noexcept {
    alignas(directory_record) char buffer[16 * 1024];
    unsigned entries = 0;
    if (lseek(directory, 0, SEEK_SET) < 0) return errno;
    for (;;) {
        const long got = syscall(SYS_getdents64, directory, buffer, sizeof(buffer));
        if (got < 0) return errno;
        if (got == 0) return 0;
        for (long at = 0; at < got;) {
            directory_record record;
            std::memcpy(&record, buffer + at, record_name_offset);
            if (++entries > retention_bounds::max_entries) return E2BIG;
            each(std::string_view{buffer + at + record_name_offset});
            at += record.size_bytes;
        }
    }
}

bool is_our_file(int directory, const char* name, struct stat& status) noexcept {
    return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
           status.st_uid == geteuid();
}

class retention_pass {
public:
    retention_pass(int directory, std::string_view comm, std::string_view just_written,
                   std::uint64_t latest) noexcept
        : directory_(directory), comm_(comm), just_written_(just_written), latest_(latest) {}

    int look() noexcept {
        return for_each_entry(directory_, [this](std::string_view name) noexcept { see(name); });
    }

    unsigned remove_oldest(std::size_t wanted) noexcept {
        unsigned removed = 0;
        for (const old_file& file : oldest_.oldest(wanted))
            if (unlinkat(directory_, file.name, 0) == 0) ++removed;
        return removed;
    }

    [[nodiscard]] unsigned seen() const noexcept { return seen_; }

private:
    void see(std::string_view name) noexcept {
        struct stat status{};
        if (name.starts_with('.')) {
            remove_stale_temporary(name);
            return;
        }
        parsed_dump_name parsed = parse_dump_name(name, comm_);
        if (!parsed.matches || !is_our_file(directory_, name.data(), status)) return;
        ++seen_;
        if (name == just_written_) return;
        if (parsed.time > latest_) parsed.time = 0;
        oldest_.offer(parsed, name);
    }

    void remove_stale_temporary(std::string_view name) noexcept {
        constexpr std::string_view suffix = ".tmp";
        if (!name.ends_with(suffix)) return;
        const std::string_view inner = name.substr(1, name.size() - 1 - suffix.size());
        struct stat status{};
        if (!parse_dump_name(inner, comm_).matches || !is_our_file(directory_, name.data(), status))
            return;
        timespec now{};
        clock_gettime(CLOCK_REALTIME, &now);
        if (now.tv_sec - status.st_mtime > stale_temporary_seconds)
            unlinkat(directory_, name.data(), 0);
    }

    int directory_;
    std::string_view comm_;
    std::string_view just_written_;
    std::uint64_t latest_;  ///< no dump of today's clock has a later time
    unsigned seen_ = 0;
    oldest_files oldest_;
};

/// As parsed_dump_name::time.
std::uint64_t latest_time(std::int64_t utc_seconds) noexcept {
    if (utc_seconds == 0) return ~std::uint64_t{0};
    char buffer[32];
    text written(buffer);
    append_compact_utc(written, (utc_seconds + clock_tolerance_seconds) * 1'000'000'000);
    name_scanner scan{written.view()};
    const std::uint64_t date = scan.digits(8);
    scan.literal("T");
    return date * 1'000'000 + scan.digits(6);
}

retention_result prune(int directory, std::string_view comm, unsigned max_files,
                       const retention_moment& now) noexcept {
    const std::uint64_t latest = latest_time(now.utc_seconds);
    retention_result result;
    for (unsigned i = 0; i < retention_bounds::max_passes; ++i) {
        retention_pass pass{directory, comm, now.just_written, latest};
        result.error = pass.look();
        if (result.error != 0) break;
        result.kept = pass.seen();
        if (result.kept <= max_files) return result;
        const unsigned removed = pass.remove_oldest(result.kept - max_files);
        result.removed += removed;
        result.kept -= removed;
        if (result.kept <= max_files) return result;
        if (removed == 0) break;  // the next pass would meet the same files
    }
    result.complete = false;
    return result;
}

}  // namespace

parsed_dump_name parse_dump_name(std::string_view name, std::string_view sanitised_comm) noexcept {
    parsed_dump_name parsed;
    name_scanner scan{name};
    scan.literal("corodump-");
    scan.literal(sanitised_comm);
    scan.literal("-");
    parsed.pid = scan.number();
    scan.literal("-");
    const std::uint64_t date = scan.digits(8);
    scan.literal("T");
    parsed.time = date * 1'000'000 + scan.digits(6);
    scan.literal("Z-");
    parsed.sequence = scan.number();
    scan.literal(".json");
    parsed.matches = scan.matched_all() && name.size() <= max_file_name_bytes;
    return parsed;
}

retention_result apply_retention(const char* directory, std::string_view comm, unsigned max_files,
                                 const retention_moment& now) noexcept {
    if (max_files == 0) return {};
    char sanitised[64];
    const std::string_view in_name = sanitise_comm(sanitised, comm);
    const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return {errno, 0, 0, false};
    const retention_result result = prune(fd, in_name, max_files, now);
    close(fd);
    return result;
}

}  // namespace corodump::base
