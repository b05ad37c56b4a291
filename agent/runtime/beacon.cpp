#include "agent/runtime/beacon.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>

#include "agent/base/fd.hpp"
#include "agent/base/safe_copy.hpp"
#include "agent/base/text.hpp"

namespace corodump::runtime {
namespace {

constexpr std::size_t page_bytes = 4096;

/// The beacon at `address` speaks for this process: not for the parent it was forked from.
bool is_live(std::uint64_t address, bool& settled) noexcept {
    constexpr std::size_t head_bytes = offsetof(model::beacon, directory);
    unsigned char head[head_bytes];
    std::int32_t pid = 0;
    if (base::safe_copy(head, address, head_bytes) != head_bytes) return false;
    std::memcpy(&pid, head + offsetof(model::beacon, pid), sizeof pid);
    std::int32_t word = 0;
    std::memcpy(&word, head + offsetof(model::beacon, settled), sizeof word);
    settled = word != 0;
    return std::memcmp(head, "corodump", sizeof(model::beacon::magic)) == 0 && pid == getpid();
}

/// Where the mapping of this line of /proc/self/maps begins, if it is a beacon's; 0.
std::uint64_t beacon_in(std::string_view line) noexcept {
    const std::size_t name = line.find("/memfd:");
    if (name == std::string_view::npos) return 0;
    std::string_view rest = line.substr(name + std::string_view("/memfd:").size());
    if (!rest.starts_with(model::beacon_mapping_name)) return 0;
    std::uint64_t start = 0;
    return base::parse_hex(base::split_off(line, '-'), start) ? start : 0;
}

template <std::size_t N>
void set_text(char (&to)[N], std::string_view text) noexcept {
    const std::size_t bytes = std::min(text.size(), N - 1);
    if (bytes != 0) std::memcpy(to, text.data(), bytes);
    to[bytes] = '\0';
}

/// Makes the file one page long. Where a limit on file size (RLIMIT_FSIZE) forbids even that, the
/// kernel sends SIGXFSZ besides, which would kill the host: it is taken here.
int make_page_long(int fd) noexcept {
    sigset_t over_limit, before;
    sigemptyset(&over_limit);
    sigaddset(&over_limit, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &over_limit, &before);
    const int error = ftruncate(fd, page_bytes) == 0 ? 0 : errno;
    const timespec at_once{};
    if (error == EFBIG && sigismember(&before, SIGXFSZ) == 0)
        sigtimedwait(&over_limit, nullptr, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return error;
}

}  // namespace

int beacon_page::raise(int signal, std::string_view directory) noexcept {
    const int fd = memfd_create(model::beacon_mapping_name, MFD_CLOEXEC);
    if (fd < 0) return errno;
    int error = make_page_long(fd);
    void* mapped = MAP_FAILED;
    if (error == 0) {
        mapped = mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        if (mapped == MAP_FAILED) error = errno;
    }
    close(fd);
    if (error != 0) return error;
    auto* const page = new (mapped) model::beacon{};
    page->version = model::beacon::current_version;
    page->size_bytes = sizeof(model::beacon);
    page->pid = getpid();
    page->signal = signal;
    set_text(page->directory, directory);
    // The magic last: a page without it is not read.
    std::atomic_thread_fence(std::memory_order_release);
    std::memcpy(page->magic, "corodump", sizeof page->magic);
    page_ = page;
    return 0;
}

void beacon_page::lower() noexcept {
    if (page_ != nullptr) munmap(page_, page_bytes);
    page_ = nullptr;
}

bool beacon_page::another_is_raised(const model::beacon* own) noexcept {
    return strongest_rival(own) != rival::none;
}

/// Each has raised its page before it looks, so that of two at least one sees the other; the fence
/// keeps that order. One that is settled stays; of those that are not, the one that lies lowest. It
/// waits for the others, since one of them may have looked before this page was there.
bool beacon_page::settle() noexcept {
    if (page_ == nullptr) return true;
    constexpr int most_looks = 1000;
    constexpr timespec pause{0, 1'000'000};
    for (int i = 0; i < most_looks; ++i) {
        std::atomic_thread_fence(std::memory_order_seq_cst);
        const rival found = strongest_rival(page_);
        if (found == rival::stronger) return false;
        if (found == rival::none) {
            page_->settled.store(1, std::memory_order_seq_cst);
            return true;
        }
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    }
    return false;
}

beacon_page::rival beacon_page::strongest_rival(const model::beacon* own) noexcept {
    const auto own_address = reinterpret_cast<std::uintptr_t>(own);
    rival found = rival::none;
    const auto maps = base::open_file("/proc/self/maps");
    if (!maps) return found;
    char buffer[8192];  // a line is some numbers and a path of at most 4,096 bytes
    for (std::size_t used = 0;;) {
        const auto got = base::read_some(maps->get(), std::span(buffer).subspan(used));
        if (!got || *got == 0) return found;
        std::string_view text(buffer, used + *got);
        for (std::size_t end; (end = text.find('\n')) != std::string_view::npos;) {
            const std::uint64_t at = beacon_in(text.substr(0, end));
            text.remove_prefix(end + 1);
            bool settled = false;
            if (at == 0 || at == own_address || !is_live(at, settled)) continue;
            if (settled || at < own_address) return rival::stronger;
            found = rival::weaker;
        }
        if (text.size() == sizeof buffer) text = {};
        if (!text.empty()) std::memmove(buffer, text.data(), text.size());
        used = text.size();
    }
}

void beacon_page::show_threads(int signal_tid, int watchdog_tid) noexcept {
    if (page_ == nullptr) return;
    page_->signal_tid = signal_tid;
    page_->watchdog_tid = watchdog_tid;
}

void beacon_page::show_outcome(int error, std::string_view path, std::string_view text,
                               std::uint64_t answered) noexcept {
    if (page_ == nullptr) return;
    page_->revision.fetch_add(1, std::memory_order_acq_rel);
    page_->last_error = error;
    if (error == 0) {
        set_text(page_->last_path, path);
        page_->dumps.fetch_add(1, std::memory_order_relaxed);
    }
    set_text(page_->last_error_text, error == 0 ? std::string_view{} : text);
    page_->revision.fetch_add(1, std::memory_order_release);
    page_->answered.store(answered, std::memory_order_release);
}

void beacon_page::disown() noexcept {
    if (page_ == nullptr) return;
    page_->pid = getpid();
    page_->signal_tid = page_->watchdog_tid = 0;
    page_->requests.store(0, std::memory_order_relaxed);
    page_->answered.store(0, std::memory_order_relaxed);
    page_->dumps.store(0, std::memory_order_relaxed);
    page_->last_path[0] = '\0';
}

}  // namespace corodump::runtime
