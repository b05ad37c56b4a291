// Wraps a library's awaiter so that the record knows when and where the coroutine waits, while the
// library sees its own promise at its own address.
//
// The library's awaiter is held by reference where the co_await expression is the awaiter itself,
// and built in place where a conversion returns it by value: it is never moved or copied.
#pragma once

#include <coroutine>
#include <type_traits>
#include <utility>

#include "../describe.hpp"
#include "tracking.hpp"
#include "type_name.hpp"

namespace corodump {
inline namespace abi_v1 {
namespace detail {

struct no_description {};

template <class Inner>  // a reference, or an object type
class tracked_awaiter;

template <class T>
inline constexpr bool is_tracked_awaiter = false;
template <class Inner>
inline constexpr bool is_tracked_awaiter<tracked_awaiter<Inner>> = true;

template <class E>
concept has_member_co_await = requires(E&& e) { static_cast<E&&>(e).operator co_await(); };
template <class E>
concept has_free_co_await = requires(E&& e) { operator co_await(static_cast<E&&>(e)); };

/// [expr.await]: the awaiter of an expression. A reference where it is the expression itself.
template <class E>
[[gnu::always_inline]] constexpr decltype(auto) awaiter_of(E&& e) {
    if constexpr (has_member_co_await<E>)
        return static_cast<E&&>(e).operator co_await();
    else if constexpr (has_free_co_await<E>)
        return operator co_await(static_cast<E&&>(e));
    else
        return static_cast<std::remove_reference_t<E>&>(e);
}

/// Holds what a conversion returned by value, and the awaiter made of it.
template <class X>
struct converted {
    X value;
    decltype(awaiter_of(std::declval<X>())) awaiter;

    template <class Make>
    explicit converted(Make&& make) : value(make()), awaiter(awaiter_of(static_cast<X&&>(value))) {}
    decltype(auto) await_ready() noexcept(noexcept(awaiter.await_ready())) {
        return awaiter.await_ready();
    }
    template <class Handle>
    decltype(auto) await_suspend(Handle h) noexcept(noexcept(awaiter.await_suspend(h))) {
        return awaiter.await_suspend(h);
    }
    decltype(auto) await_resume() noexcept(noexcept(awaiter.await_resume())) {
        return awaiter.await_resume();
    }
};

/// The awaiter of what `make` returns, and how to build it in place.
template <class Make>
struct inner_of {
    using result = decltype(std::declval<Make&>()());
    static constexpr bool by_value = !std::is_reference_v<result>;
    static constexpr bool converts = has_member_co_await<result> || has_free_co_await<result>;
    using type = typename std::conditional_t<
        by_value,
        std::conditional_t<converts, std::type_identity<converted<result>>,
                           std::type_identity<result>>,
        std::type_identity<decltype(awaiter_of(std::declval<result>()))>>::type;

    [[gnu::always_inline]] static type make(Make& make) {
        if constexpr (by_value && converts)
            return converted<result>(make);
        else if constexpr (by_value)
            return make();
        else
            return awaiter_of(static_cast<result&&>(make()));
    }
};

/// The promise the library expects behind a handle: itself, unless a derived class says otherwise.
template <class Promise>
struct handle_promise {
    using type = Promise;
};
template <class Promise>
    requires requires { typename Promise::corodump_library_promise; }
struct handle_promise<Promise> {
    using type = typename Promise::corodump_library_promise;
};

template <class Promise>
[[gnu::always_inline]] inline auto library_handle(std::coroutine_handle<Promise> h) noexcept {
    using library_promise = typename handle_promise<Promise>::type;
    return std::coroutine_handle<library_promise>::from_address(h.address());
}

template <class Inner>
class tracked_awaiter {
    using awaiter = std::remove_reference_t<Inner>;
    static constexpr bool described = describes_itself<awaiter>;

public:
    template <class Make>
    [[gnu::always_inline]] tracked_awaiter(record* own, const void* site, Make& make)
        : inner_(inner_of<Make>::make(make)), own_(own) {
        about_to_await(own, site, info);
    }
    tracked_awaiter(const tracked_awaiter&) = delete;
    tracked_awaiter& operator=(const tracked_awaiter&) = delete;

    [[gnu::always_inline]] decltype(auto) await_ready() noexcept(noexcept(ref().await_ready())) {
        return ref().await_ready();
    }

    template <class Promise>
    [[gnu::always_inline]] auto await_suspend(std::coroutine_handle<Promise> handle) noexcept(
        noexcept(ref().await_suspend(library_handle(handle)))) {
        if constexpr (described) ref().describe(description_);
        suspend(own_, this);
        using result = decltype(ref().await_suspend(library_handle(handle)));
        if constexpr (noexcept(ref().await_suspend(library_handle(handle)))) {
            return static_cast<result>(ref().await_suspend(library_handle(handle)));
        } else {
            // What throws here is rethrown in the coroutine, which then is not suspended any more.
            // After a normal return the frame may be gone: nothing of it is touched.
            try {
                return static_cast<result>(ref().await_suspend(library_handle(handle)));
            } catch (...) {
                resume(own_);
                throw;
            }
        }
    }

    [[gnu::always_inline]] decltype(auto) await_resume() noexcept(noexcept(ref().await_resume())) {
        resume(own_);
        return ref().await_resume();
    }

private:
    [[gnu::always_inline]] awaiter& ref() noexcept { return inner_; }

    static constexpr std::uint32_t description_offset() noexcept {
        if constexpr (described)
            return static_cast<std::uint32_t>(sizeof(padded_inner) + sizeof(record*));
        else
            return 0;
    }

    struct alignas(alignof(void*)) padded_inner {
        std::conditional_t<std::is_reference_v<Inner>, void*, awaiter> inner;
    };

    static constexpr awaitable_info info{layout_version,
                                         awaits_something,
                                         type_name<std::remove_cv_t<awaiter>>().data(),
                                         static_cast<std::uint32_t>(
                                             type_name<std::remove_cv_t<awaiter>>().size()),
                                         sizeof(awaiter),
                                         std::is_reference_v<Inner>,
                                         description_offset()};

    Inner inner_;
    record* own_;
    // Aligned so that it lies where description_offset says, right after the pointer.
    [[no_unique_address]] std::conditional_t<described, description, no_description> description_;
};

/// Wraps the awaiter of what `make` returns; called inside await_transform.
template <class Make>
inline auto track_awaiter(record* own, const void* site, Make make) {
    return tracked_awaiter<typename inner_of<Make>::type>(own, site, make);
}

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
