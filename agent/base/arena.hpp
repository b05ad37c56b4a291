// The dump path's memory: a bump allocator over one anonymous mapping.
//
// The watchdog may not call malloc, since the host can hold its lock for ever. So address space is
// reserved when the agent starts, pages come from the kernel as they are touched, and after the
// dump they go back. A mark and a rewind make scratch space out of it:
//
//   base_          used_                    touched_              open_               limit_
//   │ allocations  │ free, perhaps touched  │ never touched: zero │ closed: PROT_NONE │
//
// Closed, since a host that locks its memory (mlockall) would otherwise get all of the reservation
// resident: what cannot be accessed is not populated. What is opened is taken out of the lock
// first.
//
// Threads: one owner (the watchdog). Signals: unsafe. Blocks: never (a page fault aside).
// Errors: an empty span or view, counted in refusals(); what was allocated stays as it was.
// Bounds: the bytes reserved; every operation is O(1) but for the bytes it constructs or copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>

#include "agent/base/result.hpp"

namespace corodump::base {

class arena {
public:
    /// A position to come back to.
    using mark_type = std::size_t;

    arena() noexcept = default;
    arena(const arena&) = delete;
    arena& operator=(const arena&) = delete;
    arena(arena&& other) noexcept;
    arena& operator=(arena&& other) noexcept;
    ~arena();

    /// Reserves address space, rounded up to pages; no memory is used yet. EINVAL for 0 bytes,
    /// EBUSY when reserved already, else mmap's errno (ENOMEM under RLIMIT_AS, EAGAIN under
    /// RLIMIT_MEMLOCK where the host has locked what it will map: a smaller one may succeed).
    [[nodiscard]] result<void> reserve(std::size_t max_bytes) noexcept;

    /// `count` value-initialised elements; empty when they do not fit, and for 0.
    template <class T>
    [[nodiscard]] std::span<T> allocate_span(std::size_t count) noexcept {
        const std::span<T> made = allocate_uninitialized<T>(count);
        std::uninitialized_value_construct_n(made.data(), made.size());
        return made;
    }

    /// As above with indeterminate contents: for the bulk arrays that are overwritten at once.
    template <class T>
    [[nodiscard]] std::span<T> allocate_uninitialized(std::size_t count) noexcept {
        static_assert(std::is_trivially_destructible_v<T>, "the arena destroys nothing");
        static_assert(std::is_nothrow_default_constructible_v<T>);
        void* const at = allocate_bytes(count, sizeof(T), alignof(T));
        return at == nullptr ? std::span<T>{} : std::span<T>(static_cast<T*>(at), count);
    }

    /// Elements whose bytes are all zero. What the kernel has just given is zero already and is
    /// left alone, so that of a large table only the pages cost anything that are used.
    template <class T>
    [[nodiscard]] std::span<T> allocate_zeroed(std::size_t count) noexcept {
        static_assert(std::is_trivially_copyable_v<T>);
        const std::size_t touched = touched_;
        const std::span<T> made = allocate_uninitialized<T>(count);
        if (!made.empty()) clear_touched(made.data(), made.size_bytes(), touched);
        return made;
    }

    /// The place of up to `count` elements, or of as many as fit, handed out only by the take()
    /// that follows at once: for arrays whose length is known when they are filled.
    template <class T>
    [[nodiscard]] std::span<T> room(std::size_t count) noexcept {
        static_assert(std::is_trivially_destructible_v<T>, "the arena destroys nothing");
        const std::size_t start = (used_ + alignof(T) - 1) / alignof(T) * alignof(T);
        if (start >= limit_) return {};
        const std::size_t fits = (limit_ - start) / sizeof(T);
        // A kernel that counts what it promises (strict overcommit) may refuse a large room.
        for (std::size_t given = count < fits ? count : fits; given != 0; given /= 2)
            if (open_up_to(start + given * sizeof(T)))
                return {reinterpret_cast<T*>(base_ + start), given};
        return {};
    }
    /// Asks for the pages of the next `bytes` of a room, from `at` on, in one call of the kernel:
    /// a fifth cheaper than a fault for each. A kernel that cannot (before 5.14) is fine.
    void fetch_pages(const void* at, std::size_t bytes) noexcept;
    /// Hands out the first `count` elements of a room. One more may have been written to.
    template <class T>
    [[nodiscard]] std::span<T> take(std::span<T> room, std::size_t count) noexcept {
        const std::span<T> made = allocate_uninitialized<T>(count);
        note_touched(count < room.size() ? sizeof(T) : 0);
        return made;
    }

    /// A terminated copy; empty when it does not fit.
    [[nodiscard]] std::string_view copy(std::string_view from) noexcept;

    [[nodiscard]] mark_type mark() const noexcept { return used_; }
    /// Frees everything allocated since the mark. The pages stay.
    void rewind(mark_type to) noexcept {
        if (to < used_) used_ = to;
    }
    /// Gives memory back early: frees the tail of the newest allocation beyond `count` elements.
    template <class T>
    [[nodiscard]] std::span<T> shrink_last(std::span<T> last, std::size_t count) noexcept {
        const auto end = reinterpret_cast<std::uintptr_t>(last.data() + last.size());
        if (count >= last.size() || end != reinterpret_cast<std::uintptr_t>(base_) + used_) {
            return last;
        }
        used_ -= (last.size() - count) * sizeof(T);
        return last.first(count);
    }

    /// Frees everything and gives the pages back to the kernel, but for the first `keep_bytes` of
    /// those that were touched; the address space stays.
    void release(std::size_t keep_bytes = 0) noexcept;
    /// Gives back the pages beyond the current position.
    void trim() noexcept;

    [[nodiscard]] std::size_t used() const noexcept { return used_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return limit_; }
    /// Most bytes that were in use at once since reserve().
    [[nodiscard]] std::size_t peak() const noexcept { return peak_; }
    /// Allocations that did not fit since reserve().
    [[nodiscard]] std::uint64_t refusals() const noexcept { return refusals_; }

private:
    void clear_touched(void* at, std::size_t bytes, std::size_t touched) noexcept;
    void note_touched(std::size_t beyond) noexcept;
    void give_back(std::size_t keep_bytes) noexcept;
    [[nodiscard]] bool open_up_to(std::size_t end) noexcept {
        return end <= open_ || open_more(end);
    }
    [[nodiscard]] bool open_more(std::size_t end) noexcept;
    void close_from(std::size_t begin) noexcept;
    [[nodiscard]] std::size_t step_up(std::size_t bytes) const noexcept;
    [[nodiscard]] void* allocate_bytes(std::size_t count, std::size_t size,
                                       std::size_t alignment) noexcept;

    std::byte* base_ = nullptr;
    std::size_t used_ = 0;
    std::size_t touched_ = 0;
    std::size_t open_ = 0;
    std::size_t limit_ = 0;
    std::size_t peak_ = 0;
    std::uint64_t refusals_ = 0;
};

}  // namespace corodump::base
