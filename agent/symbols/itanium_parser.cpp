#include "agent/symbols/itanium_parser.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>

namespace corodump::symbols {
namespace {

constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

}  // namespace

// Every production that can contain itself passes here, so hostile nesting ends in a failure.
class itanium_parser::deeper {
public:
    explicit deeper(itanium_parser& parser) noexcept : parser_(parser) { ++parser_.depth_; }
    ~deeper() { --parser_.depth_; }
    deeper(const deeper&) = delete;
    deeper& operator=(const deeper&) = delete;
    [[nodiscard]] bool too_deep() const noexcept { return parser_.depth_ > max_depth; }

private:
    itanium_parser& parser_;
};

itanium_parser::itanium_parser(std::string_view mangled, manner how) noexcept
    : at_(mangled.data()),
      end_(mangled.data() + std::min<std::size_t>(mangled.size(), 0xffff)),
      manner_(how) {}

node_index itanium_parser::parse() noexcept {
    if (!take("_Z")) return 0;
    const node_index made = encoding();
    return at_ == end_ || look() == '.' ? made : node_index{0};
}

// Characters ------------------------------------------------------------------------------------

bool itanium_parser::take(std::string_view word) noexcept {
    if (static_cast<std::size_t>(end_ - at_) < word.size()) return false;
    if (std::memcmp(at_, word.data(), word.size()) != 0) return false;
    at_ += word.size();
    return true;
}

bool itanium_parser::number(std::size_t& value) noexcept {
    if (!is_digit(look())) return false;
    value = 0;
    while (is_digit(look())) {
        value = value * 10 + static_cast<std::size_t>(look() - '0');
        if (value > 0xffff) return false;
        ++at_;
    }
    return true;
}

// <seq-id> or <number> followed by an underscore: "_" is 0, "0_" is 1, and so on in decimal.
bool itanium_parser::sequence_number(std::uint16_t& value) noexcept {
    std::size_t parsed = 0;
    const bool given = number(parsed);
    if (!take('_') || parsed >= 0xffff) return false;
    value = static_cast<std::uint16_t>(given ? parsed + 1 : 0);
    return true;
}

std::string_view itanium_parser::signed_number() noexcept {
    const char* const start = at_;
    static_cast<void>(take('n'));
    while (is_digit(look())) ++at_;
    return {start, static_cast<std::size_t>(at_ - start)};
}

// Nodes -----------------------------------------------------------------------------------------

node_index itanium_parser::make(node_kind kind, node_index a, node_index b) noexcept {
    if (pool_.used >= node_pool::capacity) return 0;
    pool_.nodes[pool_.used] = node{nullptr, 0, 0, kind, a, b};
    return pool_.used++;
}

node_index itanium_parser::make_text(node_kind kind, std::string_view text, node_index a,
                                     node_index b) noexcept {
    const node_index made = make(kind, a, b);
    if (made != 0) {
        pool_.nodes[made].characters = text.data();
        pool_.nodes[made].number = static_cast<std::uint16_t>(text.size());
    }
    return made;
}

node_index itanium_parser::make_number(node_kind kind, std::uint16_t number, node_index a,
                                       node_index b) noexcept {
    const node_index made = make(kind, a, b);
    if (made != 0) pool_.nodes[made].number = number;
    return made;
}

node_index itanium_parser::make_flags(node_kind kind, std::uint8_t flags, node_index a,
                                      node_index b) noexcept {
    const node_index made = make(kind, a, b);
    if (made != 0) pool_.nodes[made].flags = flags;
    return made;
}

node_index itanium_parser::make_unary(node_kind kind, node_index a) noexcept {
    return a == 0 ? node_index{0} : make(kind, a);
}

node_index itanium_parser::make_both(node_kind kind, node_index a, node_index b) noexcept {
    return a == 0 || b == 0 ? node_index{0} : make(kind, a, b);
}

bool itanium_parser::add(list_builder& list, node_index item) noexcept {
    const node_index cell = make_unary(node_kind::list, item);
    if (cell == 0) return false;
    if (list.first == 0) {
        list.first = cell;
    } else {
        pool_.nodes[list.last].b = cell;
    }
    list.last = cell;
    return true;
}

node_index itanium_parser::remember(node_index made) noexcept {
    if (made == 0 || substitutions_used_ == max_substitutions) return 0;
    substitutions_[substitutions_used_++] = made;
    return made;
}

// Names -----------------------------------------------------------------------------------------

// <encoding> ::= <function name> <bare-function-type> | <data name> | <special-name>
node_index itanium_parser::encoding() noexcept {
    const deeper guard(*this);
    if (guard.too_deep()) return 0;
    if (look() == 'G' || look() == 'T') return special_name();
    name_info info;
    const node_index called = name(&info);
    if (called == 0) return 0;
    if (!enable_if_attributes()) return 0;
    if (at_encoding_end()) {
        return info.qualifiers == 0
                   ? called
                   : make_flags(node_kind::member_qualified, info.qualifiers, called);
    }
    return make_both(node_kind::encoding, called, function_of(info));
}

bool itanium_parser::at_encoding_end() const noexcept {
    return at_ == end_ || look() == 'E' || look() == '.' || look() == '_';
}

// The return type is there for template functions only, and not for those that have none.
node_index itanium_parser::function_of(const name_info& info) noexcept {
    node_index returns = 0;
    if (info.ends_with_arguments && !info.no_return_type) {
        returns = type();
        if (returns == 0) return 0;
    }
    list_builder parameters;
    if (!constraint()) return 0;
    if (!take('v')) {
        while (!at_encoding_end() && look() != 'Q') {
            if (!add(parameters, type())) return 0;
        }
    }
    if (!constraint()) return 0;
    return make_flags(node_kind::function, info.qualifiers, returns, parameters.first);
}

// Q <constraint-expression>: parsed for its substitutions, not printed.
bool itanium_parser::constraint() noexcept {
    return !take('Q') || expression() != 0;
}

bool itanium_parser::enable_if_attributes() noexcept {
    if (!take("Ua9enable_ifI")) return true;
    while (!take('E')) {
        if (template_argument() == 0) return false;
    }
    return true;
}

node_index itanium_parser::name(name_info* info) noexcept {
    const deeper guard(*this);
    if (guard.too_deep()) return 0;
    if (look() == 'N') return nested_name(info);
    if (look() == 'Z') return local_name(info);
    const bool substituted = look() == 'S' && look(1) != 't';
    node_index made = substituted ? substitution() : unscoped_name(info);
    if (made == 0) return 0;
    // A substitution alone names no function, only what template arguments are added to.
    if (look() != 'I') return substituted ? node_index{0} : made;
    if (!substituted && remember(made) == 0) return 0;
    made = make_both(node_kind::template_id, made, template_arguments());
    if (info != nullptr) info->ends_with_arguments = true;
    return made;
}

// N [qualifiers] <prefix> <unqualified-name> E
node_index itanium_parser::nested_name(name_info* info) noexcept {
    if (!take('N')) return 0;
    static_cast<void>(take('H'));  // an explicit object parameter
    std::uint8_t qualifiers = cv_qualifiers();
    if (take('R')) qualifiers |= is_lvalue;
    if (take('O')) qualifiers |= is_rvalue;
    if (info != nullptr) info->qualifiers = qualifiers;
    node_index so_far = 0;
    bool last_is_remembered = false;
    while (!take('E')) {
        if (info != nullptr) info->ends_with_arguments = false;
        bool substituted = false;
        so_far = nested_component(info, so_far, substituted);
        if (so_far == 0) return 0;
        last_is_remembered = !substituted;
        if (!substituted && remember(so_far) == 0) return 0;
        static_cast<void>(take('M'));  // the initialiser of a data member
    }
    // The whole is no prefix of anything; where it is a type, type() remembers it.
    if (!last_is_remembered) return 0;
    --substitutions_used_;
    return so_far;
}

node_index itanium_parser::nested_component(name_info* info, node_index so_far,
                                            bool& substituted) noexcept {
    switch (look()) {
        case 'T':
            return so_far == 0 ? template_parameter() : node_index{0};
        case 'I': {
            if (so_far == 0) return 0;
            const node_index arguments = template_arguments();
            if (info != nullptr) info->ends_with_arguments = true;
            return make_both(node_kind::template_id, so_far, arguments);
        }
        case 'S':
            if (so_far != 0) return 0;
            substituted = true;
            return take("St") ? make_text(node_kind::name, "std") : substitution();
        case 'D':
            if (look(1) == 't' || look(1) == 'T')
                return so_far == 0 ? decltype_type() : node_index{0};
            break;
        default:
            break;
    }
    const node_index part = unqualified_name(info, so_far);
    return so_far == 0 ? part : make_both(node_kind::nested, so_far, part);
}

// Z <function encoding> E <entity name> [<discriminator>]
node_index itanium_parser::local_name(name_info* info) noexcept {
    if (!take('Z')) return 0;
    const node_index function = encoding();
    if (function == 0 || !take('E')) return 0;
    if (take('s')) {
        if (!discriminator()) return 0;
        return make(node_kind::local, function, make_text(node_kind::name, "string literal"));
    }
    if (look() == 'd') {
        ++at_;
        std::uint16_t which = 0;
        if (!sequence_number(which)) return 0;
        const node_index entity = name(info);
        if (entity == 0) return 0;
        return make_both(node_kind::local, function,
                         make_number(node_kind::default_argument,
                                     static_cast<std::uint16_t>(which + 1), entity));
    }
    const node_index entity = name(info);
    if (!discriminator()) return 0;
    return make_both(node_kind::local, function, entity);
}

// _ <digit> | __ <number> _ ; absent for the first of a name.
bool itanium_parser::discriminator() noexcept {
    if (look() != '_') return true;
    if (is_digit(look(1))) {
        at_ += 2;
        return true;
    }
    std::size_t ignored = 0;
    return take("__") && number(ignored) && take('_');
}

node_index itanium_parser::unscoped_name(name_info* info) noexcept {
    if (!take("St")) return unqualified_name(info, 0);
    const node_index standard = make_text(node_kind::name, "std");
    return make_both(node_kind::nested, standard, unqualified_name(info, standard));
}

node_index itanium_parser::unqualified_name(name_info* info, node_index scope) noexcept {
    static_cast<void>(take('L'));  // internal linkage
    const char c = look();
    if (is_digit(c)) return with_tags(source_name());
    if (c == 'U') return with_tags(unnamed_or_lambda());
    if (c == 'D' && look(1) == 'C') return with_tags(structured_binding());
    if (c == 'C' || c == 'D') return with_tags(constructor_or_destructor(info, scope));
    return with_tags(operator_or_conversion(info));
}

node_index itanium_parser::with_tags(node_index tagged) noexcept {
    while (tagged != 0 && take('B')) {
        const node_index tag = source_name();
        if (tag == 0) return 0;
        tagged = make_text(node_kind::tagged, pool_[tag].text(), tagged);
    }
    return tagged;
}

node_index itanium_parser::source_name() noexcept {
    std::size_t length = 0;
    if (!number(length) || length == 0) return 0;
    if (static_cast<std::size_t>(end_ - at_) < length) return 0;
    std::string_view text(at_, length);
    at_ += length;
    // The anonymous namespace is _GLOBAL__N_1 with GCC and clang; older ones put '.' or '$' there.
    if (text.size() >= 10 && text.substr(0, 8) == "_GLOBAL_" && text[9] == 'N') {
        text = "(anonymous namespace)";
    }
    return make_text(node_kind::name, text);
}

node_index itanium_parser::structured_binding() noexcept {
    if (!take("DC")) return 0;
    list_builder names;
    do {
        if (!add(names, source_name())) return 0;
    } while (!take('E'));
    return make(node_kind::structured_binding, 0, names.first);
}

node_index itanium_parser::constructor_or_destructor(name_info* info, node_index scope) noexcept {
    const node_index of = class_name_of(scope);
    if (of == 0) return 0;
    if (info != nullptr) info->no_return_type = true;
    if (take('C')) {
        const bool inheriting = take('I');
        if (look() < '1' || look() > '5') return 0;
        ++at_;
        // An inherited constructor goes by the name of the base that it comes from.
        return make_unary(node_kind::constructor, inheriting ? class_name_of(type()) : of);
    }
    if (!take('D') || look() < '0' || look() > '5') return 0;
    ++at_;
    return make(node_kind::destructor, of);
}

// The last name of the scope, without template arguments.
node_index itanium_parser::class_name_of(node_index scope) noexcept {
    for (unsigned steps = 0; scope != 0 && steps < max_depth; ++steps) {
        const node& one = pool_[scope];
        switch (one.kind) {
            case node_kind::nested:
            case node_kind::local:
                scope = one.b;
                break;
            case node_kind::template_id:
            case node_kind::tagged:
                scope = one.a;
                break;
            case node_kind::name:
                // std::string and the like carry the name of their class.
                return one.a != 0 ? one.a : scope;
            default:
                return scope;
        }
    }
    return 0;
}

node_index itanium_parser::unnamed_or_lambda() noexcept {
    std::uint16_t number = 0;
    if (take("Ut")) {
        if (!sequence_number(number)) return 0;
        return make_number(node_kind::unnamed_type, static_cast<std::uint16_t>(number + 1));
    }
    return take("Ul") ? lambda() : node_index{0};
}

// Ul <parameter types, or v> E [<number>] _
node_index itanium_parser::lambda() noexcept {
    const deeper guard(*this);
    if (guard.too_deep()) return 0;
    list_builder parameters;
    bool good = true;
    while (good && look() == 'T' &&
           std::string_view("yptnk").find(look(1)) != std::string_view::npos) {
        good = template_parameter_declaration();
    }
    if (!take('v')) {
        while (good && look() != 'E' && look() != 'Q') good = add(parameters, type());
    }
    good = good && constraint();
    std::uint16_t number = 0;
    if (!good || !take('E') || !sequence_number(number)) return 0;
    return make_number(node_kind::lambda, static_cast<std::uint16_t>(number + 1), 0,
                       parameters.first);
}

node_index itanium_parser::operator_or_conversion(name_info* info) noexcept {
    const std::string_view code(at_,
                                std::min<std::size_t>(2, static_cast<std::size_t>(end_ - at_)));
    if (code == "cv") {
        at_ += 2;
        if (info != nullptr) info->no_return_type = true;
        // The arguments that may follow belong to the operator, not to a template parameter here.
        const bool arguments = no_arguments_after_type_;
        no_arguments_after_type_ = true;
        const node_index to = type();
        no_arguments_after_type_ = arguments;
        return make_unary(node_kind::conversion, to);
    }
    if (code == "li") {
        at_ += 2;
        const node_index suffix = source_name();
        return suffix == 0 ? node_index{0}
                           : make_text(node_kind::literal_operator, pool_[suffix].text());
    }
    const operator_code* const known = find_operator(code);
    if (known == nullptr) return 0;
    at_ += 2;
    return make_text(node_kind::operator_name, known->spelling);
}

}  // namespace corodump::symbols
