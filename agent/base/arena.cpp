#include "agent/base/arena.hpp"

#include <sys/auxv.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace corodump::base {
namespace {

// From the auxiliary vector: no lock, and no guard of a local static.
std::size_t page_size() noexcept {
    return ::getauxval(AT_PAGESZ);
}

}  // namespace

arena::arena(arena&& other) noexcept {
    *this = std::move(other);
}

arena& arena::operator=(arena&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(used_, other.used_);
    std::swap(touched_, other.touched_);
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
    void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return failure{errno};
    // A core file of the host has no use for our scratch memory. A kernel that will not is fine.
    static_cast<void>(::madvise(at, bytes, MADV_DONTDUMP));
    base_ = static_cast<std::byte*>(at);
    limit_ = bytes;
    return {};
}

void* arena::allocate_bytes(std::size_t count, std::size_t size, std::size_t alignment) noexcept {
    if (count == 0) return nullptr;
    const std::size_t start = (used_ + alignment - 1) / alignment * alignment;
    if (start > limit_ || count > (limit_ - start) / size) {
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
    const std::size_t end = std::min(begin + bytes, limit_) / page * page;
    begin = std::max((begin + page - 1) / page * page, touched_ / page * page);
    if (begin >= end) return;
#ifdef MADV_POPULATE_WRITE
    static_cast<void>(::madvise(base_ + begin, end - begin, MADV_POPULATE_WRITE));
#endif
    touched_ = std::max(touched_, end);
}

void arena::release(std::size_t keep_bytes) noexcept {
    used_ = 0;
    give_back(keep_bytes);
}

void arena::trim() noexcept {
    give_back(used_);
}

void arena::give_back(std::size_t keep_bytes) noexcept {
    const std::size_t page = page_size();
    if (keep_bytes >= touched_) return;
    const std::size_t keep = (keep_bytes + page - 1) / page * page;
    // Refused where the host has locked its memory (mlockall), or a filter forbids the call: then
    // what lies there is not zero, and is still to be cleared.
    if (touched_ > keep &&
        ::madvise(base_ + keep, std::min(touched_ - keep, limit_ - keep), MADV_DONTNEED) != 0)
        return;
    touched_ = std::min(touched_, keep);
}

}  // namespace corodump::base
