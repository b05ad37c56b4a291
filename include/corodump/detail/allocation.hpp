// What a library's promise has of its own, and where its frames come from.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

#include "pool.hpp"

namespace corodump {
inline namespace abi_v1 {
namespace detail {

// Whether a class has any member of a name, overloaded, templated or inaccessible alike: a name that
// two bases declare is ambiguous. A final class cannot be a base; there, one overload is found.
struct names {
    int await_transform;
    int yield_value;
    static void* operator new(std::size_t);
};
template <class Promise>
struct named : Promise, names {};

template <class Promise>
constexpr bool transforms_awaits() noexcept {
    if constexpr (std::is_final_v<Promise>)
        return requires { &Promise::await_transform; };
    else
        return !requires { &named<Promise>::await_transform; };
}
template <class Promise>
constexpr bool yields() noexcept {
    if constexpr (std::is_final_v<Promise>)
        return requires { &Promise::yield_value; };
    else
        return !requires { &named<Promise>::yield_value; };
}
template <class Promise>
constexpr bool allocates_itself() noexcept {
    if constexpr (std::is_final_v<Promise>)
        return requires { &Promise::operator new; };
    else
        return !requires { &named<Promise>::operator new; };
}

/// What a promise's operator new does: a frame from the pool, or std::bad_alloc.
[[gnu::always_inline]] inline void* allocate_or_throw(std::size_t bytes) {
    if (void* const frame = allocate_frame(bytes)) [[likely]] return frame;
#if defined(__cpp_exceptions)
    throw std::bad_alloc();
#else
    std::abort();
#endif
}

/// Inherits the promise, whose members keep their places.
template <class Promise>
struct pooled : Promise {
    using Promise::Promise;
    pooled() = default;

    static void* operator new(std::size_t bytes) { return allocate_or_throw(bytes); }
    static void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
        return allocate_frame(bytes);
    }
    static void operator delete(void* frame, std::size_t bytes) noexcept {
        release_frame(frame, bytes);
    }
};

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
