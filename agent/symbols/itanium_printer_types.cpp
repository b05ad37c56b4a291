// Declarators, and what template parameters stand for.
#include "agent/symbols/itanium_printer.hpp"

namespace corodump::symbols {

// NOLINTNEXTLINE(readability-function-size): one case for each production of the grammar
void itanium_printer::left_of_type(node_index at) noexcept {
    const node& one = nodes_[at];
    switch (one.kind) {
        case node_kind::function:
            return return_type(one.a);
        case node_kind::qualified: {
            left(one.a);
            // A parameter's argument may be const already.
            const node& of = nodes_[resolve(one.a).at];
            const std::uint8_t there = of.kind == node_kind::qualified ? of.flags : std::uint8_t{0};
            return qualifiers(static_cast<std::uint8_t>(one.flags & ~there));
        }
        case node_kind::vendor_qualified:
            left(one.a);
            out_.append(' ').append(one.text());
            return;
        case node_kind::pointer:
            return declarator_left({one.a, scope_, element_}, "*");
        case node_kind::lvalue_reference:
        case node_kind::rvalue_reference:
            return reference_left(at);
        case node_kind::complex_type:
            left(one.a);
            out_.append(" _Complex");
            return;
        case node_kind::imaginary_type:
            left(one.a);
            out_.append(" _Imaginary");
            return;
        case node_kind::array:
            return left(one.b);
        case node_kind::member_pointer:
            declarator_left({one.b, scope_, element_},
                            needs_parentheses({one.b, scope_, element_}) ? "" : " ");
            print(one.a);
            out_.append("::*");
            return;
        case node_kind::vector_type:
            print(one.b);
            out_.append(" __vector(");
            print(one.a);
            out_.append(')');
            return;
        case node_kind::template_parameter:
            return template_parameter(at, true);
        case node_kind::decltype_type:
            out_.append("decltype (");
            print(one.a);
            out_.append(')');
            return;
        default:
            failed_ = true;
    }
}

node_index itanium_printer::argument(const scope* in, std::uint16_t number) const noexcept {
    node_index at = in == nullptr ? node_index{0} : in->arguments;
    for (; at != 0 && number != 0; --number) at = nodes_[at].b;
    return at == 0 ? node_index{0} : nodes_[at].a;
}

// Follows template parameters to what they stand for. A pack stands for its current element while
// it is being expanded, else for all of them.
itanium_printer::place itanium_printer::resolve(place from) const noexcept {
    for (unsigned steps = 0; steps < max_depth && in_lambda_ == 0; ++steps) {
        const node& one = nodes_[from.at];
        if (one.kind != node_kind::template_parameter || from.in == nullptr) break;
        node_index to = argument(from.in, one.number);
        if (nodes_[to].kind == node_kind::pack && from.element != no_element) {
            to = element_of(nodes_[to], from.element);
        }
        from = {to, from.in->outer, no_element};
    }
    return from;
}

itanium_printer::place itanium_printer::resolve(node_index at) const noexcept {
    return resolve({at, scope_, element_});
}

void itanium_printer::template_parameter(node_index at, bool on_the_left) noexcept {
    if (in_lambda_ != 0) {
        if (on_the_left) out_.append("auto:").decimal(nodes_[at].number + 1U);
        return;
    }
    const place to = resolve(at);
    if (to.at == at || (to.at == 0 && element_ == no_element)) {
        failed_ = true;
        return;
    }
    const visit there(*this, to);
    on_the_left ? left(to.at) : right(to.at);
}

// The kind that decides how a declarator is written: qualifiers stand left of it anyway.
node_kind itanium_printer::declared_kind(place to) const noexcept {
    to = resolve(to);
    for (unsigned steps = 0; steps < max_depth; ++steps) {
        if (nodes_[to.at].kind != node_kind::qualified) break;
        to = resolve({nodes_[to.at].a, to.in, to.element});
    }
    return nodes_[to.at].kind;
}

// In `void (*f(int))(char)` the name follows at once.
void itanium_printer::return_type(node_index at) noexcept {
    if (at == 0) return;
    left(at);
    place to = resolve(at);
    for (unsigned steps = 0; steps < max_depth; ++steps) {
        const node& one = nodes_[to.at];
        const bool member = one.kind == node_kind::member_pointer;
        const bool through = one.kind == node_kind::pointer || member ||
                             one.kind == node_kind::lvalue_reference ||
                             one.kind == node_kind::rvalue_reference;
        if (!through) break;
        to = resolve({member ? one.b : one.a, to.in, to.element});
        if (needs_parentheses(to)) return;
    }
    out_.append(' ');
}

bool itanium_printer::needs_parentheses(place to) const noexcept {
    const node_kind kind = declared_kind(to);
    return kind == node_kind::function || kind == node_kind::array;
}

void itanium_printer::declarator_left(place to, std::string_view mark) noexcept {
    {
        const visit there(*this, to);
        left(to.at);
    }
    if (needs_parentheses(to)) {
        out_.append(declared_kind(to) == node_kind::array ? " (" : "(");
    }
    out_.append(mark);
}

void itanium_printer::declarator_right(place to) noexcept {
    if (needs_parentheses(to)) out_.append(')');
    const visit there(*this, to);
    right(to.at);
}

// References to references collapse: only && on && stays && ([dcl.ref]).
itanium_printer::place itanium_printer::collapse(node_index reference,
                                                 bool& rvalue) const noexcept {
    place at{reference, scope_, element_};
    rvalue = true;
    for (unsigned steps = 0; steps < max_depth; ++steps) {
        const place seen = resolve(at);
        const node_kind kind = nodes_[seen.at].kind;
        if (kind != node_kind::lvalue_reference && kind != node_kind::rvalue_reference) break;
        rvalue = rvalue && kind == node_kind::rvalue_reference;
        at = {nodes_[seen.at].a, seen.in, seen.element};
    }
    return at;
}

void itanium_printer::reference_left(node_index at) noexcept {
    bool rvalue = false;
    const place to = collapse(at, rvalue);
    declarator_left(to, rvalue ? "&&" : "&");
}

void itanium_printer::function_right(const node& one) noexcept {
    out_.append('(');
    list(one.b);
    out_.append(')');
    qualifiers(one.flags);
    right(one.a);
}

void itanium_printer::qualifiers(std::uint8_t flags) noexcept {
    if ((flags & is_const) != 0) out_.append(" const");
    if ((flags & is_volatile) != 0) out_.append(" volatile");
    if ((flags & is_restrict) != 0) out_.append(" __restrict");
    if ((flags & is_lvalue) != 0) out_.append(" &");
    if ((flags & is_rvalue) != 0) out_.append(" &&");
    if ((flags & is_transaction_safe) != 0) out_.append(" transaction_safe");
    if ((flags & is_noexcept) != 0) out_.append(" noexcept");
}

}  // namespace corodump::symbols
