#include "agent/snapshot/operation_name.hpp"

#include <algorithm>

#include "agent/base/text.hpp"
#include "agent/symbols/demangle.hpp"

namespace corodump::snapshot {
namespace {

constexpr std::string_view marker = "initiate_";

bool opens(char c) noexcept {
    return c == '<' || c == '(' || c == '[';
}
bool closes(char c) noexcept {
    return c == '>' || c == ')' || c == ']';
}
bool continues_name(char c) noexcept {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// The least nested place where an initiation is named: what lies deeper are its arguments.
std::size_t find_initiation(std::string_view type) noexcept {
    std::size_t best = std::string_view::npos;
    int best_depth = 1 << 20;
    int depth = 0;
    for (std::size_t i = 0; i < type.size(); ++i) {
        if (opens(type[i])) ++depth;
        if (closes(type[i])) --depth;
        const bool here = type.substr(i).starts_with(marker) && depth < best_depth &&
                          (i == 0 || !continues_name(type[i - 1]));
        if (!here) continue;
        best = i;
        best_depth = depth;
    }
    return best;
}

/// Where the qualified name that ends at `end` begins.
std::size_t begin_of_name(std::string_view type, std::size_t end) noexcept {
    int depth = 0;
    std::size_t at = end;
    while (at > 0) {
        const char c = type[at - 1];
        if (closes(c)) ++depth;
        if (depth == 0 && (opens(c) || c == ',' || c == ' ')) break;
        if (opens(c)) --depth;
        --at;
    }
    return at;
}

std::string_view without_arguments(std::string_view name) noexcept {
    return name.size() > 80 ? name.substr(0, name.find('<')) : name;
}

}  // namespace

std::string_view operation_name(std::string_view type, std::span<char> out) noexcept {
    const std::size_t at = find_initiation(type);
    if (at == std::string_view::npos) return {};
    std::string_view scope = type.substr(begin_of_name(type, at));
    scope = scope.substr(0, at - (type.size() - scope.size()));
    for (const std::string_view inner : {"detail::"}) {
        if (scope.ends_with(inner)) scope.remove_suffix(inner.size());
    }
    std::string_view operation = type.substr(at + marker.size());
    const auto end = std::ranges::find_if_not(operation, continues_name);
    operation = operation.substr(0, static_cast<std::size_t>(end - operation.begin()));
    constexpr std::string_view with_executor = "_with_executor";
    if (operation.ends_with(with_executor)) operation.remove_suffix(with_executor.size());
    if (operation == "composed_op") operation = "async_compose";
    char cleaned[512];
    base::text text(out);
    if (scope.ends_with("::")) scope.remove_suffix(2);
    const std::string_view owner = without_arguments(symbols::clean_type_name(scope, cleaned));
    text.append(owner);
    if (!owner.empty()) text.append("::");
    return text.append(operation).view();
}

}  // namespace corodump::snapshot
