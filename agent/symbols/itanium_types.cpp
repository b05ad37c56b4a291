#include <algorithm>
#include <cstdint>

#include "agent/symbols/itanium_parser.hpp"

namespace corodump::symbols {
namespace {

// Indexed by the letter; empty where the letter is none of a builtin type.
constexpr std::string_view builtin_names[26] = {
    "signed char",         // a
    "bool",                // b
    "char",                // c
    "double",              // d
    "long double",         // e
    "float",               // f
    "__float128",          // g
    "unsigned char",       // h
    "int",                 // i
    "unsigned int",        // j
    "",                    // k
    "long",                // l
    "unsigned long",       // m
    "__int128",            // n
    "unsigned __int128",   // o
    "",                    // p
    "",                    // q
    "",                    // r
    "short",               // s
    "unsigned short",      // t
    "",                    // u
    "void",                // v
    "wchar_t",             // w
    "long long",           // x
    "unsigned long long",  // y
    "...",                 // z
};

}  // namespace

// Each type but a builtin and a bare substitution becomes a substitution itself.
node_index itanium_parser::type() noexcept {
    struct depth_guard {
        unsigned& depth;
        ~depth_guard() { --depth; }
    } const guard{++depth_};
    if (depth_ > max_depth) return 0;
    if (const node_index builtin = builtin_type(); builtin != 0) return builtin;
    bool is_substitution = false;
    const node_index made = type_unremembered(is_substitution);
    return is_substitution ? made : remember(made);
}

node_index itanium_parser::builtin_type() noexcept {
    const char c = look();
    if (c < 'a' || c > 'z') return 0;
    const std::string_view spelled = builtin_names[c - 'a'];
    if (spelled.empty()) return 0;
    ++at_;
    return make_text(node_kind::name, spelled);
}

// NOLINTNEXTLINE(readability-function-size): one case for each production of the grammar
node_index itanium_parser::type_unremembered(bool& is_substitution) noexcept {
    switch (look()) {
        case 'r':
        case 'V':
        case 'K':
        case 'U':
            if (look() == 'U' && (look(1) == 'l' || look(1) == 't')) return name(nullptr);
            return qualified_type();
        case 'u': {
            ++at_;
            const node_index vendor = source_name();
            if (vendor == 0 || look() != 'I') return vendor;
            return make_both(node_kind::template_id, vendor, template_arguments());
        }
        case 'F':
            return function_type();
        case 'A':
            return array_type();
        case 'M':
            return member_pointer_type();
        case 'P':
            ++at_;
            return make_unary(node_kind::pointer, type());
        case 'R':
            ++at_;
            return make_unary(node_kind::lvalue_reference, type());
        case 'O':
            ++at_;
            return make_unary(node_kind::rvalue_reference, type());
        case 'C':
            ++at_;
            return make_unary(node_kind::complex_type, type());
        case 'G':
            ++at_;
            return make_unary(node_kind::imaginary_type, type());
        case 'D':
            return extended_type(is_substitution);
        case 'T': {
            // An elaborated type: struct, union or enum.
            if (look(1) == 's' || look(1) == 'u' || look(1) == 'e') {
                at_ += 2;
                return name(nullptr);
            }
            const node_index parameter = template_parameter();
            if (look() != 'I' || no_arguments_after_type_) return parameter;
            // A template template parameter: itself a substitution, too.
            if (remember(parameter) == 0) return 0;
            return make_both(node_kind::template_id, parameter, template_arguments());
        }
        case 'S': {
            if (look(1) == 't') return name(nullptr);
            const node_index known = substitution();
            if (look() != 'I' || no_arguments_after_type_) {
                is_substitution = true;
                return known;
            }
            return make_both(node_kind::template_id, known, template_arguments());
        }
        default:
            return name(nullptr);
    }
}

// D...: what came to the language after 1998. `is_builtin` ones are no substitutions.
node_index itanium_parser::extended_type(bool& is_builtin) noexcept {
    struct form {
        char code;
        std::string_view text;
    };
    static constexpr form forms[] = {
        {'d', "decimal64"},         {'e', "decimal128"},     {'f', "decimal32"}, {'h', "_Float16"},
        {'i', "char32_t"},          {'s', "char16_t"},       {'u', "char8_t"},   {'a', "auto"},
        {'n', "decltype(nullptr)"}, {'c', "decltype(auto)"},
    };
    const char c = look(1);
    for (const form& one : forms) {
        if (one.code != c) continue;
        at_ += 2;
        is_builtin = true;
        return make_text(node_kind::name, one.text);
    }
    switch (c) {
        case 'p':
            at_ += 2;
            return make_unary(node_kind::pack_expansion, type());
        case 't':
        case 'T':
            return decltype_type();
        case 'v':
            return vector_type();
        case 'o':
        case 'O':
        case 'w':
        case 'x':
            return function_type();
        case 'F':
        case 'B':
        case 'U':
            is_builtin = true;
            return bit_precise_type();
        default:
            return 0;
    }
}

// DF <bits> [_ | b | x], DB <bits> _, DU <bits> _
node_index itanium_parser::bit_precise_type() noexcept {
    const char* const start = at_ + 2;
    const char kind = look(1);
    at_ += 2;
    std::size_t bits = 0;
    if (!number(bits)) return 0;
    const std::string_view digits(start, static_cast<std::size_t>(at_ - start));
    if (kind == 'F') {
        if (take('b'))
            return make_text(node_kind::name, digits == "16" ? "std::bfloat16_t" : "_Float");
        const bool extended = take('x');
        if (!extended && !take('_')) return 0;
        const node_index width = make_text(node_kind::name, digits);
        return width == 0 ? node_index{0}
                          : make_text(node_kind::postfix, extended ? "x" : "",
                                      make_text(node_kind::unary, "_Float", width));
    }
    if (!take('_')) return 0;
    const node_index width = make_text(node_kind::name, digits);
    return width == 0 ? node_index{0}
                      : make_text(node_kind::parenthesized,
                                  kind == 'B' ? "_BitInt" : "unsigned _BitInt", width);
}

std::uint8_t itanium_parser::cv_qualifiers() noexcept {
    std::uint8_t found = 0;
    if (take('r')) found |= is_restrict;
    if (take('V')) found |= is_volatile;
    if (take('K')) found |= is_const;
    return found;
}

node_index itanium_parser::qualified_type() noexcept {
    if (take('U')) {
        const node_index vendor = source_name();
        if (vendor == 0) return 0;
        if (look() == 'I' && template_arguments() == 0) return 0;
        const node_index of = type();
        return of == 0 ? node_index{0}
                       : make_text(node_kind::vendor_qualified, pool_[vendor].text(), of);
    }
    const std::uint8_t qualifiers = cv_qualifiers();
    // Those of a function type are the member function's, and stand behind its parameters.
    const bool of_function =
        look() == 'F' ||
        (look() == 'D' && (look(1) == 'o' || look(1) == 'O' || look(1) == 'w' || look(1) == 'x'));
    if (of_function) {
        const node_index function = function_type();
        if (function != 0) pool_.nodes[function].flags |= qualifiers;
        return function;
    }
    const node_index of = type();
    return of == 0 ? node_index{0} : make_flags(node_kind::qualified, qualifiers, of);
}

// [exception specification] F [Y] <types> [R | O] E
node_index itanium_parser::function_type() noexcept {
    std::uint8_t flags = 0;
    if (take("Do")) {
        flags |= is_noexcept;
    } else if (take("DO")) {
        if (expression() == 0 || !take('E')) return 0;
        flags |= is_noexcept;
    } else if (take("Dw")) {
        while (!take('E')) {
            if (type() == 0) return 0;
        }
    }
    if (take("Dx")) flags |= is_transaction_safe;
    if (!take('F')) return 0;
    static_cast<void>(take('Y'));
    const node_index returns = type();
    if (returns == 0) return 0;
    list_builder parameters;
    while (!take('E')) {
        if (take("RE")) {
            flags |= is_lvalue;
            break;
        }
        if (take("OE")) {
            flags |= is_rvalue;
            break;
        }
        if (take('v')) continue;
        if (!add(parameters, type())) return 0;
    }
    return make_flags(node_kind::function, flags, returns, parameters.first);
}

// A [<number> | <expression>] _ <element type>
node_index itanium_parser::array_type() noexcept {
    if (!take('A')) return 0;
    node_index extent = 0;
    if (const std::string_view digits = signed_number(); !digits.empty()) {
        extent = make_text(node_kind::name, digits);
    } else if (look() != '_') {
        extent = expression();
        if (extent == 0) return 0;
    }
    if (!take('_')) return 0;
    const node_index element = type();
    return element == 0 ? node_index{0} : make(node_kind::array, extent, element);
}

// Dv <number> _ <type>, Dv _ <expression> _ <type>
node_index itanium_parser::vector_type() noexcept {
    at_ += 2;
    const std::string_view digits = signed_number();
    node_index extent = 0;
    if (!digits.empty()) {
        extent = make_text(node_kind::name, digits);
    } else if (take('_')) {
        extent = expression();
    }
    if (extent == 0 || !take('_')) return 0;
    return make_both(node_kind::vector_type, extent, type());
}

node_index itanium_parser::member_pointer_type() noexcept {
    if (!take('M')) return 0;
    const node_index of_class = type();
    return make_both(node_kind::member_pointer, of_class, of_class == 0 ? node_index{0} : type());
}

node_index itanium_parser::decltype_type() noexcept {
    if (!take("Dt") && !take("DT")) return 0;
    const node_index of = expression();
    return take('E') ? make_unary(node_kind::decltype_type, of) : node_index{0};
}

// S_ | S <base 36> _ | S <letter>
node_index itanium_parser::substitution() noexcept {
    if (!take('S')) return 0;
    if (look() >= 'a' && look() <= 'z') {
        const node_index made = with_tags(standard_substitution(look()));
        if (made != 0 && pool_[made].kind == node_kind::tagged) return remember(made);
        return made;
    }
    std::size_t index = 0;
    if (!take('_')) {
        for (char c = look(); c != '_'; c = look()) {
            if (c >= '0' && c <= '9') {
                index = index * 36 + static_cast<std::size_t>(c - '0');
            } else if (c >= 'A' && c <= 'Z') {
                index = index * 36 + static_cast<std::size_t>(c - 'A') + 10;
            } else {
                return 0;
            }
            if (index > max_substitutions) return 0;
            ++at_;
        }
        ++at_;
        ++index;
    }
    return index < substitutions_used_ ? substitutions_[index] : node_index{0};
}

node_index itanium_parser::standard_substitution(char which) noexcept {
    struct form {
        char code;
        std::string_view short_name, full_name, class_name;
    };
    static constexpr form forms[] = {
        {'a', "std::allocator", "std::allocator", "allocator"},
        {'b', "std::basic_string", "std::basic_string", "basic_string"},
        {'s', "std::string",
         "std::basic_string<char, std::char_traits<char>, std::allocator<char> >", "basic_string"},
        {'i', "std::istream", "std::basic_istream<char, std::char_traits<char> >", "basic_istream"},
        {'o', "std::ostream", "std::basic_ostream<char, std::char_traits<char> >", "basic_ostream"},
        {'d', "std::iostream", "std::basic_iostream<char, std::char_traits<char> >",
         "basic_iostream"},
    };
    for (const form& one : forms) {
        if (one.code != which) continue;
        ++at_;
        // Before its own constructor a typedef's name is no use.
        const bool own_member = look() == 'C' || look() == 'D';
        const node_index class_name = make_text(node_kind::name, one.class_name);
        const node_index made =
            make_text(node_kind::name, own_member ? one.full_name : one.short_name, class_name);
        return made;
    }
    return 0;
}

// T_ | T <number> _ | TL <level> _ ...
node_index itanium_parser::template_parameter() noexcept {
    if (!take('T')) return 0;
    if (take('L')) {
        std::uint16_t level = 0;
        if (!sequence_number(level)) return 0;
    }
    std::uint16_t index = 0;
    if (!sequence_number(index)) return 0;
    return make_number(node_kind::template_parameter, index);
}

// I <template-arg>* [Q <constraint>] E
node_index itanium_parser::template_arguments() noexcept {
    if (!take('I')) return 0;
    const bool before = no_arguments_after_type_;
    no_arguments_after_type_ = false;
    list_builder list;
    bool good = true;
    while (good && !take('E')) good = look() == 'Q' ? constraint() : add(list, template_argument());
    no_arguments_after_type_ = before;
    if (!good) return 0;
    // A list may be empty, but its node must exist.
    return list.first != 0 ? list.first : make(node_kind::list);
}

node_index itanium_parser::template_argument() noexcept {
    struct depth_guard {
        unsigned& depth;
        ~depth_guard() { --depth; }
    } const guard{++depth_};
    if (depth_ > max_depth) return 0;
    switch (look()) {
        case 'X': {
            ++at_;
            const node_index made = expression();
            return take('E') ? made : node_index{0};
        }
        case 'J': {
            ++at_;
            list_builder list;
            while (!take('E')) {
                if (!add(list, template_argument())) return 0;
            }
            return make(node_kind::pack, 0, list.first);
        }
        case 'L':
            return literal();
        case 'T':
            if (std::string_view("nptky").find(look(1)) != std::string_view::npos) {
                return template_parameter_declaration() ? template_argument() : node_index{0};
            }
            return type();
        default:
            return type();
    }
}

// Ty | Tn <type> | Tt <declarations> E | Tp <declaration> | Tk <concept>
bool itanium_parser::template_parameter_declaration() noexcept {
    struct depth_guard {
        unsigned& depth;
        ~depth_guard() { --depth; }
    } const guard{++depth_};
    if (depth_ > max_depth) return false;
    if (take("Ty")) return true;
    if (take("Tn")) return type() != 0;
    if (take("Tp")) return template_parameter_declaration();
    if (take("Tk")) return name(nullptr) != 0;
    if (!take("Tt")) return false;
    while (!take('E')) {
        if (!template_parameter_declaration()) return false;
    }
    return true;
}

}  // namespace corodump::symbols
