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
    template <class... A>
    explicit held_base(A&... arguments) : held(arguments...) {}
    Promise held;
};

template <class Promise>
struct held_returning_value : held_base<Promise> {
    using held_base<Promise>::held_base;
    template <class V = void>
    decltype(auto) return_value(V&& value) {
        return this->held.return_value(static_cast<V&&>(value));
    }
};
template <class Promise>
struct held_returning_void : held_base<Promise> {
    using held_base<Promise>::held_base;
    void return_void() noexcept(noexcept(this->held.return_void())) { this->held.return_void(); }
};

template <class Promise>
struct held_promise : std::conditional_t<returns_void<Promise>, held_returning_void<Promise>,
                                         held_returning_value<Promise>> {
    using base = std::conditional_t<returns_void<Promise>, held_returning_void<Promise>,
                                    held_returning_value<Promise>>;
    held_promise()
        requires std::is_default_constructible_v<Promise>
    = default;
    template <class... A>
        requires(sizeof...(A) > 0 && std::is_constructible_v<Promise, A&...>)
    explicit held_promise(A&... arguments) : base(arguments...) {}

    decltype(auto) get_return_object() noexcept(noexcept(this->held.get_return_object())) {
        return this->held.get_return_object();
    }
    decltype(auto) initial_suspend() noexcept(noexcept(this->held.initial_suspend())) {
        return this->held.initial_suspend();
    }
    decltype(auto) final_suspend() noexcept { return this->held.final_suspend(); }
    void unhandled_exception() noexcept(noexcept(this->held.unhandled_exception())) {
        this->held.unhandled_exception();
    }
    template <class V>
    decltype(auto) yield_value(V&& value)
        requires requires(Promise& p, V&& v) { p.yield_value(static_cast<V&&>(v)); }
    {
        return this->held.yield_value(static_cast<V&&>(value));
    }
    template <class E>
    decltype(auto) await_transform(E&& e)
        requires requires(Promise& p, E&& x) { p.await_transform(static_cast<E&&>(x)); }
    {
        return this->held.await_transform(static_cast<E&&>(e));
    }
};

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
