// The tree of a mangled name (Itanium C++ ABI, section 5.1), between its parser and its printer.
//
// The tree is a DAG: a substitution is the index of a node that exists already, so memory stays
// linear in the name however large the printed text would be.
//
//   _ZN2ns2twIiEEvT_   encoding ─┬─ template_id ─┬─ nested(ns, tw)
//                                │               └─ list(int)
//                                └─ function(returns void, list(int))
//
// Threads: one owner. Signals: safe. Blocks: never. Errors: index 0. Bounds: 16 bytes each.
#pragma once

#include <cstdint>
#include <string_view>

namespace corodump::symbols {

/// 0 is no node: an absent part, or a failure.
using node_index = std::uint16_t;

enum class node_kind : std::uint8_t {
    name,                // text: an identifier, a builtin type
    nested,              // a::b
    template_id,         // a<b>, b: list
    list,                // a, then the list b
    pack,                // b: list; template arguments that stand for one parameter pack
    pack_expansion,      // a, once for each element of the packs in it
    constructor,         // a: name of the class
    destructor,          // a: name of the class
    operator_name,       // operator text
    conversion,          // operator a
    literal_operator,    // operator"" text
    tagged,              // a[abi:text]
    lambda,              // {lambda(b)#number}
    unnamed_type,        // {unnamed type#number}
    local,               // a::b, a: the function
    default_argument,    // a in the default argument of parameter number
    structured_binding,  // [b]
    special,             // text a: "vtable for " and the like
    special_in,          // text a-in-b: construction vtable
    encoding,            // a: name, b: function
    member_qualified,    // a: name, flags: of the member function
    function,            // a: return type or 0, b: list, flags: qualifiers
    qualified,           // a flags
    vendor_qualified,    // a text
    pointer,             // a*
    lvalue_reference,    // a&
    rvalue_reference,    // a&&
    complex_type,        // a _Complex
    imaginary_type,      // a _Imaginary
    array,               // b [a]
    member_pointer,      // b a::*
    vector_type,         // b __vector(a)
    template_parameter,  // number
    decltype_type,       // decltype (a)
    literal,             // a: type, text: value
    unary,               // text a
    postfix,             // a text
    binary,              // a text b
    conditional,         // a ? b->a : b->b
    call,                // a(b)
    cast,                // (a)(b)
    named_cast,          // text<a>(b)
    braced,              // a{b}
    subscript,           // a[b]
    function_parameter,  // {parm#number}
    parenthesized,       // text (a): sizeof and the like
};

enum qualifier : std::uint8_t {
    is_restrict = 1,
    is_volatile = 2,
    is_const = 4,
    is_lvalue = 8,
    is_rvalue = 16,
    is_noexcept = 32,
    is_transaction_safe = 64,
};

struct node {
    const char* characters;
    std::uint16_t number;  ///< the text's length where there is one
    std::uint8_t flags;
    node_kind kind;
    node_index a;
    node_index b;

    [[nodiscard]] std::string_view text() const noexcept {
        return characters == nullptr ? std::string_view{} : std::string_view{characters, number};
    }
};
static_assert(sizeof(node) == 16);

/// The nodes of one name. Index 0 is taken, so that it can mean "none".
struct node_pool {
    static constexpr node_index capacity = 2048;

    node nodes[capacity];
    node_index used = 1;

    [[nodiscard]] const node& operator[](node_index at) const noexcept { return nodes[at]; }
};

}  // namespace corodump::symbols
