// The last Capacity facts of a kind: noted by any thread of the host's without a lock, copied by
// the watchdog.
//
//   put ──> slot n % Capacity: [state 2n+1][words ...][state 2n+2] ──> read(n): copy, look again
//
// A writer that finds another one in its slot (it would have to be Capacity facts late) drops its
// fact, and counts it. Words are atomics, so that neither side races.
//
// Threads: put any, read any. Signals: safe. Blocks: never. Errors: `dropped`, false.
// Bounds: Capacity facts; static storage, of which only pages that are used cost memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace corodump::base {

template <class Facts, std::size_t Capacity>
class fact_ring {
    static_assert(std::is_trivially_copyable_v<Facts> && sizeof(Facts) % 8 == 0);

public:
    static constexpr std::size_t capacity = Capacity;
    static constexpr std::uint64_t no_number = ~std::uint64_t{0};

    constexpr fact_ring() noexcept = default;
    fact_ring(const fact_ring&) = delete;
    fact_ring& operator=(const fact_ring&) = delete;

    /// A number for one fact, to be given to put; the slot is the caller's until then. no_number:
    /// dropped.
    [[nodiscard]] std::uint64_t begin() noexcept {
        const std::uint64_t number = next_.fetch_add(1, std::memory_order_relaxed);
        std::atomic<std::uint64_t>& state = slots_[number % Capacity].state;
        std::uint64_t before = state.load(std::memory_order_relaxed);
        if (before % 2 == 0 && before < 2 * number + 1 &&
            state.compare_exchange_strong(before, 2 * number + 1, std::memory_order_acq_rel))
            return number;
        dropped_.fetch_add(1, std::memory_order_relaxed);
        return no_number;
    }
    void finish(std::uint64_t number, const Facts& facts) noexcept {
        slot& to = slots_[number % Capacity];
        const auto* from = reinterpret_cast<const unsigned char*>(&facts);
        for (std::atomic<std::uint64_t>& word : to.words) {
            std::uint64_t value = 0;
            std::memcpy(&value, from, sizeof value);
            word.store(value, std::memory_order_release);  // keeps the odd state before it
            from += sizeof value;
        }
        to.state.store(2 * number + 2, std::memory_order_release);
    }
    void put(const Facts& facts) noexcept {
        const std::uint64_t number = begin();
        if (number != no_number) finish(number, facts);
    }

    /// False: not there any more, not whole yet, or overwritten meanwhile.
    [[nodiscard]] bool read(std::uint64_t number, Facts& into) const noexcept {
        const slot& from = slots_[number % Capacity];
        if (from.state.load(std::memory_order_acquire) != 2 * number + 2) return false;
        auto* to = reinterpret_cast<unsigned char*>(&into);
        for (const std::atomic<std::uint64_t>& word : from.words) {
            const std::uint64_t value = word.load(std::memory_order_acquire);
            std::memcpy(to, &value, sizeof value);
            to += sizeof value;
        }
        return from.state.load(std::memory_order_relaxed) == 2 * number + 2;
    }

    /// Facts noted so far, and the number of the next.
    [[nodiscard]] std::uint64_t total() const noexcept {
        return next_.load(std::memory_order_acquire);
    }
    /// The oldest that may still be there.
    [[nodiscard]] std::uint64_t first() const noexcept {
        const std::uint64_t end = total();
        return end > Capacity ? end - Capacity : 0;
    }
    [[nodiscard]] std::uint64_t dropped() const noexcept {
        return dropped_.load(std::memory_order_relaxed);
    }

private:
    struct slot {
        std::atomic<std::uint64_t> state{0};  ///< 0: empty
        std::atomic<std::uint64_t> words[sizeof(Facts) / 8] = {};
    };
    std::atomic<std::uint64_t> next_{0};
    std::atomic<std::uint64_t> dropped_{0};
    slot slots_[Capacity] = {};
};

}  // namespace corodump::base
