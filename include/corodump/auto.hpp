// The recompile tier: tracks every coroutine of the translation unit, with no library edited.
// Force-included by the CMake target corodump::auto; inert where coroutines are not compiled.
//
// How: std::coroutine_traits gets a constrained partial specialisation for every coroutine, whose
// promise is a corodump::tracked around the library's. A library that specialises coroutine_traits
// itself would win against it, so the name it specialises is led aside by a macro: what it declares
// is corodump_coroutine_traits, which the specialisation asks for the library's promise.
//
// It must come before the first coroutine of a type. It does not start the agent.
#pragma once

#if defined(__cplusplus) && __cplusplus >= 202002L && defined(__has_include)
#if __has_include(<coroutine>) && defined(__cpp_impl_coroutine)
#include <coroutine>

#include "tracked.hpp"

namespace corodump {
inline namespace abi_v1 {
/// True for return types whose coroutines are left alone; see CORODUMP_NO_AUTO_FOR.
template <class Return>
inline constexpr bool no_auto_for = false;

namespace detail {
/// std's own coroutines (std::generator). Not so a promise that an application defines in its own
/// specialisation of the traits, for a class of std's.
template <class Promise>
constexpr bool is_of_the_standard() noexcept {
    return type_name<Promise>().starts_with("std::") &&
           !type_name<Promise>().starts_with("std::corodump_coroutine_traits<");
}
}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump

/// At namespace scope, outside of any namespace: leaves the coroutines that return `type` alone.
#define CORODUMP_NO_AUTO_FOR(...) \
    template <>                   \
    inline constexpr bool corodump::no_auto_for<__VA_ARGS__> = true

namespace std {

template <class Return, class = void>
struct corodump_nested_promise {};
template <class Return>
struct corodump_nested_promise<Return, void_t<typename Return::promise_type>> {
    using promise_type = typename Return::promise_type;
};
/// As std::coroutine_traits' primary template ([coroutine.traits.primary]).
template <class Return, class... Arguments>
struct corodump_coroutine_traits : corodump_nested_promise<Return> {};

template <class Return, class... Arguments>
    requires requires { typename corodump_coroutine_traits<Return, Arguments...>::promise_type; }
struct coroutine_traits<Return, Arguments...> {
private:
    using library_promise = typename corodump_coroutine_traits<Return, Arguments...>::promise_type;
    static constexpr bool left_alone =
        corodump::no_auto_for<Return> || corodump::detail::is_tracked<library_promise> || requires {
            typename library_promise::corodump_tracks_itself;
        } || corodump::detail::is_of_the_standard<library_promise>();
    template <bool LeftAlone, class Dependent>
    struct choose {
        using type = corodump::tracked<Dependent, Arguments...>;
    };
    template <class Dependent>
    struct choose<true, Dependent> {
        using type = Dependent;
    };

public:
    using promise_type = typename choose<left_alone, library_promise>::type;
};

}  // namespace std

// NOLINTNEXTLINE(readability-identifier-naming): the very name that is led aside
#define coroutine_traits corodump_coroutine_traits
#define CORODUMP_AUTO_ACTIVE 1

#endif
#endif
