// Facts that lie in the host's images and never change while these are loaded: promise_info,
// awaitable_info. Read by safe copy the first time, since what names them may be out of date and
// the image gone; remembered, since a safe copy is a system call, and a task's end is not worth one.
//
// What is remembered of an image that was unloaded counts again if another one has other facts at
// the same address. A frame is then taken for one of another type: an edge or a name may be wrong,
// nothing is read that could not be read.
//
// Threads: any. Signals: safe. Blocks: never: a place that another thread is writing is passed by.
// Errors: false, unreadable. Bounds: 256 facts of each type; those that meet in a place take turns.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "agent/base/safe_copy.hpp"

namespace corodump::sources {

template <class Facts>
class image_facts {
public:
    [[nodiscard]] bool read(std::uint64_t address, Facts& into) noexcept {
        if (address == 0) return false;
        place& at = places_[(address * 0x9E3779B97F4A7C15ULL) >> 56U];
        if (recall(at, address, into)) return true;
        if (!base::safe_read(into, address)) return false;
        remember(at, address, into);
        return true;
    }

private:
    static_assert(sizeof(Facts) % sizeof(std::uint64_t) == 0);
    using words = std::array<std::uint64_t, sizeof(Facts) / sizeof(std::uint64_t)>;

    struct place {
        std::atomic<std::uint32_t> revision{0};  ///< odd while it is written
        std::atomic<std::uint64_t> address{0};
        std::array<std::atomic<std::uint64_t>, std::tuple_size_v<words>> facts{};
    };

    /// The fence keeps the second look at the revision behind the reads, as remember()'s keeps the
    /// writes behind the first change of it.
    [[nodiscard]] static bool recall(const place& at, std::uint64_t address, Facts& into) noexcept {
        const std::uint32_t revision = at.revision.load(std::memory_order_acquire);
        if (revision % 2 != 0 || at.address.load(std::memory_order_relaxed) != address)
            return false;
        words copy;
        for (std::size_t i = 0; i < copy.size(); ++i)
            copy[i] = at.facts[i].load(std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (at.revision.load(std::memory_order_relaxed) != revision) return false;
        std::memcpy(static_cast<void*>(&into), copy.data(), sizeof into);
        return true;
    }

    static void remember(place& at, std::uint64_t address, const Facts& from) noexcept {
        std::uint32_t revision = at.revision.load(std::memory_order_relaxed);
        if (revision % 2 != 0 ||
            !at.revision.compare_exchange_strong(revision, revision + 1, std::memory_order_acquire))
            return;
        std::atomic_thread_fence(std::memory_order_release);
        words copy;
        std::memcpy(copy.data(), static_cast<const void*>(&from), sizeof from);
        at.address.store(address, std::memory_order_relaxed);
        for (std::size_t i = 0; i < copy.size(); ++i)
            at.facts[i].store(copy[i], std::memory_order_relaxed);
        at.revision.store(revision + 2, std::memory_order_release);
    }

    std::array<place, 256> places_{};
};

}  // namespace corodump::sources
