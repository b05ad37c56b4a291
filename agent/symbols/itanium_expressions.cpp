#include <algorithm>
#include <cstdint>

#include "agent/symbols/itanium_parser.hpp"

namespace corodump::symbols {
namespace {

constexpr operator_code operators[] = {
    {"aN", "&=", 2},
    {"aS", "=", 2},
    {"aa", "&&", 2},
    {"ad", "&", 1},
    {"an", "&", 2},
    {"at", "alignof ", 1},
    {"aw", " co_await", 1},
    {"az", "alignof ", 1},
    {"cc", "const_cast", 2},
    {"cl", "()", 2},
    {"cm", ",", 2},
    {"co", "~", 1},
    {"dV", "/=", 2},
    {"da", " delete[]", 1},
    {"dc", "dynamic_cast", 2},
    {"de", "*", 1},
    {"dl", " delete", 1},
    {"ds", ".*", 2},
    {"dt", ".", 2},
    {"dv", "/", 2},
    {"eO", "^=", 2},
    {"eo", "^", 2},
    {"eq", "==", 2},
    {"ge", ">=", 2},
    {"gt", ">", 2},
    {"ix", "[]", 2},
    {"lS", "<<=", 2},
    {"le", "<=", 2},
    {"ls", "<<", 2},
    {"lt", "<", 2},
    {"mI", "-=", 2},
    {"mL", "*=", 2},
    {"mi", "-", 2},
    {"ml", "*", 2},
    {"mm", "--", 1},
    {"na", " new[]", 3},
    {"ne", "!=", 2},
    {"ng", "-", 1},
    {"nt", "!", 1},
    {"nw", " new", 3},
    {"oR", "|=", 2},
    {"oo", "||", 2},
    {"or", "|", 2},
    {"pL", "+=", 2},
    {"pl", "+", 2},
    {"pm", "->*", 2},
    {"pp", "++", 1},
    {"ps", "+", 1},
    {"pt", "->", 2},
    {"qu", "?", 3},
    {"rM", "%=", 2},
    {"rS", ">>=", 2},
    {"rc", "reinterpret_cast", 2},
    {"rm", "%", 2},
    {"rs", ">>", 2},
    {"sc", "static_cast", 2},
    {"ss", "<=>", 2},
    {"st", "sizeof ", 1},
    {"sz", "sizeof ", 1},
    {"nx", "noexcept", 1},
    {"te", "typeid ", 1},
    {"ti", "typeid ", 1},
    {"tw", "throw ", 1},
};

}  // namespace

const operator_code* find_operator(std::string_view code) noexcept {
    const auto* const end = std::end(operators);
    const auto* const found = std::find_if(std::begin(operators), end, [code](const auto& one) {
        return std::string_view(one.code) == code;
    });
    return found == end ? nullptr : found;
}

node_index itanium_parser::expression() noexcept {
    struct depth_guard {
        unsigned& depth;
        ~depth_guard() { --depth; }
    } const guard{++depth_};
    if (depth_ > max_depth) return 0;
    const char c = look();
    if (c == 'L') return literal();
    if (c == 'T') return template_parameter();
    if (c == 'f' && (look(1) == 'p' || (look(1) == 'L' && look(2) >= '0' && look(2) <= '9'))) {
        return function_parameter();
    }
    if (c == 'f') return fold_expression();
    if (c >= '0' && c <= '9') return unresolved_name();
    return keyword_expression();
}

node_index itanium_parser::keyword_expression() noexcept {
    const std::string_view code(at_,
                                std::min<std::size_t>(2, static_cast<std::size_t>(end_ - at_)));
    if (code == "sr" || code == "on" || code == "dn") return unresolved_name();
    if (code == "gs") {
        if (look(2) == 'n' || look(2) == 'd') {
            at_ += 2;
            return keyword_expression();
        }
        return unresolved_name();
    }
    if (code == "cv") return conversion_expression();
    if (code == "nw" || code == "na") return new_expression();
    if (code == "rq" || code == "rQ") return requires_expression();
    if (code == "tl") {
        at_ += 2;
        const node_index of = type();
        return of == 0 ? node_index{0} : braced_list(of);
    }
    if (code == "il") {
        at_ += 2;
        return braced_list(0);
    }
    if (code == "sp") {
        at_ += 2;
        return make_unary(node_kind::pack_expansion, expression());
    }
    if (code == "sZ") {
        at_ += 2;
        const node_index pack = look() == 'T' ? template_parameter() : function_parameter();
        return pack == 0 ? node_index{0} : make_text(node_kind::parenthesized, "sizeof...", pack);
    }
    if (code == "sP") {
        at_ += 2;
        list_builder list;
        while (!take('E')) {
            if (!add(list, template_argument())) return 0;
        }
        return make_text(node_kind::parenthesized, "sizeof...",
                         make(node_kind::pack, 0, list.first));
    }
    if (code == "tr") {
        at_ += 2;
        return make_text(node_kind::name, "throw");
    }
    return operator_expression(code);
}

node_index itanium_parser::operator_expression(std::string_view code) noexcept {
    const operator_code* const known = find_operator(code);
    if (known == nullptr) return 0;
    at_ += 2;
    if (code == "cl") {
        const node_index function = expression();
        if (function == 0) return 0;
        const node_index arguments = expression_list();
        return make_both(node_kind::call, function, arguments);
    }
    if (code == "dc" || code == "sc" || code == "cc" || code == "rc") {
        const node_index to = type();
        const node_index of = to == 0 ? node_index{0} : expression();
        return of == 0 ? node_index{0} : make_text(node_kind::named_cast, known->spelling, to, of);
    }
    if (code == "st" || code == "at" || code == "ti") {
        const node_index of = type();
        return of == 0 ? node_index{0} : make_text(node_kind::parenthesized, known->spelling, of);
    }
    if (code == "sz" || code == "az" || code == "te" || code == "nx") {
        const node_index of = expression();
        return of == 0 ? node_index{0} : make_text(node_kind::parenthesized, known->spelling, of);
    }
    // pp_ and mm_ stand before their operand, pp and mm behind it.
    const bool prefix = known->operands == 1 && ((code != "pp" && code != "mm") || take('_'));
    const node_index first = expression();
    if (first == 0) return 0;
    if (known->operands == 1) {
        return make_text(prefix ? node_kind::unary : node_kind::postfix, known->spelling, first);
    }
    const bool member = code == "dt" || code == "pt";
    const node_index second = member ? unresolved_name() : expression();
    if (second == 0) return 0;
    if (known->operands == 2) {
        if (code == "ix") return make(node_kind::subscript, first, second);
        return make_text(node_kind::binary, known->spelling, first, second);
    }
    return make_both(node_kind::conditional, first,
                     make_both(node_kind::list, second, expression()));
}

// L <type> <value> E, L <mangled name> E
node_index itanium_parser::literal() noexcept {
    if (!take('L')) return 0;
    if (look() == '_' && look(1) == 'Z') {
        at_ += 2;
        const node_index made = encoding();
        return take('E') ? made : node_index{0};
    }
    if (look() == 'Z') {
        ++at_;
        const node_index made = encoding();
        return take('E') ? made : node_index{0};
    }
    const node_index of = type();
    if (of == 0) return 0;
    const char* const start = at_;
    static_cast<void>(take('n'));
    while (at_ != end_ && look() != 'E') {
        const char c = look();
        const bool known = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '_';
        if (!known) return 0;
        ++at_;
    }
    const std::string_view value(start, static_cast<std::size_t>(at_ - start));
    return take('E') ? make_text(node_kind::literal, value, of) : node_index{0};
}

// fpT | fp [cv] [number] _ | fL <number> p [cv] [number] _
node_index itanium_parser::function_parameter() noexcept {
    if (take("fpT")) return make_text(node_kind::name, "this");
    std::size_t level = 0;
    if (take("fL")) {
        if (!number(level) || !take('p')) return 0;
    } else if (!take("fp")) {
        return 0;
    }
    static_cast<void>(cv_qualifiers());
    std::uint16_t index = 0;
    if (!sequence_number(index)) return 0;
    return make_number(node_kind::function_parameter, static_cast<std::uint16_t>(index + 1));
}

// [gs] <base> | sr <type> <base> | srN <type> <ids> E <base> | [gs] sr <ids> E <base>
node_index itanium_parser::unresolved_name() noexcept {
    static_cast<void>(take("gs"));
    if (!take("sr")) return base_unresolved_name();
    const node_index scope = unresolved_scope();
    if (scope == 0) return 0;
    return make_both(node_kind::nested, scope, base_unresolved_name());
}

node_index itanium_parser::unresolved_scope() noexcept {
    node_index scope = 0;
    if (look() == 'N' && manner_ == manner::gcc) return type();
    if (take('N')) {
        scope = type();
        if (scope == 0) return 0;
        // type() takes template arguments along except after a bare name.
        if (look() == 'I') scope = make_both(node_kind::template_id, scope, template_arguments());
    } else if (look() < '0' || look() > '9') {
        scope = type();
        if (scope != 0 && look() == 'I') {
            scope = make_both(node_kind::template_id, scope, template_arguments());
        }
        return scope;
    }
    while (!take('E')) {
        const node_index part = simple_id();
        scope = scope == 0 ? part : make_both(node_kind::nested, scope, part);
        if (scope == 0) return 0;
    }
    return scope;
}

// <source-name> [<template-args>]
node_index itanium_parser::simple_id() noexcept {
    const node_index called = source_name();
    if (called == 0 || look() != 'I') return called;
    return make_both(node_kind::template_id, called, template_arguments());
}

// <simple-id> | on <operator> [<template-args>] | dn <destructor>
node_index itanium_parser::base_unresolved_name() noexcept {
    if (look() >= '0' && look() <= '9') return simple_id();
    if (take("dn")) {
        const bool named = look() >= '0' && look() <= '9';
        return make_unary(node_kind::destructor, named ? simple_id() : type());
    }
    static_cast<void>(take("on"));
    const node_index called = operator_or_conversion(nullptr);
    if (called == 0 || look() != 'I') return called;
    return make_both(node_kind::template_id, called, template_arguments());
}

// <expression>* E
node_index itanium_parser::expression_list() noexcept {
    list_builder list;
    while (!take('E')) {
        if (!add(list, expression())) return 0;
    }
    return list.first != 0 ? list.first : make(node_kind::list);
}

// nw | na <placement>* _ <type> ( E | pi <expression>* E )
node_index itanium_parser::new_expression() noexcept {
    at_ += 2;
    while (!take('_')) {
        if (expression() == 0) return 0;
    }
    const node_index of = type();
    if (of == 0) return 0;
    if (take("pi")) {
        if (expression_list() == 0) return 0;
    } else if (!take('E')) {
        return 0;
    }
    return make_text(node_kind::unary, "new ", of);
}

// cv <type> <expression> | cv <type> _ <expression>* E
node_index itanium_parser::conversion_expression() noexcept {
    at_ += 2;
    const bool before = no_arguments_after_type_;
    no_arguments_after_type_ = false;
    const node_index to = type();
    no_arguments_after_type_ = before;
    if (to == 0) return 0;
    return make_both(node_kind::cast, to, take('_') ? expression_list() : expression());
}

// fl | fr <operator> <expression>, fL | fR <operator> <expression> <expression>
node_index itanium_parser::fold_expression() noexcept {
    const char kind = look(1);
    if (kind != 'l' && kind != 'r' && kind != 'L' && kind != 'R') return 0;
    at_ += 2;
    const std::string_view code(at_,
                                std::min<std::size_t>(2, static_cast<std::size_t>(end_ - at_)));
    const operator_code* const known = find_operator(code);
    if (known == nullptr) return 0;
    at_ += 2;
    const node_index first = expression();
    if (first == 0) return 0;
    if (kind == 'L' || kind == 'R') {
        const node_index second = expression();
        return second == 0 ? node_index{0}
                           : make_text(node_kind::binary, known->spelling, first, second);
    }
    const node_index dots = make_text(node_kind::name, "...");
    return kind == 'l' ? make_text(node_kind::binary, known->spelling, dots, first)
                       : make_text(node_kind::binary, known->spelling, first, dots);
}

node_index itanium_parser::braced_list(node_index of) noexcept {
    const node_index list = expression_list();
    return list == 0 ? node_index{0} : make(node_kind::braced, of, list);
}

// rq <requirement>+ E, rQ <types> _ <requirement>+ E; printed without its contents.
node_index itanium_parser::requires_expression() noexcept {
    const bool with_parameters = look(1) == 'Q';
    at_ += 2;
    if (with_parameters) {
        while (!take('_')) {
            if (type() == 0) return 0;
        }
    }
    while (!take('E')) {
        if (take('X')) {
            if (expression() == 0) return 0;
            static_cast<void>(take('N'));
            if (take('R') && name(nullptr) == 0) return 0;
        } else if (take('T')) {
            if (type() == 0) return 0;
        } else if (!take('Q') || expression() == 0) {
            return 0;
        }
    }
    return make_text(node_kind::name, "requires{...}");
}

}  // namespace corodump::symbols
