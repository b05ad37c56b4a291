// Wraps a library's awaiter so that the record knows when and where the coroutine waits, while the
// library sees its own promise at its own address.
//
// The library's awaiter is held by reference where the co_await expression is the awaiter itself,
// and built in place where a conversion returns it by value: it is never moved or copied.
#pragma once

#include <coroutine>
#include <memory>
#include <type_traits>
#include <utility>

#include "../describe.hpp"
#include "tracking.hpp"
#include "type_name.hpp"

template <class E, class Near>
struct corodump_operand {
    E&& operand;
    operator E&&() const noexcept { return static_cast<E&&>(operand); }
};
template <class T, class Near>
struct corodump_class_operand : T {};

namespace corodump {
inline namespace abi_v1 {
namespace detail {

struct no_description {};
struct no_operand {};

template <class E>
concept has_member_co_await = requires(E&& e) { static_cast<E&&>(e).operator co_await(); };
template <class E>
concept has_free_co_await = requires(E&& e) { operator co_await(static_cast<E&&>(e)); };

template <class E>
concept is_awaiter = requires(std::remove_reference_t<E>& e) { e.await_ready(); };

// An operator co_await for a type of another's (co_await 5ms) is found by the language where the
// coroutine stands, but not from here: no argument leads to its namespace. A stand-in for the
// operand does: it is of the global namespace, and names the promise's.
template <class E, class Near>
using stand_in = corodump_operand<E, Near>;
template <class E, class Near>
using stand_in_class = corodump_class_operand<std::remove_cvref_t<E>, Near>;
template <class E, class Near>
concept converts_nearby = requires(stand_in<E, Near> e) { operator co_await(e); };
template <class E, class Near>
concept derives_nearby =
    std::is_class_v<std::remove_cvref_t<E>> && !std::is_final_v<std::remove_cvref_t<E>> &&
    !std::is_polymorphic_v<std::remove_cvref_t<E>> &&
    requires(stand_in_class<E, Near>& e) { operator co_await(e); };
template <class E, class Near>
concept has_nearby_co_await = !has_member_co_await<E> && !has_free_co_await<E> && !is_awaiter<E> &&
                              (converts_nearby<E, Near> || derives_nearby<E, Near>);
template <class E, class Near>
concept converts_to_awaiter =
    has_member_co_await<E> || has_free_co_await<E> || has_nearby_co_await<E, Near>;
/// False where only the coroutine itself sees the operator: then nothing can be put around it.
template <class E, class Near>
concept can_be_tracked = is_awaiter<E> || converts_to_awaiter<E, Near>;

/// [expr.await]: the awaiter of an expression. A reference where it is the expression itself.
template <class Near, class E>
[[gnu::always_inline]] constexpr decltype(auto) awaiter_of(E&& e) {
    if constexpr (has_member_co_await<E>)
        return static_cast<E&&>(e).operator co_await();
    else if constexpr (has_free_co_await<E>)
        return operator co_await(static_cast<E&&>(e));
    else if constexpr (is_awaiter<E>)
        return static_cast<std::remove_reference_t<E>&>(e);
    else if constexpr (converts_nearby<E, Near>)
        return operator co_await(stand_in<E, Near>{static_cast<E&&>(e)});
    else
        // For a template, which deduces its argument from a base. The class adds nothing.
        return operator co_await(
            static_cast<stand_in_class<E, Near>&>(const_cast<std::remove_cvref_t<E>&>(e)));
}

/// Holds what a conversion returned by value, and the awaiter made of it.
template <class X, class Near>
struct converted {
    using awaiter_type = decltype(awaiter_of<Near>(std::declval<X>()));
    X value;
    awaiter_type awaiter;

    template <class Make>
    explicit converted(Make& make)
        : value(make()), awaiter(awaiter_of<Near>(static_cast<X&&>(value))) {}
    void describe(description& d) const noexcept
        requires describes_itself<std::remove_reference_t<awaiter_type>>
    {
        awaiter.describe(d);
    }
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

/// The awaiter's own type, for its name.
template <class Awaiter>
struct awaiter_named {
    using type = Awaiter;
};
template <class X, class Near>
struct awaiter_named<converted<X, Near>> {
    using type = std::remove_cvref_t<typename converted<X, Near>::awaiter_type>;
};

/// The awaiter of what `make` returns, and how to build it in place.
template <class Make, class Near>
struct inner_of {
    using result = decltype(std::declval<Make&>()());
    static constexpr bool by_value = !std::is_reference_v<result>;
    static constexpr bool converts = converts_to_awaiter<result, Near>;

    static constexpr auto find_type() noexcept {
        if constexpr (!by_value)
            return std::type_identity<decltype(awaiter_of<Near>(std::declval<result>()))>{};
        else if constexpr (converts)
            return std::type_identity<converted<result, Near>>{};
        else
            return std::type_identity<result>{};
    }
    using type = typename decltype(find_type())::type;

    [[gnu::always_inline]] static type make(Make& make) {
        if constexpr (by_value && converts)
            return converted<result, Near>(make);
        else if constexpr (by_value)
            return make();
        else
            return awaiter_of<Near>(static_cast<result&&>(make()));
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

// Where a co_await stands. GCC builds all awaiters of an expression before it suspends in the
// first, so that each must keep its place; with clang it is noted at once.
#if defined(__GNUC__) && !defined(__clang__)
class await_site {
public:
    await_site(record*, const void* site) noexcept : site_(site) {}
    [[gnu::always_inline]] void note(record* own) const noexcept { about_to_await(own, site_); }

private:
    const void* site_;
};
#else
class await_site {
public:
    [[gnu::always_inline]] await_site(record* own, const void* site) noexcept {
        about_to_await(own, site);
    }
    void note(record*) const noexcept {}
};
#endif

/// What a co_await starts is started after it: then the frame is there still when the library's
/// await_suspend has returned.
template <class Promise>
constexpr bool defers_start() noexcept {
    if constexpr (requires { Promise::template corodump_defers_start<Promise>(); })
        return Promise::template corodump_defers_start<Promise>();
    else
        return false;
}

/// The address of what is awaited, where that is no part of its awaiter: an event, say, whose
/// operator co_await makes one. Of lvalues only; a temporary says less than the awaiter made of it.
template <bool Kept>
struct awaited_object {
    const void* address;
};
template <>
struct awaited_object<false> {
    explicit awaited_object(const void*) noexcept {}
};

template <class Inner, bool KeepsObject>  // Inner: a reference, or an object type
class tracked_awaiter {
    using awaiter = std::remove_reference_t<Inner>;
    static constexpr bool described = describes_itself<awaiter>;

public:
    template <class Make, class Near>
    [[gnu::always_inline]] tracked_awaiter(record* own, const void* site, const void* object,
                                           Make& make, std::type_identity<Near>)
        : inner_(inner_of<Make, Near>::make(make)), own_(own), site_(own, site), object_{object} {}
    tracked_awaiter(const tracked_awaiter&) = delete;
    tracked_awaiter& operator=(const tracked_awaiter&) = delete;

    [[gnu::always_inline]] decltype(auto) await_ready() noexcept(noexcept(ref().await_ready())) {
        return ref().await_ready();
    }

    template <class Promise>
    [[gnu::always_inline]] auto await_suspend(std::coroutine_handle<Promise> handle) noexcept(
        noexcept(ref().await_suspend(library_handle(handle)))) {
        if constexpr (described) ref().describe(description_);
        record* const own = own_;  // one load: the frame is memory that stores may change
        site_.note(own);
        suspend(own, info, this);
        using result = decltype(ref().await_suspend(library_handle(handle)));
        if constexpr (defers_start<Promise>() && std::is_void_v<result>) {
            ref().await_suspend(library_handle(handle));
            Promise::corodump_note_start(handle.promise(), own);
        } else if constexpr (noexcept(ref().await_suspend(library_handle(handle)))) {
            return static_cast<result>(ref().await_suspend(library_handle(handle)));
        } else {
            // What throws here is rethrown in the coroutine, which then is not suspended any more.
            // After a normal return the frame may be gone: nothing of it is touched.
            CORODUMP_TRY {
                return static_cast<result>(ref().await_suspend(library_handle(handle)));
            }
            CORODUMP_CATCH_ALL {
                resume(own_);
                CORODUMP_RETHROW;
            }
        }
    }

    [[gnu::always_inline]] decltype(auto) await_resume() noexcept(noexcept(ref().await_resume())) {
        resume(own_);
        if constexpr (noexcept(ref().await_resume())) {
            return ref().await_resume();
        } else {
            // What is thrown here may have left the coroutine that was awaited.
            CORODUMP_TRY {
                return ref().await_resume();
            }
            CORODUMP_CATCH_ALL {
                note_observed(own_);
                CORODUMP_RETHROW;
            }
        }
    }

private:
    [[gnu::always_inline]] awaiter& ref() noexcept { return inner_; }

    struct alignas(alignof(void*)) padded_inner {
        std::conditional_t<std::is_reference_v<Inner>, void*, awaiter> inner;
    };

    static constexpr std::uint32_t object_place =
        sizeof(padded_inner) + sizeof(record*) +
        (std::is_empty_v<await_site> ? 0 : sizeof(await_site));
    static constexpr std::uint32_t description_place =
        object_place + (KeepsObject ? sizeof(void*) : 0);

    static constexpr std::string_view name =
        type_name<typename awaiter_named<std::remove_cv_t<awaiter>>::type>();
    [[gnu::visibility("hidden")]] static constexpr awaitable_info info{
        layout_version,
        awaits_something,
        name.data(),
        static_cast<std::uint32_t>(name.size()),
        sizeof(awaiter),
        std::is_reference_v<Inner>,
        described ? description_place : 0,
        KeepsObject ? object_place : 0};

    Inner inner_;
    record* own_;
    [[no_unique_address]] await_site site_;
    [[no_unique_address]] awaited_object<KeepsObject> object_;
    // Aligned so that it lies where description_place says, right after the pointers.
    [[no_unique_address]] std::conditional_t<described, description, no_description> description_;
};

/// Wraps the awaiter of what `make` returns; called inside await_transform with its operand.
/// `Near`: a type in whose namespace an operator co_await may stand. Where none can be found, what
/// `make` returns is awaited as it is, and its suspensions are not seen.
template <class Near, class E, class Make>
inline decltype(auto) track_awaiter(record* own, const void* site, E&& operand, Make make) {
    if constexpr (can_be_tracked<decltype(make()), Near>) {
        using inner = typename inner_of<Make, Near>::type;
        constexpr bool keeps_object =
            std::is_lvalue_reference_v<E> && !std::is_same_v<inner, std::remove_cvref_t<E>&>;
        return tracked_awaiter<inner, keeps_object>(own, site, std::addressof(operand), make,
                                                    std::type_identity<Near>{});
    } else {
        about_to_await(own, site);
        return make();
    }
}

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
