// A type's name as the compiler spells it, without RTTI: static text inside __PRETTY_FUNCTION__.
#pragma once

#include <string_view>

namespace corodump {
inline namespace abi_v1 {
namespace detail {

template <class T>
[[nodiscard]] constexpr std::string_view type_name() noexcept {
    // GCC: "... type_name() [with T = int; std::string_view = ...]", clang: "... [T = int]".
    constexpr std::string_view text = __PRETTY_FUNCTION__;
    constexpr std::size_t begin = text.find("T = ") + 4;
#if defined(__clang__)
    constexpr std::size_t end = text.rfind(']');
#else
    constexpr std::size_t end = text.rfind("; std::string_view = ");
#endif
    return text.substr(begin, end - begin);
}

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
