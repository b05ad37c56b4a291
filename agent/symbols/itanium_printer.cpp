#include "agent/symbols/itanium_printer.hpp"

#include <algorithm>

namespace corodump::symbols {
namespace {

// Inline namespaces of the standard libraries, which no source code spells.
bool is_inline_namespace(std::string_view name) noexcept {
    return name == "__cxx11" || name == "__1" || name == "_V2" || name == "__ndk1" ||
           name == "__n4861";
}

// clang names closures with internal linkage $_0, $_1, ...
bool closure_number(std::string_view name, std::uint64_t& number) noexcept {
    return name.size() > 2 && name.substr(0, 2) == "$_" &&
           base::parse_unsigned(name.substr(2), number);
}

}  // namespace

bool itanium_printer::enter() noexcept {
    failed_ = failed_ || depth_ >= max_depth || ++visits_ >= max_visits;
    return !failed_;
}

void itanium_printer::print(node_index what) noexcept {
    left(what);
    right(what);
}

// A type is written around the name it declares: `int (*` left, `)(char)` right.
void itanium_printer::left(node_index at) noexcept {
    if (at == 0 || !enter()) return;
    ++depth_;
    const node_kind kind = nodes_[at].kind;
    if (kind < node_kind::function) {
        left_of_name(at);
    } else if (kind < node_kind::literal) {
        left_of_type(at);
    } else {
        left_of_expression(at);
    }
    --depth_;
}

// NOLINTNEXTLINE(readability-function-size): one case for each production of the grammar
void itanium_printer::left_of_name(node_index at) noexcept {
    const node& one = nodes_[at];
    switch (one.kind) {
        case node_kind::name:
            return identifier(one);
        case node_kind::nested:
        case node_kind::local:
            return nested(one);
        case node_kind::template_id:
            return template_id(one);
        case node_kind::list:
            return list(at);
        case node_kind::pack:
            return pack(one);
        case node_kind::pack_expansion:
            return expansion(one.a);
        case node_kind::destructor:
            out_.append('~');
            return print(one.a);
        case node_kind::constructor:
            return print(one.a);
        case node_kind::operator_name:
            return operator_name(one);
        case node_kind::conversion:
            out_.append("operator ");
            return print(one.a);
        case node_kind::literal_operator:
            out_.append("operator\"\" ").append(one.text());
            return;
        case node_kind::tagged:
            print(one.a);
            if (options_.full) out_.append("[abi:").append(one.text()).append(']');
            return;
        case node_kind::lambda:
            return lambda(one);
        case node_kind::unnamed_type:
            out_.append("{unnamed type#").decimal(one.number).append('}');
            return;
        case node_kind::default_argument:
            out_.append("{default arg#").decimal(one.number).append("}::");
            return print(one.a);
        case node_kind::structured_binding:
            out_.append('[');
            list(one.b);
            out_.append(']');
            return;
        case node_kind::special:
            out_.append(one.text());
            return print(one.a);
        case node_kind::special_in:
            out_.append(one.text());
            print(one.a);
            out_.append("-in-");
            return print(one.b);
        case node_kind::encoding:
            return encoding_left(one);
        case node_kind::member_qualified:
            print(one.a);
            if (options_.full) qualifiers(one.flags);
            return;
        default:
            failed_ = true;
    }
}

// NOLINTNEXTLINE(readability-function-size): one case for each production of the grammar
void itanium_printer::left_of_expression(node_index at) noexcept {
    const node& one = nodes_[at];
    switch (one.kind) {
        case node_kind::literal:
            return literal(one);
        case node_kind::unary:
            out_.append(one.text());
            // The address of a function: its name says which.
            if (one.text() == "&" && nodes_[one.a].kind == node_kind::encoding) {
                return print(nodes_[one.a].a);
            }
            return operand(one.a);
        case node_kind::postfix:
            operand(one.a);
            out_.append(one.text());
            return;
        case node_kind::binary: {
            // Where it could be taken for the end of template arguments.
            const bool closing = one.text() == ">";
            if (closing) out_.append('(');
            operand(one.a);
            out_.append(one.text());
            operand(one.b);
            if (closing) out_.append(')');
            return;
        }
        case node_kind::conditional:
            operand(one.a);
            out_.append('?');
            operand(nodes_[one.b].a);
            out_.append(" : ");
            return operand(nodes_[one.b].b);
        case node_kind::call:
            operand(one.a);
            out_.append('(');
            list(one.b);
            out_.append(')');
            return;
        case node_kind::cast:
            out_.append('(');
            print(one.a);
            out_.append(")(");
            print(one.b);
            out_.append(')');
            return;
        case node_kind::named_cast:
            out_.append(one.text()).append('<');
            print(one.a);
            out_.append(">(");
            print(one.b);
            out_.append(')');
            return;
        case node_kind::braced:
            print(one.a);
            out_.append('{');
            list(one.b);
            out_.append('}');
            return;
        case node_kind::subscript:
            operand(one.a);
            out_.append('[');
            print(one.b);
            out_.append(']');
            return;
        case node_kind::function_parameter:
            out_.append("{parm#").decimal(one.number).append('}');
            return;
        case node_kind::parenthesized:
            out_.append(one.text()).append('(');
            print(one.a);
            out_.append(')');
            return;
        default:
            failed_ = true;
    }
}

void itanium_printer::right(node_index at) noexcept {
    if (at == 0 || !enter()) return;
    ++depth_;
    const node& one = nodes_[at];
    switch (one.kind) {
        case node_kind::function:
            function_right(one);
            break;
        case node_kind::qualified:
        case node_kind::vendor_qualified:
        case node_kind::complex_type:
        case node_kind::imaginary_type:
            right(one.a);
            break;
        case node_kind::template_parameter:
            template_parameter(at, false);
            break;
        case node_kind::pointer:
            declarator_right({one.a, scope_, element_});
            break;
        case node_kind::lvalue_reference:
        case node_kind::rvalue_reference: {
            bool ignored = false;
            declarator_right(collapse(at, ignored));
            break;
        }
        case node_kind::member_pointer:
            declarator_right({one.b, scope_, element_});
            break;
        case node_kind::array: {
            // Further extents follow at once; the first stands off.
            const std::string_view so_far = out_.view();
            if (so_far.empty() || so_far.back() != ']') out_.append(' ');
            out_.append('[');
            print(one.a);
            out_.append(']');
            right(one.b);
            break;
        }
        default:
            break;
    }
    --depth_;
}

// Names -----------------------------------------------------------------------------------------

// Left and right of an encoding each run inside the scope of its own template parameters.
void itanium_printer::encoding_left(const node& one) noexcept {
    const node& function = nodes_[one.b];
    const scope own{template_arguments_of(one.a), scope_};
    const visit inside(*this, {one.a, own.arguments != 0 ? &own : scope_, element_});
    // Of a function that something is local to, the return type would only confuse.
    if (options_.full && !in_local_) return_type(function.a);
    const bool before = in_local_;
    in_local_ = false;
    print(one.a);
    if (options_.full) {
        out_.append('(');
        list(function.b);
        out_.append(')');
        qualifiers(function.flags);
        if (!before) right(function.a);
    }
    in_local_ = before;
}

// The list of arguments when the name is a template's, through what may stand around it.
node_index itanium_printer::template_arguments_of(node_index name) const noexcept {
    for (unsigned steps = 0; name != 0 && steps < max_depth; ++steps) {
        const node& one = nodes_[name];
        if (one.kind == node_kind::template_id) return one.b;
        if (one.kind == node_kind::local) {
            name = one.b;
        } else if (one.kind == node_kind::tagged || one.kind == node_kind::default_argument ||
                   one.kind == node_kind::member_qualified) {
            name = one.a;
        } else {
            return 0;
        }
    }
    return 0;
}

void itanium_printer::identifier(const node& one) noexcept {
    std::uint64_t number = 0;
    if (!options_.full && closure_number(one.text(), number)) {
        out_.append("{lambda#").decimal(number + 1).append('}');
        return;
    }
    out_.append(one.text());
}

void itanium_printer::nested(const node& one) noexcept {
    const bool before = in_local_;
    in_local_ = one.kind == node_kind::local;
    print(one.a);
    in_local_ = before;
    if (!options_.full) {
        if (is_inline_namespace(nodes_[one.b].text())) return;
        const node& part = nodes_[one.b];
        if (part.kind == node_kind::operator_name && part.text() == "()" && is_lambda(one.a))
            return;
    }
    out_.append("::");
    print(one.b);
}

void itanium_printer::template_id(const node& one) noexcept {
    print(one.a);
    if (!options_.full && is_call_of_lambda(one.a)) return;
    arguments(one.b);
}

void itanium_printer::arguments(node_index first) noexcept {
    if (!out_.empty() && out_.view().back() == '<') out_.append(' ');
    out_.append('<');
    const std::size_t start = out_.size();
    const bool lost_before = out_.truncated();
    list(first);
    const bool too_long = out_.size() - start > options_.max_arguments_size || out_.truncated();
    if (options_.max_arguments_size != 0 && too_long && !lost_before) {
        out_.shrink(start);
        out_.append("...");
    }
    if (!out_.empty() && out_.view().back() == '>') out_.append(' ');
    out_.append('>');
}

void itanium_printer::lambda(const node& one) noexcept {
    out_.append("{lambda");
    if (options_.full) {
        ++in_lambda_;
        out_.append('(');
        list(one.b);
        out_.append(')');
        --in_lambda_;
    }
    out_.append('#').decimal(one.number).append('}');
}

void itanium_printer::operator_name(const node& one) noexcept {
    out_.append("operator").append(one.text());
    // "sizeof " and the like carry a space for expressions.
    if (out_.view().back() == ' ') out_.shrink(out_.size() - 1);
}

bool itanium_printer::is_lambda(node_index at) const noexcept {
    for (unsigned steps = 0; at != 0 && steps < max_depth; ++steps) {
        const node& one = nodes_[at];
        std::uint64_t ignored = 0;
        if (one.kind == node_kind::nested || one.kind == node_kind::local) {
            at = one.b;
        } else if (one.kind == node_kind::tagged) {
            at = one.a;
        } else {
            return one.kind == node_kind::lambda ||
                   (one.kind == node_kind::name && closure_number(one.text(), ignored));
        }
    }
    return false;
}

bool itanium_printer::is_call_of_lambda(node_index at) const noexcept {
    for (unsigned steps = 0; at != 0 && steps < max_depth; ++steps) {
        const node& one = nodes_[at];
        if (one.kind != node_kind::nested && one.kind != node_kind::local) return false;
        const node& part = nodes_[one.b];
        if (part.kind == node_kind::operator_name) return part.text() == "()" && is_lambda(one.a);
        at = one.b;
    }
    return false;
}

// Lists and packs -------------------------------------------------------------------------------

// Commas between what prints something: an empty pack prints nothing.
void itanium_printer::list(node_index first) noexcept {
    bool any = false;
    for (node_index at = first; at != 0; at = nodes_[at].b) {
        if (nodes_[at].kind != node_kind::list || !enter()) break;
        const std::size_t before = out_.size();
        if (any) out_.append(", ");
        const std::size_t start = out_.size();
        print(nodes_[at].a);
        if (out_.size() == start) {
            out_.shrink(before);
        } else {
            any = true;
        }
        if (out_.truncated()) break;
    }
}

void itanium_printer::pack(const node& one) noexcept {
    list(one.b);
}

node_index itanium_printer::element_of(const node& pack, std::uint16_t which) const noexcept {
    node_index at = pack.b;
    for (; at != 0 && which != 0; --which) at = nodes_[at].b;
    return at == 0 ? node_index{0} : nodes_[at].a;
}

std::uint16_t itanium_printer::size_of(const node& pack) const noexcept {
    std::uint16_t size = 0;
    for (node_index at = pack.b; at != 0 && size < node_pool::capacity; at = nodes_[at].b) ++size;
    return size;
}

// The first parameter pack under the pattern says how often it is repeated. The budget guards
// against the many paths of a DAG.
node_index itanium_printer::find_pack(node_index under, unsigned depth,
                                      unsigned& budget) const noexcept {
    if (under == 0 || depth > max_depth || budget == 0) return 0;
    --budget;
    const node& one = nodes_[under];
    if (one.kind == node_kind::template_parameter) {
        const node_index to = argument(scope_, one.number);
        return nodes_[to].kind == node_kind::pack ? to : node_index{0};
    }
    if (one.kind == node_kind::pack_expansion) return 0;
    const node_index found = find_pack(one.a, depth + 1, budget);
    return found != 0 ? found : find_pack(one.b, depth + 1, budget);
}

void itanium_printer::expansion(node_index pattern) noexcept {
    unsigned budget = 4096;
    const node_index found = find_pack(pattern, 0, budget);
    if (found == 0) {
        print(pattern);
        out_.append("...");
        return;
    }
    const std::uint16_t outer = element_;
    const std::uint16_t count = size_of(nodes_[found]);
    for (std::uint16_t i = 0; i < count && !failed_ && !out_.truncated(); ++i) {
        if (i != 0) out_.append(", ");
        element_ = i;
        print(pattern);
    }
    element_ = outer;
}

// Expressions -----------------------------------------------------------------------------------

void itanium_printer::operand(node_index at) noexcept {
    const node_kind kind = nodes_[resolve(at).at].kind;
    const bool simple = kind == node_kind::name || kind == node_kind::nested ||
                        kind == node_kind::braced || kind == node_kind::function_parameter;
    if (!simple) out_.append('(');
    print(at);
    if (!simple) out_.append(')');
}

void itanium_printer::literal(const node& one) noexcept {
    struct form {
        std::string_view type, suffix;
    };
    static constexpr form forms[] = {{"int", ""},         {"unsigned int", "u"},
                                     {"long", "l"},       {"unsigned long", "ul"},
                                     {"long long", "ll"}, {"unsigned long long", "ull"}};
    std::string_view value = one.text();
    const std::string_view of = nodes_[one.a].kind == node_kind::name ? nodes_[one.a].text() : "";
    if (of == "bool" && (value == "0" || value == "1")) {
        out_.append(value == "0" ? "false" : "true");
        return;
    }
    const auto* const known = std::find_if(std::begin(forms), std::end(forms),
                                           [of](const form& f) { return f.type == of; });
    const bool plain = known != std::end(forms);
    if (!plain) {
        out_.append('(');
        print(one.a);
        out_.append(')');
    }
    if (!value.empty() && value[0] == 'n') {
        out_.append('-');
        value.remove_prefix(1);
    }
    const bool floating = of == "float" || of == "double" || of == "long double";
    if (floating) out_.append('[');
    out_.append(value);
    if (floating) out_.append(']');
    if (plain) out_.append(known->suffix);
}

}  // namespace corodump::symbols
