// The coroutine's arguments, offered to the promise's constructor: where they lie in the frame.
//
// A parameter taken by value lies in the frame and is noted as an offset from the promise; one
// taken by reference is noted as a pointer, read when the dump is made.
#pragma once

#include <array>
#include <memory>

#include "values.hpp"

namespace corodump {
inline namespace abi_v1 {
namespace detail {

template <class... Declared>
struct argument_list {
    static constexpr std::size_t by_value =
        (std::size_t{0} + ... + (shown<Declared> && !std::is_reference_v<Declared> ? 1 : 0));
    static constexpr std::size_t by_reference =
        (std::size_t{0} + ... + (shown<Declared> && std::is_reference_v<Declared> ? 1 : 0));
    static constexpr std::size_t count = by_value + by_reference;

    static constexpr auto make_infos() noexcept {
        std::array<value_info, count + 1> made{};
        std::size_t at = 0;
        std::uint8_t position = 0;
        ((shown<Declared> ? void(made[at++] = value_info_of<Declared>(position++))
                          : void(position++)),
         ...);
        return made;
    }
    [[gnu::visibility("hidden")]] static constexpr std::array<value_info, count + 1> infos =
        make_infos();
};

template <std::size_t Count, class T>
struct optional_array {
    T at[Count];
};
template <class T>
struct optional_array<0, T> {};

/// Lives in the promise, after the library's part.
template <class List>
struct argument_places;

template <class... Declared>
struct argument_places<argument_list<Declared...>> {
    using list = argument_list<Declared...>;
    [[no_unique_address]] optional_array<list::by_reference, const void*> references;
    [[no_unique_address]] optional_array<list::by_value, std::uint16_t> offsets;

    template <class... A>
    void note(const void* promise, A&... arguments) noexcept {
        if constexpr (list::count != 0 && sizeof...(A) == sizeof...(Declared))
            note_all<Declared...>(promise, arguments...);
        else if constexpr (list::count != 0 && sizeof...(A) + 1 == sizeof...(Declared))
            note_rest<Declared...>(promise, arguments...);
        else if constexpr (list::count != 0)
            *this = {};
    }

private:
    template <class... D, class... A>
    void note_all(const void* promise, A&... arguments) noexcept {
        std::size_t value = 0;
        std::size_t reference = 0;
        (note_one<D>(promise, std::addressof(arguments), value, reference), ...);
    }
    /// clang does not offer a lambda's closure, which comes first, and is not shown.
    template <class Closure, class... D, class... A>
    void note_rest(const void* promise, A&... arguments) noexcept {
        if constexpr (shown<Closure>)
            *this = {};
        else
            note_all<D...>(promise, arguments...);
    }
    template <class D>
    void note_one(const void* promise, const volatile void* where, std::size_t& value,
                  std::size_t& reference) noexcept {
        if constexpr (shown<D> && std::is_reference_v<D>) {
            references.at[reference++] = const_cast<const void*>(where);
        } else if constexpr (shown<D>) {
            const auto distance =
                reinterpret_cast<std::uintptr_t>(where) - reinterpret_cast<std::uintptr_t>(promise);
            offsets.at[value++] = distance < 0x10000 ? static_cast<std::uint16_t>(distance) : 0;
        }
    }
};

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
