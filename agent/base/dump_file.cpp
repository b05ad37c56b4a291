#include "agent/base/dump_file.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace corodump::base {
namespace {

constexpr mode_t owner_only = 0600;
constexpr std::size_t max_write_bytes = std::size_t{1} << 30;  // write(2) takes at most 2 GiB

file_result failure(const char* what) noexcept {
    return {errno, what};
}

bool is_out_of_descriptors(int error) noexcept {
    return error == EMFILE || error == ENFILE;
}

/// Runs `open` again after the reserve was released, where the process had no descriptor left.
template <class Open>
int open_with_reserve(reserved_descriptors* reserve, Open open) noexcept {
    int fd = open();
    if (fd < 0 && is_out_of_descriptors(errno) && reserve != nullptr) {
        reserve->release();
        fd = open();
    }
    return fd;
}

/// A directory where somebody else may rename or remove our file is not one to write to.
file_result check_directory(int directory) noexcept {
    struct stat status{};
    if (fstat(directory, &status) != 0) return failure("cannot examine the dump directory");
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return {EPERM, "the dump directory belongs to another user"};
    if ((status.st_mode & S_IWOTH) != 0 && (status.st_mode & S_ISVTX) == 0)
        return {EPERM, "the dump directory is writable by everybody and not sticky"};
    return {};
}

using link_path = char[sizeof("/proc/self/fd/") + 12];

void descriptor_path(link_path& path, int fd) noexcept {
    constexpr std::string_view prefix = "/proc/self/fd/";
    std::memcpy(path, prefix.data(), prefix.size());
    *std::to_chars(path + prefix.size(), path + sizeof(path) - 1, fd).ptr = '\0';
}

/// An unnamed file is given its name through /proc where we lack CAP_DAC_READ_SEARCH. In a chroot
/// without /proc that would be found out only after the whole dump was written.
bool is_linkable(int fd) noexcept {
    struct stat here{}, there{};
    link_path path;
    descriptor_path(path, fd);
    return fstat(fd, &here) == 0 && stat(path, &there) == 0 && here.st_ino == there.st_ino &&
           here.st_dev == there.st_dev;
}

bool is_plain_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= max_file_name_bytes && name != "." && name != ".." &&
           name.find('/') == name.npos && name.find('\0') == name.npos;
}

bool is_kept(char c) noexcept {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/// Appends to a fixed buffer; once something did not fit, `ok` stays false.
class appender {
public:
    explicit appender(std::span<char> buffer) noexcept : buffer_(buffer) {}

    void text(std::string_view s) noexcept {
        if (s.size() > buffer_.size() - used_) {
            ok_ = false;
            return;
        }
        if (!s.empty()) std::memcpy(buffer_.data() + used_, s.data(), s.size());
        used_ += s.size();
    }

    void number(std::uint64_t value, std::size_t width = 1) noexcept {
        char digits[20];
        const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
        const auto count = static_cast<std::size_t>(end - digits);
        for (std::size_t i = count; i < width; ++i) text("0");
        text({digits, count});
    }

    [[nodiscard]] std::string_view view() const noexcept {
        return ok_ ? std::string_view{buffer_.data(), used_} : std::string_view{};
    }

private:
    std::span<char> buffer_;
    std::size_t used_ = 0;
    bool ok_ = true;
};

struct civil_date {
    std::int64_t year;
    unsigned month, day;
};

/// Days since 1970-01-01 to the Gregorian date. Years are counted from March, so that the leap day
/// is the last of its year; an era is 400 years, which have 146,097 days.
civil_date civil_from_days(std::int64_t days) noexcept {
    const std::int64_t from_era_start = days + 719468;  // 0000-03-01
    const std::int64_t era =
        (from_era_start >= 0 ? from_era_start : from_era_start - 146096) / 146097;
    const auto day_of_era = static_cast<unsigned>(from_era_start - era * 146097);
    const unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const unsigned day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const unsigned month_from_march = (5 * day_of_year + 2) / 153;
    const unsigned day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    const unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    return {static_cast<std::int64_t>(year_of_era) + era * 400 + (month <= 2 ? 1 : 0), month, day};
}

void append_time(appender& out, std::int64_t utc_seconds) noexcept {
    constexpr std::int64_t day_seconds = 86400;
    const std::int64_t since = utc_seconds < 0 ? 0 : utc_seconds;
    const civil_date date = civil_from_days(since / day_seconds);
    const auto second_of_day = static_cast<std::uint64_t>(since % day_seconds);
    out.number(static_cast<std::uint64_t>(date.year), 4);
    out.number(date.month, 2);
    out.number(date.day, 2);
    out.text("T");
    out.number(second_of_day / 3600, 2);
    out.number(second_of_day / 60 % 60, 2);
    out.number(second_of_day % 60, 2);
    out.text("Z");
}

}  // namespace

