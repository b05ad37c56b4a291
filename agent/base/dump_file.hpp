// The file a dump is written to: it has no name until it is whole.
//
// The watchdog opens it, streams the dump into it and publishes it. Until then the kernel holds an
// unnamed inode (O_TMPFILE); where the file system has none, a dot-file that is renamed. Either way
// a process killed at any moment leaves nothing under a name that readers look for.
//
//   open(dir) ── O_TMPFILE ─────────────── write … ── publish(name): linkat ───────> name
//        └────── O_EXCL .name.tmp ──────── write … ── renameat2(NOREPLACE) ────────> name
//
// Threads: one owner. Signals: open, write and publish only make system calls, no malloc, no stdio,
//          no lock. The caller has SIGXFSZ blocked, so that RLIMIT_FSIZE is EFBIG and not a death.
// Blocks:  as long as the file system does.
// Errors:  file_result, an errno value and a sentence; after an error the file can only be aborted,
//          except EEXIST from publish, after which another name may be tried.
// Bounds:  two descriptors; names of at most 255 bytes.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace corodump::base {

struct file_result {
    int error = 0;          ///< errno value, 0 when it worked
    const char* what = "";  ///< static text: what failed, for the log line
    [[nodiscard]] bool ok() const noexcept { return error == 0; }
};

inline constexpr std::size_t max_file_name_bytes = 255;

/// Two descriptors kept so that a process that ran out of them can still dump. They are the ends of
/// a pipe nobody uses: its inode is unique, so that a number which the host closed and was given
/// again is never mistaken for ours (two descriptors on /dev/null could not be told apart).
///
/// Threads: one owner. Signals: safe, except reserve(), which belongs to the start. Blocks: never.
class reserved_descriptors {
public:
    constexpr reserved_descriptors() noexcept = default;
    reserved_descriptors(const reserved_descriptors&) = delete;
    reserved_descriptors& operator=(const reserved_descriptors&) = delete;
    ~reserved_descriptors() { release(); }

    /// Opens what is not held. After a dump it replaces what release() gave away.
    [[nodiscard]] file_result reserve() noexcept;
    /// Closes those that are still ours; the two lowest free numbers are then usable.
    void release() noexcept;
    [[nodiscard]] int held() const noexcept;  ///< how many are still ours: 0, 1 or 2

private:
    [[nodiscard]] bool is_ours(int fd) const noexcept;

    int fds_[2] = {-1, -1};
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

class dump_file {
public:
    constexpr dump_file() noexcept = default;
    dump_file(const dump_file&) = delete;
    dump_file& operator=(const dump_file&) = delete;
    ~dump_file() { abort(); }

    /// `directory` must belong to us or to root and, where others may write, be sticky: else EPERM.
    /// `final_name` is a plain file name. `reserve` is released when the process has no descriptor
    /// left; may be null.
    [[nodiscard]] file_result open(const char* directory, std::string_view final_name,
                                   reserved_descriptors* reserve = nullptr) noexcept;
    /// Writes all of `bytes`, or fails with what the kernel said (ENOSPC, EFBIG, EDQUOT, EIO …).
    [[nodiscard]] file_result write(std::span<const char> bytes) noexcept;
    /// Writes all of `bytes` over what stands at `offset`.
    [[nodiscard]] file_result overwrite(std::uint64_t offset, std::span<const char> bytes) noexcept;
    /// Gives the whole file its name, never in the place of another: EEXIST, whatever is there.
    [[nodiscard]] file_result publish() noexcept;
    /// The same under another name, after EEXIST.
    [[nodiscard]] file_result publish_as(std::string_view final_name) noexcept;
    /// Closes, and removes what was not published. Does nothing when nothing is open.
    void abort() noexcept;

    [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_; }
    [[nodiscard]] bool is_open() const noexcept { return file_ >= 0; }
    /// Tests only: take the way of file systems without O_TMPFILE.
    void pretend_no_tmpfile() noexcept { use_tmpfile_ = false; }

private:
    [[nodiscard]] file_result open_directory(const char* directory,
                                             reserved_descriptors* reserve) noexcept;
    [[nodiscard]] file_result open_file(reserved_descriptors* reserve) noexcept;
    [[nodiscard]] file_result open_named() noexcept;
    [[nodiscard]] bool set_name(std::string_view final_name) noexcept;
    [[nodiscard]] int link_unnamed() const noexcept;
    [[nodiscard]] int rename_temporary() const noexcept;

    int directory_ = -1;
    int file_ = -1;
    std::uint64_t size_bytes_ = 0;
    bool use_tmpfile_ = true;
    bool has_temporary_ = false;
    char name_[max_file_name_bytes + 1] = {};
    char temporary_[max_file_name_bytes + 1] = {};  ///< "." name ".tmp"
};

/// What a dump's name is made of, as docs/format.md says.
struct dump_name_parts {
    std::string_view comm;
    std::int64_t pid = 0;
    std::int64_t utc_seconds = 0;  ///< since 1970
    std::uint64_t sequence = 1;
};

/// Builds the file name in `buffer` (at least max_file_name_bytes); empty when it does not fit.
/// Signals: safe (gmtime_r is not used: it takes the time zone's lock).
[[nodiscard]] std::string_view final_name(std::span<char> buffer,
                                          const dump_name_parts& parts) noexcept;

/// `comm` with every byte outside [A-Za-z0-9._-] replaced by '_', "_" when it is empty.
[[nodiscard]] std::string_view sanitise_comm(std::span<char> buffer,
                                             std::string_view comm) noexcept;

}  // namespace corodump::base
