#include "agent/symbols/name_scan.hpp"

#include <algorithm>
#include <iterator>

namespace corodump::symbols {
namespace {

constexpr std::string_view keyword = "operator";

// Longest first: the first that matches is taken.
constexpr std::string_view operator_symbols[] = {
    "<<=", ">>=", "<=>", "->*", "()", "[]", "->", "<<", ">>", "<=", ">=", "==", "!=",
    "&&",  "||",  "++",  "--",  "+=", "-=", "*=", "/=", "%=", "^=", "&=", "|=", "+",
    "-",   "*",   "/",   "%",   "^",  "&",  "|",  "~",  "!",  "=",  "<",  ">",  ",",
};
constexpr std::string_view operator_words[] = {" new[]", " delete[]", " new []",  " delete []",
                                               " new",   " delete",   " co_await"};

std::size_t angle_group_size(std::string_view text) noexcept {
    std::size_t depth = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '(' || c == '[' || c == '{') {
            i += group_size(text.substr(i)) - 1;
        } else if (c == '<') {
            ++depth;
        } else if (c == '>' && text[i - 1] != '-' && --depth == 0) {
            return i + 1;
        }
    }
    return text.size();
}

}  // namespace

std::size_t group_size(std::string_view text) noexcept {
    if (starts_with(text, "<")) return angle_group_size(text);
    const char open = text.empty() ? '\0' : text[0];
    const char close = open == '(' ? ')' : open == '[' ? ']' : '}';
    std::size_t depth = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == open) ++depth;
        if (text[i] == close && --depth == 0) return i + 1;
    }
    return text.size();
}

std::size_t operator_size(std::string_view text) noexcept {
    if (!starts_with(text, keyword)) return 0;
    const std::string_view rest = text.substr(keyword.size());
    for (const std::string_view symbol : operator_symbols) {
        if (starts_with(rest, symbol)) return keyword.size() + symbol.size();
    }
    for (const std::string_view word : operator_words) {
        if (starts_with(rest, word) &&
            (rest.size() == word.size() || !is_name_character(rest[word.size()]))) {
            return keyword.size() + word.size();
        }
    }
    return 0;
}

std::size_t conversion_size(std::string_view text) noexcept {
    if (!starts_with(text, keyword)) return 0;
    const std::string_view rest = text.substr(keyword.size());
    if (rest.empty() || (rest[0] != ' ' && rest[0] != '"')) return 0;
    std::size_t end = 0;
    while (end < rest.size() && rest[end] != '(') {
        const std::size_t unnamed = find_unnamed(rest.substr(end)).size;
        end += unnamed != 0 ? unnamed : rest[end] == '<' ? group_size(rest.substr(end)) : 1;
    }
    return keyword.size() + end;
}

unnamed_component find_unnamed(std::string_view text) noexcept {
    static constexpr struct {
        std::string_view begins, means;
    } forms[] = {
        {"{anonymous}", "(anonymous namespace)"},
        {"(anonymous namespace)", "(anonymous namespace)"},
        {"<unnamed>", "(anonymous namespace)"},
        {"(anonymous class)", "{lambda"},
        {"(lambda at ", "{lambda"},
        {"<lambda", "{lambda"},
        {"{lambda", "{lambda"},
        {"'lambda", "{lambda"},
        {"(anonymous struct", "{unnamed type"},
        {"(unnamed struct", "{unnamed type"},
        {"(unnamed class", "{unnamed type"},
        {"(anonymous union", "{unnamed type"},
        {"<unnamed ", "{unnamed type"},
        {"{unnamed type", "{unnamed type"},
    };
    const auto* const found =
        std::find_if(std::begin(forms), std::end(forms),
                     [text](const auto& form) { return starts_with(text, form.begins); });
    if (found == std::end(forms)) return {};
    const std::size_t size =
        text[0] == '\'' ? std::min(text.find('\'', 1), text.size() - 1) + 1 : group_size(text);
    const std::string_view whole = text.substr(0, size);
    const std::size_t mark = whole.rfind('#');
    const bool numbered = mark != std::string_view::npos && whole.back() == '}';
    return {found->means,
            numbered ? whole.substr(mark, whole.size() - mark - 1) : std::string_view{}, size};
}

}  // namespace corodump::symbols
