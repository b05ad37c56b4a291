// Where frames, slots and side records come from, and the table by which the watchdog finds them.
//
//   chunk table ──> chunk (4 MiB) = 64 slabs ──> slab: header, objects of one size
//
// Memory is type-stable: a slab keeps its kind and object size for ever, its pages are given back
// when it empties (MADV_DONTNEED: they then read as zero, "not live"), and nothing is unmapped. So
// the watchdog may read any object of any slab at any time, without a lock.
//
// Threads: the table may be read by any thread at any time. Signals: reading is safe.
#pragma once

#include <corodump/detail/abi.hpp>
#include <cstddef>
#include <cstdint>

#include "agent/sources/loops.hpp"
#include "agent/sources/thread_births.hpp"
#include "agent/sources/thread_context.hpp"
#include "agent/sources/thread_profile.hpp"

namespace corodump::sources {

inline constexpr std::size_t chunk_bytes = std::size_t{4} * 1024 * 1024;
inline constexpr std::size_t slabs_in_chunk = chunk_bytes / detail::slab_bytes;
inline constexpr std::size_t max_chunks = 65536;  ///< 256 GiB of frames

/// Chunks in the table; they are never removed.
[[nodiscard]] std::size_t chunk_count() noexcept;
/// `index` < chunk_count().
[[nodiscard]] std::uintptr_t chunk_at(std::size_t index) noexcept;
/// The index of the chunk that `address` lies in, or max_chunks.
[[nodiscard]] std::size_t chunk_of(std::uintptr_t address) noexcept;

/// The pool's object that `address` lies in: its slab and number, or slab == nullptr.
struct object_place {
    const detail::slab_header* slab = nullptr;
    std::uint32_t index = 0;
    std::uintptr_t begin = 0;
};
[[nodiscard]] object_place place_of(std::uintptr_t address) noexcept;

/// Thread states, linked for ever; a state whose tid is 0 belongs to no thread now.
struct thread_node {
    detail::thread_state state;
    thread_node* next;
    bool in_use;
    std::atomic<std::uint32_t> switches;  ///< into and out of coroutines inside of others
    sighting seen;                        ///< the watchdog's own
    std::uint64_t reported[2];            ///< likewise: the run of a coroutine that it told of last
    thread_births births;
    thread_context context;
    thread_profile profile;
};
[[nodiscard]] const thread_node* first_thread() noexcept;
/// This thread's own, made on first use; nullptr when memory is out. Blocks: on the pool's lock.
[[nodiscard]] thread_node* attach_thread() noexcept;
/// What `thread_state::running` means: nullptr where the thread is inside of none.
[[nodiscard]] inline detail::record* record_of_running(std::uintptr_t running) noexcept {
    return reinterpret_cast<detail::record*>(running & ~std::uintptr_t{1});
}

/// From here on each run of a coroutine is a callback of this loop; 0: no longer. All runs then
/// take the slow path, since a thread in no coroutine looks as if it were in one: `running` is 1.
void count_runs(std::uint64_t loop) noexcept;
[[nodiscard]] std::uint64_t runs_loop() noexcept;

/// Called, if set, on the slow path of the record (a batch of new objects), with no lock held.
void set_slow_path_hook(void (*hook)() noexcept) noexcept;

/// Memory for one side record, nullptr when it is out. Blocks: on the pool's lock.
[[nodiscard]] void* take_side() noexcept;
/// Gives back a slot or side record. Blocks: on the pool's lock.
void give_back(void* object) noexcept;

}  // namespace corodump::sources
