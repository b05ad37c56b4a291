// What a task says of itself, from inside it: its name and labels, values worth seeing, resources
// it holds or waits for.
//
//     corodump::set_name("session 42");
//     corodump::watch user{"user", user_name};     // shown as a local while in scope
//
// Threads: the thread that runs the coroutine; outside of a tracked coroutine all of it does
// nothing. Signals: unsafe. Blocks: on the pool's own lock the first time in a task. Errors: none;
// text over its bound is cut.
#pragma once

#include <concepts>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>

#include "describe.hpp"
#include "detail/values.hpp"

extern "C" {
CORODUMP_API corodump::detail::record* corodump_current_v1() noexcept;
CORODUMP_API void corodump_set_name_v1(const char* text, std::size_t bytes) noexcept;
CORODUMP_API void corodump_set_label_v1(const char* name, std::size_t name_bytes, const char* value,
                                        std::size_t value_bytes) noexcept;
CORODUMP_API void corodump_link_v1(corodump::detail::node* what) noexcept;
CORODUMP_API void corodump_unlink_v1(corodump::detail::node* what) noexcept;
}

namespace corodump {
inline namespace abi_v1 {

/// Names the running task. Bounds: 87 bytes.
inline void set_name(std::string_view name) noexcept {
    corodump_set_name_v1(name.data(), name.size());
}
/// Bounds: 8 labels a coroutine, names of 31 bytes, values of 95.
inline void set_label(std::string_view name, std::string_view value) noexcept {
    corodump_set_label_v1(name.data(), name.size(), value.data(), value.size());
}
/// The running coroutine; empty outside of tracked coroutines.
[[nodiscard]] inline task_ref current_task() noexcept {
    // Bit 0 says that leaving takes the slow path.
    const std::uintptr_t running = corodump_thread_v1->running.load(std::memory_order_relaxed);
    const auto* const own = reinterpret_cast<const detail::record*>(running & ~std::uintptr_t{1});
    if (own == nullptr) return {};
    return {own, own->generation.load(std::memory_order_relaxed)};
}

namespace detail {
enum class node_kind : std::uint32_t { value = 1, waiting = 2 };

/// An element of a frame's list, in the frame itself. Read from outside: fixed layout.
struct node {
    std::atomic<node*> next;
    side_record* side;
    node_kind what;
    value_kind kind;
    std::uint8_t size_bytes;
    const char* name;
    const void* value;  ///< the value's address, or the resource's
    const char* type_name;
    std::uint32_t type_name_bytes;
    std::uint32_t text_bytes;
};

/// Text of a value that only its own code can show, taken when the watch begins.
template <class T>
concept formats_itself = requires(const T& value) {
    { to_string(value) } -> std::convertible_to<std::string>;
};
}  // namespace detail

/// Shows a value as a local of the running coroutine while in scope. Numbers, enums, pointers and
/// strings are read when the dump is made; any other type needs a `to_string` found by argument-
/// dependent lookup, and shows its text as of the watch's construction (63 bytes).
///
/// The value must outlive the watch. `name` is static text. Not movable: it is linked by address.
template <class T>
class watch {
    static constexpr bool readable = detail::kind_of<T>() != detail::value_kind::none;
    static constexpr bool pointer = std::is_pointer_v<T> && !readable;
    static_assert(readable || pointer || detail::formats_itself<T>,
                  "corodump::watch needs a number, enum, pointer, string, or a to_string(value)");

public:
    watch(const char* name, const T& value) noexcept
        : node_{nullptr,
                nullptr,
                detail::node_kind::value,
                readable  ? detail::kind_of<T>()
                : pointer ? detail::value_kind::pointer
                          : detail::value_kind::text,
                static_cast<std::uint8_t>(sizeof(T)),
                name,
                &value,
                detail::type_name<T>().data(),
                static_cast<std::uint32_t>(detail::type_name<T>().size()),
                0} {
        if constexpr (!readable && !pointer) take_text(value);
        corodump_link_v1(&node_);
    }
    watch(const watch&) = delete;
    watch& operator=(const watch&) = delete;
    ~watch() { corodump_unlink_v1(&node_); }

private:
    static constexpr std::size_t text_bytes = readable || pointer ? 1 : 64;

    void take_text(const T& value) noexcept {
        node_.value = text_;
        CORODUMP_TRY {
            const std::string text = to_string(value);
            const std::size_t bytes = text.size() < text_bytes ? text.size() : text_bytes - 1;
            std::memcpy(text_, text.data(), bytes);
            node_.text_bytes = static_cast<std::uint32_t>(bytes);
        }
        CORODUMP_CATCH_ALL {
            node_.value = nullptr;  // shown as unreadable
        }
    }

    detail::node node_;
    char text_[text_bytes] = {};
};

/// A pool, lock or semaphore as a dump shows it: embed one in it. Tokens say who holds it.
class resource {
public:
    /// `kind` is static text; `name` is copied (47 bytes). `capacity`: how many may hold it, at
    /// most 4,096 are listed.
    resource(const char* kind, std::string_view name, std::uint32_t capacity = 1) noexcept {
        data_.kind = kind;
        const std::size_t bytes =
            name.size() < sizeof data_.name ? name.size() : sizeof data_.name - 1;
        if (bytes != 0) std::memcpy(data_.name, name.data(), bytes);
        const std::uint32_t listed = capacity < 4096 ? capacity : 4096;
        data_.holders = new (std::nothrow) detail::holder[listed]{};
        data_.capacity = data_.holders != nullptr ? listed : 0;
    }
    resource(const resource&) = delete;
    resource& operator=(const resource&) = delete;
    ~resource() {
        data_.magic = 0;
        delete[] data_.holders;
    }
    [[nodiscard]] const detail::resource_data& data() const noexcept { return data_; }

private:
    friend class holding;
    detail::resource_data data_{detail::resource_data::magic_value, 0, 0, 0, nullptr, nullptr, {}};
};

/// A token in a lock guard or lease: the task whose frame it lies in holds the resource; where it
/// lies in no frame, the task that made it.
/// Threads: one at a time for a token, any number for a resource. Blocks: never.
class holding {
public:
    holding() noexcept = default;
    explicit holding(resource& of) noexcept : of_(&of.data_) { take(); }
    holding(holding&& other) noexcept { adopt(other); }
    holding& operator=(holding&& other) noexcept {
        if (this != &other) {
            release();
            adopt(other);
        }
        return *this;
    }
    ~holding() { release(); }

    void release() noexcept {
        if (of_ == nullptr) return;
        of_->held.fetch_sub(1, std::memory_order_relaxed);
        if (place_ != nullptr)
            place_->token.store(nullptr, std::memory_order_release);
        else
            of_->untold.fetch_sub(1, std::memory_order_relaxed);
        of_ = nullptr;
        place_ = nullptr;
    }

private:
    void take() noexcept {
        const task_ref task = current_task();
        for (std::uint32_t i = 0; i < of_->capacity; ++i) {
            const void* expected = nullptr;
            detail::holder& at = of_->holders[i];
            if (!at.token.compare_exchange_strong(expected, this, std::memory_order_acq_rel))
                continue;
            at.task.store(task.record, std::memory_order_relaxed);
            at.generation.store(task.generation, std::memory_order_relaxed);
            place_ = &at;
            break;
        }
        if (place_ == nullptr) of_->untold.fetch_add(1, std::memory_order_relaxed);
        of_->held.fetch_add(1, std::memory_order_relaxed);
    }
    void adopt(holding& other) noexcept {
        of_ = other.of_;
        place_ = other.place_;
        other.of_ = nullptr;
        other.place_ = nullptr;
        if (place_ != nullptr) place_->token.store(this, std::memory_order_release);
    }

    detail::resource_data* of_ = nullptr;
    detail::holder* place_ = nullptr;
};

/// While in scope, the running coroutine waits for the resource: around the suspension in an
/// acquire() that is itself a coroutine.
class waiting {
public:
    explicit waiting(const resource& for_what) noexcept
        : node_{nullptr, nullptr, detail::node_kind::waiting, detail::value_kind::none,
                0,       nullptr, &for_what.data(),           nullptr,
                0,       0} {
        corodump_link_v1(&node_);
    }
    waiting(const waiting&) = delete;
    waiting& operator=(const waiting&) = delete;
    ~waiting() { corodump_unlink_v1(&node_); }

private:
    detail::node node_;
};

inline void description::waits_for(const resource& what) noexcept {
    data_.resource = &what.data();
    data_.object = data_.resource;
}

}  // namespace abi_v1
}  // namespace corodump
