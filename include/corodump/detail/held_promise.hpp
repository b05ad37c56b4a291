// A promise that is final cannot be inherited: it is held at offset 0, where handles find it, and
// every member the language looks for is forwarded. Each of those exists only where the library's
// does, since declaring both return_void and return_value is an error ([dcl.fct.def.coroutine]).
#pragma once

#include <utility>

#include "allocation.hpp"

namespace corodump {
inline namespace abi_v1 {
namespace detail {

template <class Promise>
concept returns_void = requires(Promise& p) { p.return_void(); };

template <class Promise>
struct held_base {
    held_base() = default;
    template <class... A>
        requires(takes_arguments<Promise, A...>)
    explicit held_base(A&&... arguments) : held(static_cast<A&&>(arguments)...) {}
    Promise held;
};

template <class Promise>
struct held_returning_value : held_base<Promise> {
    using held_base<Promise>::held_base;
    template <class V>
        requires(!returns_one_type<Promise>) &&
                requires(Promise& p, V&& v) { p.return_value(static_cast<V&&>(v)); }
    void return_value(V&& value) noexcept(
        noexcept(this->held.return_value(static_cast<V&&>(value)))) {
        this->held.return_value(static_cast<V&&>(value));
    }
    template <class P = Promise>
        requires returns_one_type<P>
    void return_value(typename parameter<decltype(&P::return_value)>::type value) {
        this->held.return_value(static_cast<decltype(value)&&>(value));
    }
};
template <class Promise>
struct held_returning_void : held_base<Promise> {
    using held_base<Promise>::held_base;
    void return_void() noexcept(noexcept(this->held.return_void())) { this->held.return_void(); }
};

template <class Promise>
using held_returning = std::conditional_t<returns_void<Promise>, held_returning_void<Promise>,
                                          held_returning_value<Promise>>;

template <class Promise>
struct held_without_failure : held_returning<Promise> {
    using held_returning<Promise>::held_returning;
};
template <class Promise>
struct held_with_failure : held_returning<Promise> {
    using held_returning<Promise>::held_returning;
    static auto get_return_object_on_allocation_failure() {
        return Promise::get_return_object_on_allocation_failure();
    }
};
template <class Promise>
struct held_promise : std::conditional_t<tells_failure<Promise>, held_with_failure<Promise>,
                                         held_without_failure<Promise>> {
    using base = std::conditional_t<tells_failure<Promise>, held_with_failure<Promise>,
                                    held_without_failure<Promise>>;
    using base::base;

    template <class... Where>
        requires requires(Promise& p, Where... where) { p.get_return_object(where...); }
    decltype(auto) get_return_object(Where... where) {
        return this->held.get_return_object(where...);
    }
    decltype(auto) initial_suspend() noexcept(noexcept(this->held.initial_suspend())) {
        return this->held.initial_suspend();
    }
    decltype(auto) final_suspend() noexcept { return this->held.final_suspend(); }
    void unhandled_exception() noexcept(noexcept(this->held.unhandled_exception())) {
        this->held.unhandled_exception();
    }
    template <class V, class... Where>
    decltype(auto) yield_value(V&& value, Where... where)
        requires requires(Promise& p, V&& v) { p.yield_value(static_cast<V&&>(v), where...); }
    {
        return this->held.yield_value(static_cast<V&&>(value), where...);
    }
    template <class E, class... Where>
    decltype(auto) await_transform(E&& e, Where... where)
        requires requires(Promise& p, E&& x) { p.await_transform(static_cast<E&&>(x), where...); }
    {
        return this->held.await_transform(static_cast<E&&>(e), where...);
    }
};

template <class Promise>
void release_held(void* frame, std::size_t bytes) noexcept {
    if constexpr (requires { Promise::operator delete(frame, bytes); })
        Promise::operator delete(frame, bytes);
    else if constexpr (requires { Promise::operator delete(frame); })
        Promise::operator delete(frame);
    else
        ::operator delete(frame, bytes);
}

/// As held_promise, for one with its own allocation, which takes the arguments `Taken`.
template <class Promise, class... Taken>
struct held_allocating_promise : held_promise<Promise> {
    using held_promise<Promise>::held_promise;
    static void* operator new(std::size_t bytes, Taken&... arguments) {
        return Promise::operator new(bytes, arguments...);
    }
    static void operator delete(void* frame, std::size_t bytes) noexcept {
        release_held<Promise>(frame, bytes);
    }
};
template <class Promise, class... Taken>
    requires tells_failure<Promise>
struct held_allocating_promise<Promise, Taken...> : held_promise<Promise> {
    using held_promise<Promise>::held_promise;
    static void* operator new(std::size_t bytes, Taken&... arguments) noexcept {
        return Promise::operator new(bytes, arguments...);
    }
    static void operator delete(void* frame, std::size_t bytes) noexcept {
        release_held<Promise>(frame, bytes);
    }
};

template <class Promise, class... Arguments>
constexpr auto find_held_allocating() noexcept {
    if constexpr (requires { Promise::operator new(std::size_t{}, std::declval<Arguments&>()...); })
        return std::type_identity<held_allocating_promise<Promise, Arguments...>>{};
    else
        return std::type_identity<held_allocating_promise<Promise>>{};
}

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
