#include "agent/sources/stack_depot.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace corodump::sources {

int stack_depot::reserve(std::size_t bytes) noexcept {
    if (memory_ != nullptr) return 0;
    bytes = std::min(bytes, max_bytes);
    if (bytes <= head_bytes) return EINVAL;
    void* const mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return errno;
    units_ = static_cast<std::uint32_t>(bytes / unit_bytes);
    used_.store(head_units, std::memory_order_relaxed);
    memory_ = static_cast<char*>(mapped);  // fresh memory is zero: empty buckets
    return 0;
}

std::uint32_t stack_depot::find(std::uint32_t from, std::uint32_t until,
                                std::span<const std::uintptr_t> stack,
                                std::uint64_t hash) const noexcept {
    for (std::uint32_t id = from; id != until; id = at(id)->next) {
        const entry& here = *at(id);
        if (here.hash == hash && here.depth == stack.size() &&
            std::memcmp(here.frames, stack.data(), stack.size_bytes()) == 0)
            return id;
    }
    return 0;
}

std::uint32_t stack_depot::keep(std::span<const std::uintptr_t> stack,
                                std::uint64_t hash) noexcept {
    if (memory_ == nullptr || stack.empty() || stack.size() > max_depth) return 0;
    std::atomic<std::uint32_t>& head = head_of(hash);
    // Acquire: pairs with add()'s release; who sees the entry sees what is in it.
    const std::uint32_t first = head.load(std::memory_order_acquire);
    const std::uint32_t found = find(first, 0, stack, hash);
    return found != 0 ? found : add(head, first, stack, hash);
}

/// `seen`: the bucket as far as it was searched.
std::uint32_t stack_depot::add(std::atomic<std::uint32_t>& head, std::uint32_t seen,
                               std::span<const std::uintptr_t> stack, std::uint64_t hash) noexcept {
    const std::size_t bytes = offsetof(entry, frames) + stack.size_bytes();
    const std::uint32_t id =
        take_units(static_cast<std::uint32_t>((bytes + unit_bytes - 1) / unit_bytes));
    if (id == 0) {
        refused_.fetch_add(1, std::memory_order_relaxed);
        return 0;
    }
    entry& made = *at(id);
    made.hash = hash;
    made.depth = static_cast<std::uint32_t>(stack.size());
    std::memcpy(made.frames, stack.data(), stack.size_bytes());
    made.next = seen;
    std::uint32_t first = seen;
    while (!head.compare_exchange_weak(first, id, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
        // Another thread was faster; with the same stack, the units just taken stay unused.
        if (const std::uint32_t found = find(first, seen, stack, hash); found != 0) return found;
        seen = first;
        made.next = first;
    }
    stacks_.fetch_add(1, std::memory_order_relaxed);
    return id;
}

std::uint32_t stack_depot::take_units(std::uint32_t count) noexcept {
    std::uint32_t used = used_.load(std::memory_order_relaxed);
    do {
        if (units_ - used < count) return 0;
    } while (!used_.compare_exchange_weak(used, used + count, std::memory_order_relaxed));
    return used;
}

std::span<const std::uintptr_t> stack_depot::stack_of(std::uint32_t id) const noexcept {
    if (memory_ == nullptr || id < head_units || id >= used_.load(std::memory_order_relaxed))
        return {};
    const entry& here = *at(id);
    return {here.frames, std::min<std::size_t>(here.depth, max_depth)};
}

}  // namespace corodump::sources
