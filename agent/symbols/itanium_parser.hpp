// Parses a mangled name into nodes: a recursive descent over the grammar of the Itanium C++ ABI,
// section 5.1, as GCC and clang emit it.
//
// abi::__cxa_demangle would do the same, but calls malloc, so the dump path cannot have it.
// Template parameters are bound to their arguments while parsing, which is when the scopes are
// known.
//
// Threads: one owner. Signals: safe. Blocks: never. Errors: index 0, for anything not understood.
// Bounds: names of 64 KB, 2,048 nodes, 1,024 substitutions, nesting of 128; linear in the name's
// length. The object has 37 KB and lies on the caller's stack, beside some 30 KB for the deepest
// nesting.
#pragma once

#include <cstddef>
#include <string_view>

#include "agent/symbols/itanium_node.hpp"

namespace corodump::symbols {

class itanium_parser {
public:
    /// GCC counts the scopes of an unresolved name (`srN...E`) as substitutions, the ABI does not.
    /// The name does not tell which, so what fails in one manner is worth another try in the other.
    enum class manner : bool { gcc, abi };

    /// `mangled` begins with _Z and must outlive the nodes.
    explicit itanium_parser(std::string_view mangled, manner how = manner::gcc) noexcept;

    /// Parses the whole name. What follows a first '.' is a suffix of the compiler's and left
    /// alone.
    [[nodiscard]] node_index parse() noexcept;

    [[nodiscard]] const node_pool& nodes() const noexcept { return pool_; }
    /// Behind the name, after parse().
    [[nodiscard]] std::string_view rest() const noexcept {
        return {at_, static_cast<std::size_t>(end_ - at_)};
    }

private:
    static constexpr unsigned max_depth = 128;
    static constexpr std::size_t max_substitutions = 1024;

    // What an encoding must know of the name it begins with.
    struct name_info {
        bool no_return_type = false;  // constructor, destructor or conversion
        bool ends_with_arguments = false;
        std::uint8_t qualifiers = 0;
    };
    // A list under construction, and a scope of nesting depth.
    struct list_builder {
        node_index first = 0;
        node_index last = 0;
    };
    class deeper;

    // Characters.
    [[nodiscard]] char look(std::size_t ahead = 0) const noexcept {
        return static_cast<std::size_t>(end_ - at_) > ahead ? at_[ahead] : '\0';
    }
    [[nodiscard]] bool take(char c) noexcept {
        if (look() != c) return false;
        ++at_;
        return true;
    }
    [[nodiscard]] bool take(std::string_view word) noexcept;
    [[nodiscard]] bool number(std::size_t& value) noexcept;
    [[nodiscard]] bool sequence_number(std::uint16_t& value) noexcept;
    [[nodiscard]] std::string_view signed_number() noexcept;

    // Nodes.
    node_index make(node_kind kind, node_index a = 0, node_index b = 0) noexcept;
    node_index make_text(node_kind kind, std::string_view text, node_index a = 0,
                         node_index b = 0) noexcept;
    node_index make_number(node_kind kind, std::uint16_t number, node_index a = 0,
                           node_index b = 0) noexcept;
    node_index make_flags(node_kind kind, std::uint8_t flags, node_index a,
                          node_index b = 0) noexcept;
    // 0 where any part is 0: for nodes all of whose parts must be there.
    node_index make_unary(node_kind kind, node_index a) noexcept;
    node_index make_both(node_kind kind, node_index a, node_index b) noexcept;
    [[nodiscard]] bool add(list_builder& list, node_index item) noexcept;
    [[nodiscard]] node_index remember(node_index made) noexcept;

    // Names.
    node_index encoding() noexcept;
    node_index function_of(const name_info& info) noexcept;
    [[nodiscard]] bool at_encoding_end() const noexcept;
    [[nodiscard]] bool constraint() noexcept;
    [[nodiscard]] bool enable_if_attributes() noexcept;
    node_index name(name_info* info) noexcept;
    node_index nested_name(name_info* info) noexcept;
    node_index nested_component(name_info* info, node_index so_far, bool& substituted) noexcept;
    node_index local_name(name_info* info) noexcept;
    [[nodiscard]] bool discriminator() noexcept;
    node_index unscoped_name(name_info* info) noexcept;
    node_index unqualified_name(name_info* info, node_index scope) noexcept;
    node_index with_tags(node_index tagged) noexcept;
    node_index source_name() noexcept;
    node_index structured_binding() noexcept;
    node_index constructor_or_destructor(name_info* info, node_index scope) noexcept;
    node_index class_name_of(node_index scope) noexcept;
    node_index unnamed_or_lambda() noexcept;
    node_index lambda() noexcept;
    node_index operator_or_conversion(name_info* info) noexcept;
    node_index special_name() noexcept;
    node_index thunk() noexcept;
    [[nodiscard]] bool call_offset() noexcept;

    // Types.
    node_index type() noexcept;
    node_index type_unremembered(bool& is_substitution) noexcept;
    node_index builtin_type() noexcept;
    node_index extended_type(bool& is_builtin) noexcept;
    node_index bit_precise_type() noexcept;
    node_index qualified_type() noexcept;
    [[nodiscard]] std::uint8_t cv_qualifiers() noexcept;
    node_index function_type() noexcept;
    node_index array_type() noexcept;
    node_index vector_type() noexcept;
    node_index member_pointer_type() noexcept;
    node_index decltype_type() noexcept;
    node_index substitution() noexcept;
    node_index standard_substitution(char which) noexcept;
    node_index template_parameter() noexcept;
    node_index template_arguments() noexcept;
    node_index template_argument() noexcept;
    [[nodiscard]] bool template_parameter_declaration() noexcept;

    // Expressions (itanium_expressions.cpp).
    node_index expression() noexcept;
    node_index keyword_expression() noexcept;
    node_index operator_expression(std::string_view code) noexcept;
    node_index literal() noexcept;
    node_index function_parameter() noexcept;
    node_index unresolved_name() noexcept;
    node_index unresolved_scope() noexcept;
    node_index simple_id() noexcept;
    node_index base_unresolved_name() noexcept;
    node_index expression_list() noexcept;
    node_index new_expression() noexcept;
    node_index conversion_expression() noexcept;
    node_index fold_expression() noexcept;
    node_index braced_list(node_index of) noexcept;
    node_index requires_expression() noexcept;

    const char* at_;
    const char* end_;
    manner manner_;
    unsigned depth_ = 0;
    bool no_arguments_after_type_ = false;
    std::size_t substitutions_used_ = 0;
    node_index substitutions_[max_substitutions];
    node_pool pool_;
};

/// An operator's code in a mangled name, its spelling and how many operands it has.
struct operator_code {
    char code[3];
    std::string_view spelling;
    unsigned operands;
};
/// Null for a code that is none.
[[nodiscard]] const operator_code* find_operator(std::string_view code) noexcept;

}  // namespace corodump::symbols
