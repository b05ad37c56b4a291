#include "agent/sources/descriptor_watch.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/base/clock.hpp"
#include "agent/base/fd.hpp"
#include "agent/base/text.hpp"

namespace corodump::sources {
namespace {

// Of the thread: where main has left by pthread_exit, /proc/self is a zombie's.
constexpr const char* directory_path = "/proc/thread-self/fd";
constexpr std::int64_t pass_interval_ns = 1'000'000'000;
constexpr std::int64_t cost_share = 100;  ///< of the time, what passes may take
constexpr std::size_t numbers_at_a_tick = 1024;
constexpr std::size_t longest_target = 256;  ///< what is longer is told apart by its beginning

/// As getdents64(2) lays an entry out.
struct entry_head {
    std::uint64_t inode;
    std::int64_t next;  ///< position behind it
    std::uint16_t length;
    std::uint8_t type;
};
constexpr std::size_t name_offset = offsetof(entry_head, type) + 1;

std::string_view link_text(int directory, const char* name, std::span<char> out) noexcept {
    const long got = ::syscall(SYS_readlinkat, directory, name, out.data(), out.size());
    return got <= 0 ? std::string_view{} : std::string_view(out.data(), static_cast<size_t>(got));
}

/// A file that is deleted while it is open stays what it is.
std::uint64_t hash_of(std::string_view target) noexcept {
    constexpr std::string_view deleted = " (deleted)";
    if (target.ends_with(deleted)) target.remove_suffix(deleted.size());
    std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a
    for (const char c : target) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return hash;
}

}  // namespace

int descriptor_watch::begin(std::int64_t now_ns) noexcept {
    if (table_.empty()) {
        void* const mapped = mmap(nullptr, max_descriptors * sizeof(seen), PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED) return errno;
        table_ = {static_cast<seen*>(mapped), max_descriptors};
    }
    std::ranges::fill(table_.first(highest_), seen{});
    totals_ = {};
    pass_ = last_whole_ = 0;
    highest_ = 0;
    in_pass_ = false;
    on_ = true;
    look_at_all(now_ns);
    totals_.opened = 0;
    return 0;
}

void descriptor_watch::look(std::int64_t now_ns) noexcept {
    if (!on_ || (!in_pass_ && now_ns < due_ns_)) return;
    if (!in_pass_) begin_pass();
    const std::int64_t began = base::monotonic_ns();
    const progress made = look_at(numbers_at_a_tick, now_ns);
    cost_ns_ += base::monotonic_ns() - began;
    if (made == progress::more) return;
    end_pass(made);
    due_ns_ = now_ns + std::max(pass_interval_ns, cost_ns_ * cost_share);
}

void descriptor_watch::look_at_all(std::int64_t now_ns) noexcept {
    if (!on_) return;
    begin_pass();
    end_pass(look_at(~std::size_t{0}, now_ns));
}

void descriptor_watch::begin_pass() noexcept {
    // A pass that was under way is given up; what it saw stays seen.
    ++pass_;
    position_ = 0;
    cost_ns_ = 0;
    found_ = unwatched_ = 0;
    in_pass_ = true;
}

void descriptor_watch::end_pass(progress how) noexcept {
    in_pass_ = false;
    if (how != progress::whole) return;
    last_whole_ = pass_;
    totals_.live = found_;
    totals_.peak = std::max(totals_.peak, found_);
    totals_.unwatched = unwatched_;
}

descriptor_watch::progress descriptor_watch::look_at(std::size_t most,
                                                     std::int64_t now_ns) noexcept {
    const base::result<base::unique_fd> directory =
        base::open_file(directory_path, O_RDONLY | O_DIRECTORY);
    if (!directory) return progress::failed;
    if (position_ != 0 && ::syscall(SYS_lseek, directory->get(), position_, SEEK_SET) < 0)
        return progress::failed;
    alignas(std::uint64_t) char buffer[8192];
    for (std::size_t done = 0; done < most;) {
        const long got = ::syscall(SYS_getdents64, directory->get(), buffer, sizeof buffer);
        if (got <= 0) return got == 0 ? progress::whole : progress::failed;
        for (std::size_t at = 0; at + name_offset < static_cast<std::size_t>(got); ++done) {
            entry_head head{};
            std::memcpy(&head, buffer + at, name_offset);
            if (head.length <= name_offset) return progress::failed;
            position_ = head.next;
            std::uint64_t number = 0;
            const char* const name = buffer + at + name_offset;
            const std::size_t room = head.length - name_offset;
            if (base::parse_unsigned({name, strnlen(name, room)}, number) &&
                static_cast<int>(number) != directory->get())
                note(directory->get(), number, now_ns);
            at += head.length;
        }
    }
    return progress::more;
}

void descriptor_watch::note(int directory, std::size_t number, std::int64_t now_ns) noexcept {
    if (number >= table_.size()) {
        ++unwatched_;
        return;
    }
    char name[24];
    base::text(name).decimal(number).append('\0');
    char target[longest_target];
    const std::string_view text = link_text(directory, name, target);
    if (text.empty()) return;  // closed meanwhile
    ++found_;
    const std::uint64_t what = hash_of(text);
    seen& at = table_[number];
    // Of the last whole pass, or of one since that was given up.
    const bool same = at.pass != 0 && at.pass >= last_whole_ && at.what == what;
    if (!same) {
        at = {what, now_ns, 0, pass_};
        ++totals_.opened;
    }
    at.pass = pass_;
    highest_ = std::max(highest_, number + 1);
}

std::int64_t descriptor_watch::first_seen_ns(std::size_t number) const noexcept {
    if (number >= highest_) return -1;
    const seen& at = table_[number];
    return at.pass != 0 && at.pass >= last_whole_ ? at.first_ns : -1;
}

bool descriptor_watch::from_the_start(std::size_t number) const noexcept {
    return number < highest_ && table_[number].first_pass == 1;
}

std::string_view descriptor_watch::target_of(std::size_t number, std::span<char> out) noexcept {
    char path[64];
    base::text(path).append(directory_path).append('/').decimal(number).append('\0');
    return link_text(AT_FDCWD, path, out);
}

}  // namespace corodump::sources
