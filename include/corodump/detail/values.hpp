// Which C++ types a dump can show without running their code, and how their bytes are read.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "abi.hpp"
#include "type_name.hpp"

namespace corodump {
inline namespace abi_v1 {
namespace detail {

#if defined(_LIBCPP_VERSION)
inline constexpr value_kind string_kind = value_kind::string_libcxx;
inline constexpr value_kind string_view_kind = value_kind::string_view_libcxx;
#else
inline constexpr value_kind string_kind = value_kind::string_libstdcxx;
inline constexpr value_kind string_view_kind = value_kind::string_view_libstdcxx;
#endif

/// `T` may be incomplete: a lambda's closure is, inside of the lambda.
template <class T>
constexpr value_kind kind_of() noexcept {
    if constexpr (std::is_same_v<T, bool>)
        return value_kind::boolean;
    else if constexpr (std::is_same_v<T, char>)
        return value_kind::character;
    else if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>)
        return value_kind::floating;
    else if constexpr (std::is_enum_v<T>)
        return std::is_signed_v<std::underlying_type_t<T>> ? value_kind::signed_integer
                                                           : value_kind::unsigned_integer;
    else if constexpr (std::is_integral_v<T>)
        return std::is_signed_v<T> ? value_kind::signed_integer : value_kind::unsigned_integer;
    else if constexpr (std::is_same_v<T, std::string>)
        // 32 bytes: libstdc++ since its C++11 ABI; 24: libc++. Older layouts are not read.
        return sizeof(T) == 32 || sizeof(T) == 24 ? string_kind : value_kind::none;
    else if constexpr (std::is_same_v<T, std::string_view>)
        return string_view_kind;
    else if constexpr (std::is_same_v<T, const char*> || std::is_same_v<T, char*>)
        return value_kind::c_string;
    else
        return value_kind::none;
}

/// As an argument of declared type `Declared`: shown unless its bytes would mean nothing.
template <class Declared>
inline constexpr bool shown = kind_of<std::remove_cvref_t<Declared>>() != value_kind::none &&
                              !std::is_volatile_v<std::remove_reference_t<Declared>>;

template <class Declared>
constexpr value_info value_info_of(std::uint8_t position) noexcept {
    using plain = std::remove_cvref_t<Declared>;
    constexpr std::string_view name = type_name<plain>();
    return {name.data(), static_cast<std::uint32_t>(name.size()), kind_of<plain>(),
            // NOLINTNEXTLINE(bugprone-sizeof-expression): of the argument itself, pointer or not
            static_cast<std::uint8_t>(sizeof(plain) < 256 ? sizeof(plain) : 0),
            std::is_reference_v<Declared>, position};
}

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
