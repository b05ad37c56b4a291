// How an awaitable says what it waits for. A library's awaiter (or an application's) declares
//
//     void describe(corodump::description& d) const noexcept { d.waits_for(mutex_.resource_); }
//
// and the dump shows the object's kind and name and who holds it. The hook runs on the thread that
// suspends, before await_suspend; it only notes addresses. No code of the awaitable's ever runs on
// the watchdog, which reads what was noted, and the object behind it, by bounded safe copy.
//
// Threads: owner thread. Signals: unsafe. Blocks: never. Bounds: 4,096 holders a resource.
#pragma once

#include <bit>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "detail/abi.hpp"

namespace corodump {
inline namespace abi_v1 {

/// A task, as `current_task` tells it. Compares equal while it is the same live task.
struct task_ref {
    const detail::record* record = nullptr;
    std::uint32_t generation = 0;
    friend bool operator==(const task_ref&, const task_ref&) = default;
};

namespace detail {
/// One holder of a resource: the token's address tells which frame it lies in, the task who made
/// it.
struct holder {
    std::atomic<const void*> token;  ///< null: free
    std::atomic<const record*> task;
    std::atomic<std::uint32_t> generation;
};
/// What a resource shows of itself. Fixed layout: it is read from outside.
struct resource_data {
    static constexpr std::uint32_t magic_value = 0x53455243;  // "CRES"
    std::uint32_t magic;
    std::uint32_t capacity;  ///< length of `holders`
    std::atomic<std::uint32_t> held;
    std::atomic<std::uint32_t> untold;  ///< holders there was no room to list
    const char* kind;
    holder* holders;
    char name[48];
};
/// What a description holds. Fixed layout: it is read from outside.
struct description_data {
    const char* kind = nullptr;
    const char* name = nullptr;
    const volatile void* object = nullptr;
    const resource_data* resource = nullptr;
    const task_ref* owner = nullptr;
    const char* operation = nullptr;
    std::uint32_t operation_bytes = 0;
    std::int32_t descriptor = -1;
    std::int64_t deadline_ns = 0;  ///< of CLOCK_MONOTONIC, 0: none
    const volatile void* ready = nullptr;
    const volatile void* remaining = nullptr;
    std::uint32_t total = 0;
    std::uint16_t ready_bytes = 0;
    std::uint16_t remaining_bytes = 0;
};
static_assert(sizeof(description_data) == 88);

/// What can be read as one number: an integer, a bool, a pointer, or an atomic of one.
template <class T>
concept plain_number = sizeof(T) <= 8 && std::has_single_bit(sizeof(T)) &&
                       std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>;
}  // namespace detail

class resource;

/// Filled by a describe hook. Addresses given here must stay valid while the coroutine is
/// suspended.
class description {
public:
    constexpr description() noexcept = default;

    /// `kind` and `name` are static text, or text that outlives the suspension.
    void kind(const char* text) noexcept { data_.kind = text; }
    void name(const char* text) noexcept { data_.name = text; }
    void object(const volatile void* address) noexcept { data_.object = address; }
    /// The object is a resource: its kind, name and holders are shown.
    void waits_for(const resource& what) noexcept;
    /// Where the one task that owns the object is noted; read when the dump is made.
    void owner(const task_ref* where) noexcept { data_.owner = where; }
    void descriptor(int fd) noexcept { data_.descriptor = fd; }
    void deadline(std::chrono::steady_clock::time_point when) noexcept {
        data_.deadline_ns =
            std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count();
    }
    /// The awaited is ready as soon as this number, read when the dump is made, is not 0: a flag, a
    /// count of permits, a pointer to a result. A task that stays suspended then has lost a wake-up.
    template <detail::plain_number T>
    void ready_when_not_zero(const T* where) noexcept {
        data_.ready = where;
        data_.ready_bytes = sizeof(T);
    }
    /// The awaited is the end of several children: how many of `total` (0: not known) have not ended
    /// yet, as the join itself counts them.
    template <detail::plain_number T>
    void joins(const T* remaining, std::uint32_t total = 0) noexcept {
        data_.remaining = remaining;
        data_.remaining_bytes = sizeof(T);
        data_.total = total;
    }
    /// The awaitable's name, in place of its type's. Static text.
    void operation(std::string_view text) noexcept {
        data_.operation = text.data();
        data_.operation_bytes = static_cast<std::uint32_t>(text.size());
    }

private:
    detail::description_data data_;
};

template <class T>
concept describes_itself = requires(const T& awaiter, description& d) {
    { awaiter.describe(d) } noexcept;
};

}  // namespace abi_v1
}  // namespace corodump
