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

// Whether a class has any member of a name, overloaded, templated or inaccessible alike: a name
// that two bases declare is ambiguous. A final class cannot be a base: there it shows only in use.
struct names {
    int await_transform;
    static void* operator new(std::size_t);
};
template <class Promise>
struct named : Promise, names {};

/// For a final promise see tracked::await_transform, which tries each operand.
template <class Promise>
constexpr bool transforms_awaits() noexcept {
    if constexpr (std::is_final_v<Promise>)
        return false;
    else
        return !requires { &named<Promise>::await_transform; };
}
template <class Promise, class... Arguments>
constexpr bool allocates_itself() noexcept {
    if constexpr (!std::is_final_v<Promise>)
        return !requires { &named<Promise>::operator new; };
    else
        return requires { &Promise::operator new; } ||
               requires { Promise::operator new(std::size_t{}); } ||
               requires { Promise::operator new(std::size_t{}, std::nothrow); } ||
               requires { Promise::operator new(std::size_t{}, std::declval<Arguments&>()...); };
}

/// The language offers the arguments to constructors only; std::is_constructible also tells of the
/// members of an aggregate.
template <class Promise, class... A>
inline constexpr bool takes_arguments =
    sizeof...(A) > 0 && !std::is_aggregate_v<Promise> && std::is_constructible_v<Promise, A...>;

/// The parameter of a method that is neither overloaded nor a template. With it, `co_yield {1, 2}`
/// and conversions stay as they are.
template <class Method>
struct parameter;
template <class P, class R, class V, class... More>
struct parameter<R (P::*)(V, More...)> {
    using type = V;
};
template <class P, class R, class V, class... More>
struct parameter<R (P::*)(V, More...) noexcept> {
    using type = V;
};
template <class P, class R, class V, class... More>
struct parameter<R (P::*)(V, More...) const> {
    using type = V;
};
template <class P, class R, class V, class... More>
struct parameter<R (P::*)(V, More...) const noexcept> {
    using type = V;
};
template <class R, class V, class... More>
struct parameter<R (*)(V, More...)> {
    using type = V;
};
template <class R, class V, class... More>
struct parameter<R (*)(V, More...) noexcept> {
    using type = V;
};
template <class Promise>
concept yields_one_type = requires { typename parameter<decltype(&Promise::yield_value)>::type; };
template <class Promise>
concept returns_one_type = requires { typename parameter<decltype(&Promise::return_value)>::type; };

/// What a promise's operator new does: a frame from the pool, or std::bad_alloc.
[[gnu::always_inline]] inline void* allocate_or_throw(std::size_t bytes) {
    if (void* const frame = allocate_frame(bytes)) [[likely]]
        return frame;
#if defined(__cpp_exceptions)
    throw std::bad_alloc();
#else
    std::abort();
#endif
}

template <class Promise>
concept tells_failure = requires { Promise::get_return_object_on_allocation_failure(); };

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
/// A promise that tells of failures must not throw them: [dcl.fct.def.coroutine]/10. A conditional
/// noexcept is not enough for clang.
template <class Promise>
    requires tells_failure<Promise>
struct pooled<Promise> : Promise {
    using Promise::Promise;
    pooled() = default;

    static void* operator new(std::size_t bytes) noexcept { return allocate_frame(bytes); }
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
