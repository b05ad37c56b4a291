#include "agent/base/arena.hpp"

#include <sys/auxv.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace corodump::base {
namespace {

// Opened at a time: as much as a transparent huge page takes, so that there may be some.
constexpr std::size_t step_bytes = std::size_t{2} << 20U;

// From the auxiliary vector: no lock, and no guard of a local static.
std::size_t page_size() noexcept {
    return ::getauxval(AT_PAGESZ);
}

/// False where a filter forbids the calls: then what lies there is not zero, and is still to be
/// cleared.
bool take_back(void* at, std::size_t bytes) noexcept {
    if (::madvise(at, bytes, MADV_DONTNEED) == 0) return true;
    // Refused where the host has locked its memory since (mlockall).
    return ::munlock(at, bytes) == 0 && ::madvise(at, bytes, MADV_DONTNEED) == 0;
}

}  // namespace

arena::arena(arena&& other) noexcept {
    *this = std::move(other);
}

arena& arena::operator=(arena&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(used_, other.used_);
    std::swap(touched_, other.touched_);
    std::swap(open_, other.open_);
    std::swap(limit_, other.limit_);
    std::swap(peak_, other.peak_);
    std::swap(refusals_, other.refusals_);
    return *this;
}

arena::~arena() {
    if (base_ != nullptr) ::munmap(base_, limit_);
}

result<void> arena::reserve(std::size_t max_bytes) noexcept {
    if (base_ != nullptr) return failure{EBUSY};
    const std::size_t page = page_size();
    if (max_bytes == 0 || max_bytes > SIZE_MAX - page) return failure{EINVAL};
    const std::size_t bytes = (max_bytes + page - 1) / page * page;
    void* const at =
        ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return failure{errno};
    // Of a host that locks what it will map (MCL_FUTURE), all of it would count as locked.
    static_cast<void>(::munlock(at, bytes));
    // A core file of the host has no use for our scratch memory. A kernel that will not is fine.
    static_cast<void>(::madvise(at, bytes, MADV_DONTDUMP));
    base_ = static_cast<std::byte*>(at);
    limit_ = bytes;
    // From the start, since it splits the mapping: later there may be too many in the process.
    if (open_more(1)) return {};
    const int error = errno;
    ::munmap(at, bytes);
    base_ = nullptr;
    limit_ = 0;
    return failure{error};
}

/// To the end of the step by address, not by offset: huge pages are aligned to theirs.
std::size_t arena::step_up(std::size_t bytes) const noexcept {
    const auto base = reinterpret_cast<std::uintptr_t>(base_);
    const std::uintptr_t end = (base + bytes + step_bytes - 1) / step_bytes * step_bytes;
    return std::min<std::size_t>(end - base, limit_);
}

bool arena::open_more(std::size_t end) noexcept {
    const std::size_t until = step_up(end);
    // Locked since it was reserved (MCL_CURRENT): opening would make all of it resident at once.
    static_cast<void>(::munlock(base_ + open_, until - open_));
    if (::mprotect(base_ + open_, until - open_, PROT_READ | PROT_WRITE) != 0) return false;
    open_ = until;
    return true;
}

/// What stays open is right too: it only may be made resident by mlockall.
void arena::close_from(std::size_t begin) noexcept {
    const std::size_t from = step_up(std::max<std::size_t>(begin, 1));
    if (from >= open_ || ::mprotect(base_ + from, open_ - from, PROT_NONE) != 0) return;
    open_ = from;
}

void* arena::allocate_bytes(std::size_t count, std::size_t size, std::size_t alignment) noexcept {
    if (count == 0) return nullptr;
    const std::size_t start = (used_ + alignment - 1) / alignment * alignment;
    if (start > limit_ || count > (limit_ - start) / size || !open_up_to(start + count * size)) {
        ++refusals_;
        return nullptr;
    }
    used_ = start + count * size;
    touched_ = std::max(touched_, used_);
    peak_ = std::max(peak_, used_);
    return base_ + start;
}

std::string_view arena::copy(std::string_view from) noexcept {
    const std::span<char> made = allocate_uninitialized<char>(from.size() + 1);
    if (made.empty()) return {};
    if (!from.empty()) std::memcpy(made.data(), from.data(), from.size());
    made[from.size()] = '\0';
    return {made.data(), from.size()};
}

void arena::clear_touched(void* at, std::size_t bytes, std::size_t touched) noexcept {
    const auto start = static_cast<std::size_t>(static_cast<std::byte*>(at) - base_);
    if (start < touched) std::memset(at, 0, std::min(bytes, touched - start));
}

void arena::note_touched(std::size_t beyond) noexcept {
    touched_ = std::max(touched_, std::min(limit_, used_ + beyond));
}

void arena::fetch_pages(const void* at, std::size_t bytes) noexcept {
    const std::size_t page = page_size();
    auto begin = static_cast<std::size_t>(static_cast<const std::byte*>(at) - base_);
    const std::size_t end = std::min(begin + bytes, open_) / page * page;
    begin = std::max((begin + page - 1) / page * page, touched_ / page * page);
    if (begin >= end) return;
#ifdef MADV_POPULATE_WRITE
    static_cast<void>(::madvise(base_ + begin, end - begin, MADV_POPULATE_WRITE));
#endif
    touched_ = std::max(touched_, end);
}

void arena::release(std::size_t keep_bytes) noexcept {
    used_ = 0;
    // Locked since (mlockall): it is none of the memory that the host wants resident.
    if (base_ != nullptr) static_cast<void>(::munlock(base_, limit_));
    give_back(keep_bytes);
}

void arena::trim() noexcept {
    give_back(used_);
}

void arena::give_back(std::size_t keep_bytes) noexcept {
    const std::size_t page = page_size();
    const std::size_t keep = (keep_bytes + page - 1) / page * page;
    if (touched_ > keep && !take_back(base_ + keep, std::min(touched_ - keep, limit_ - keep)))
        return;
    touched_ = std::min(touched_, keep);
    close_from(keep);
}

}  // namespace corodump::base
