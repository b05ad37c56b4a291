// Stacks, each kept once: many tasks are created in few places.
//
//   memory: [ bucket heads, 256 KiB ][ entry ][ entry ] ...   units of 64 bytes; a stack's id is
//              └────────────────────────^ └next^              the number of its entry's unit
//
// Host threads insert, without a lock; the watchdog reads by id. Entries never change or go, so an
// id stays good, and equal, for the life of the process.
//
// Threads: reserve once, before all else, unless memory was given; keep and read by any.
// Signals: keep is safe.
// Blocks:  never. Errors: id 0: the depot is full, or has no memory; counted.
// Bounds:  the memory, at most 32 MiB: some 170,000 stacks of 20 frames; max_depth frames each.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace corodump::sources {

class stack_depot {
public:
    static constexpr std::size_t max_depth = 32;
    static constexpr unsigned id_bits = 19;
    static constexpr std::size_t unit_bytes = 64;
    static constexpr std::size_t max_bytes = unit_bytes << id_bits;
    static constexpr std::size_t buckets = std::size_t{1} << 16U;
    static constexpr std::size_t head_bytes = buckets * sizeof(std::atomic<std::uint32_t>);

    constexpr stack_depot() noexcept = default;
    /// In memory that is zero, outlives the depot, and has room for more than the heads.
    explicit constexpr stack_depot(std::span<char> memory) noexcept
        : memory_(memory.data()),
          units_(static_cast<std::uint32_t>(memory.size() / unit_bytes)),
          used_(head_units) {}
    stack_depot(const stack_depot&) = delete;
    stack_depot& operator=(const stack_depot&) = delete;

    /// Address space; memory is used as it fills. Later calls change nothing. 0 or an errno.
    [[nodiscard]] int reserve(std::size_t bytes = max_bytes) noexcept;
    /// The stack's id; 0: not kept. `hash` is the same for equal stacks.
    [[nodiscard]] std::uint32_t keep(std::span<const std::uintptr_t> stack,
                                     std::uint64_t hash) noexcept;
    /// What `id` means; empty: nothing.
    [[nodiscard]] std::span<const std::uintptr_t> stack_of(std::uint32_t id) const noexcept;

    [[nodiscard]] std::uint64_t stacks() const noexcept {
        return stacks_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t used_bytes() const noexcept {
        return std::uint64_t{used_.load(std::memory_order_relaxed)} * unit_bytes;
    }
    [[nodiscard]] std::uint64_t refused() const noexcept {
        return refused_.load(std::memory_order_relaxed);
    }

private:
    static constexpr std::uint32_t head_units = head_bytes / unit_bytes;

    struct entry {
        std::uint64_t hash;
        std::uint32_t next;  ///< 0: the last of its bucket
        std::uint32_t depth;
        std::uintptr_t frames[1];
    };

    [[nodiscard]] entry* at(std::uint32_t id) const noexcept {
        return reinterpret_cast<entry*>(memory_ + std::size_t{id} * unit_bytes);
    }
    [[nodiscard]] std::atomic<std::uint32_t>& head_of(std::uint64_t hash) const noexcept {
        static_assert(buckets == std::size_t{1} << 16U);
        return reinterpret_cast<std::atomic<std::uint32_t>*>(memory_)[hash >> 48U];
    }
    [[nodiscard]] std::uint32_t find(std::uint32_t from, std::uint32_t until,
                                     std::span<const std::uintptr_t> stack,
                                     std::uint64_t hash) const noexcept;
    [[nodiscard]] std::uint32_t add(std::atomic<std::uint32_t>& head, std::uint32_t seen,
                                    std::span<const std::uintptr_t> stack,
                                    std::uint64_t hash) noexcept;
    [[nodiscard]] std::uint32_t take_units(std::uint32_t count) noexcept;

    char* memory_ = nullptr;
    std::uint32_t units_ = 0;
    std::atomic<std::uint32_t> used_{0};
    std::atomic<std::uint64_t> stacks_{0};
    std::atomic<std::uint64_t> refused_{0};
};

}  // namespace corodump::sources