bool reserved_descriptors::is_ours(int fd) const noexcept {
    struct stat status{};
    return fd >= 0 && fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) &&
           status.st_dev == device_ && status.st_ino == inode_;
}

int reserved_descriptors::held() const noexcept {
    return (is_ours(fds_[0]) ? 1 : 0) + (is_ours(fds_[1]) ? 1 : 0);
}

void reserved_descriptors::release() noexcept {
    for (int& fd : fds_) {
        if (is_ours(fd)) close(fd);
        fd = -1;
    }
}

file_result reserved_descriptors::reserve() noexcept {
    if (held() == 2) return {};
    release();
    if (pipe2(fds_, O_CLOEXEC | O_NONBLOCK) != 0) {
        const int error = errno;
        fds_[0] = fds_[1] = -1;
        return {error, "cannot reserve descriptors"};
    }
    struct stat status{};
    if (fstat(fds_[0], &status) != 0) return failure("cannot examine the reserved descriptors");
    device_ = status.st_dev;
    inode_ = status.st_ino;
    return {};
}

bool dump_file::set_name(std::string_view final_name) noexcept {
    if (!is_plain_name(final_name)) return false;
    std::memcpy(name_, final_name.data(), final_name.size());
    name_[final_name.size()] = '\0';
    return true;
}

file_result dump_file::open(const char* directory, std::string_view final_name,
                            reserved_descriptors* reserve) noexcept {
    abort();
    size_bytes_ = 0;
    if (!set_name(final_name)) return {EINVAL, "not a file name"};
    file_result result = open_directory(directory, reserve);
    if (result.ok()) result = open_file(reserve);
    // umask takes bits away from the mode that open was given, and some file systems add bits.
    if (result.ok() && fchmod(file_, owner_only) != 0)
        result = failure("cannot set the mode of the dump file");
    if (!result.ok()) abort();
    return result;
}

file_result dump_file::open_directory(const char* directory,
                                      reserved_descriptors* reserve) noexcept {
    directory_ = open_with_reserve(reserve, [directory]() noexcept {
        return ::open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    });
    if (directory_ < 0) return failure("cannot open the dump directory");
    return check_directory(directory_);
}

file_result dump_file::open_file(reserved_descriptors* reserve) noexcept {
    if (use_tmpfile_) {
        file_ = open_with_reserve(reserve, [this]() noexcept {
            return openat(directory_, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, owner_only);
        });
        if (file_ >= 0 && is_linkable(file_)) return {};
        // EISDIR is what kernels older than O_TMPFILE say.
        const bool unsupported =
            file_ >= 0 || errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL;
        if (!unsupported) return failure("cannot create a file in the dump directory");
        if (file_ >= 0) close(file_);
    }
    file_ = open_with_reserve(reserve, [this]() noexcept {
        const file_result named = open_named();
        if (!named.ok()) errno = named.error;
        return named.ok() ? file_ : -1;
    });
    return file_ >= 0 ? file_result{} : failure("cannot create a file in the dump directory");
}

