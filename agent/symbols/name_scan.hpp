// Finding one's way in the text of C++ names: shared by the cleaning of functions and of types.
//
// Threads: any. Signals: safe. Blocks: never. Errors: npos-like ends. Bounds: linear.
#pragma once

#include <cstddef>
#include <string_view>

namespace corodump::symbols {

[[nodiscard]] constexpr bool is_name_character(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || (static_cast<unsigned char>(c) & 0x80U) != 0;
}

[[nodiscard]] constexpr bool starts_with(std::string_view text, std::string_view with) noexcept {
    return text.substr(0, with.size()) == with;
}

/// Size of the bracketed group that `text` begins with, of `(`, `[`, `{` or `<`; all of it when it
/// is not closed. Angle brackets count outside of other brackets only, where > can be an operator.
[[nodiscard]] std::size_t group_size(std::string_view text) noexcept;

/// Size of the operator that `text` begins with, keyword and symbol; 0 when it begins with none.
[[nodiscard]] std::size_t operator_size(std::string_view text) noexcept;
/// The same for a conversion or literal operator: the keyword and all up to the parameters.
[[nodiscard]] std::size_t conversion_size(std::string_view text) noexcept;

/// What stands for a component that has no name in the source: an anonymous namespace, a lambda, an
/// unnamed type. `spelling` is one of ours; `size` is how much of the text it replaces, 0 for none.
struct unnamed_component {
    std::string_view spelling;
    std::string_view number;  ///< of a lambda, where the text has it
    std::size_t size = 0;
};
[[nodiscard]] unnamed_component find_unnamed(std::string_view text) noexcept;

}  // namespace corodump::symbols