file_result dump_file::open_named() noexcept {
    appender name{std::span{temporary_}.first(max_file_name_bytes)};
    name.text(".");
    name.text(name_);
    name.text(".tmp");
    if (name.view().empty()) return {ENAMETOOLONG, "the dump file's name is too long"};
    temporary_[name.view().size()] = '\0';
    file_ = openat(directory_, temporary_, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC,
                   owner_only);
    has_temporary_ = file_ >= 0;
    return file_ >= 0 ? file_result{} : failure("cannot create a file in the dump directory");
}

file_result dump_file::write(std::span<const char> bytes) noexcept {
    if (file_ < 0) return {EBADF, "no dump file is open"};
    while (!bytes.empty()) {
        const ssize_t written =
            ::write(file_, bytes.data(), std::min(bytes.size(), max_write_bytes));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return failure("cannot write the dump file");
        if (written == 0) return {EIO, "the dump file takes no more bytes"};
        bytes = bytes.subspan(static_cast<std::size_t>(written));
        size_bytes_ += static_cast<std::uint64_t>(written);
    }
    return {};
}

file_result dump_file::overwrite(std::uint64_t offset, std::span<const char> bytes) noexcept {
    if (file_ < 0) return {EBADF, "no dump file is open"};
    ssize_t written = -1;
    do {
        written = ::pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    } while (written < 0 && errno == EINTR);
    if (written < 0) return failure("cannot write the dump file");
    if (static_cast<std::size_t>(written) != bytes.size())
        return {EIO, "the dump file takes no more bytes"};
    return {};
}

int dump_file::link_unnamed() const noexcept {
    if (linkat(file_, "", directory_, name_, AT_EMPTY_PATH) == 0) return 0;
    if (errno == EEXIST) return EEXIST;
    link_path path;
    descriptor_path(path, file_);
    return linkat(AT_FDCWD, path, directory_, name_, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

int dump_file::rename_temporary() const noexcept {
    if (syscall(SYS_renameat2, directory_, temporary_, directory_, name_, RENAME_NOREPLACE) == 0)
        return 0;
    // Old kernels, file systems that do not know the flag, seccomp filters that do not know the
    // call.
    if (errno != EINVAL && errno != ENOSYS && errno != EPERM) return errno;
    // Plain renameat would replace what is there; a hard link does not.
    if (linkat(directory_, temporary_, directory_, name_, 0) != 0) return errno;
    unlinkat(directory_, temporary_, 0);
    return 0;
}

file_result dump_file::publish() noexcept {
    if (file_ < 0) return {EBADF, "no dump file is open"};
    const int error = has_temporary_ ? rename_temporary() : link_unnamed();
    if (error == EEXIST) return {EEXIST, "the dump file's name is taken"};
    if (error != 0) return {error, "cannot name the dump file"};
    has_temporary_ = false;
    abort();
    return {};
}

file_result dump_file::publish_as(std::string_view final_name) noexcept {
    return set_name(final_name) ? publish() : file_result{EINVAL, "not a file name"};
}

void dump_file::abort() noexcept {
    if (has_temporary_) unlinkat(directory_, temporary_, 0);
    if (file_ >= 0) close(file_);
    if (directory_ >= 0) close(directory_);
    has_temporary_ = false;
    file_ = directory_ = -1;
}

std::string_view sanitise_comm(std::span<char> buffer, std::string_view comm) noexcept {
    if (comm.empty()) comm = "_";
    const std::size_t size = std::min(buffer.size(), comm.size());
    std::transform(comm.begin(), comm.begin() + static_cast<std::ptrdiff_t>(size), buffer.begin(),
                   [](char c) noexcept { return is_kept(c) ? c : '_'; });
    return {buffer.data(), size};
}

std::string_view final_name(std::span<char> buffer, const dump_name_parts& parts) noexcept {
    char comm[64];
    appender out{buffer.first(std::min(buffer.size(), max_file_name_bytes))};
    out.text("corodump-");
    out.text(sanitise_comm(comm, parts.comm));
    out.text("-");
    out.number(static_cast<std::uint64_t>(parts.pid));
    out.text("-");
    append_time(out, parts.utc_seconds);
    out.text("-");
    out.number(parts.sequence);
    out.text(".json");
    return out.view();
}

}  // namespace corodump::base
