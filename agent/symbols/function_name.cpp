#include <algorithm>
#include <cstddef>

#include "agent/base/text.hpp"
#include "agent/symbols/demangle.hpp"
#include "agent/symbols/itanium_parser.hpp"
#include "agent/symbols/itanium_printer.hpp"
#include "agent/symbols/name_scan.hpp"
#include "agent/symbols/type_name.hpp"

namespace corodump::symbols {
namespace {

constexpr std::size_t scratch_size = 12288;

// The printer cuts lists far later than the end result does: cleaning makes them shorter, and what
// is cut innermost first says more.
constexpr std::size_t max_arguments_printed = 8192;

// Reads a function's signature as GCC and clang print it, and writes its name: the last sequence of
// components joined by ::, where a list of parameters in the middle belongs to an enclosing
// function.
class signature_reader {
public:
    signature_reader(std::string_view signature, base::text& out) noexcept
        : rest_(signature), out_(out) {
        split_bindings();
    }

    void run() noexcept {
        while (!done_ && !rest_.empty()) step();
    }

private:
    void step() noexcept {
        if (const unnamed_component unnamed = find_unnamed(rest_); unnamed.size != 0) {
            return component(unnamed);
        }
        if (out_.empty() || out_.view().back() == ':') {
            if (const std::size_t size = operator_size(rest_); size != 0) {
                return call_or_operator(size);
            }
            if (const std::size_t size = conversion_size(rest_); size != 0) {
                return call_or_operator(size);
            }
        }
        if (out_.empty() && starts_with(rest_, "decltype")) return skip_decltype();
        switch (rest_[0]) {
            case '(':
                return parenthesis();
            case '<':
                return arguments();
            case '[':
                rest_.remove_prefix(group_size(rest_));  // an ABI tag
                return;
            case ' ':
                return space();
            case ')':
                done_ = true;  // of a declarator: (*name(int))(char)
                return;
            case '*':
            case '&':
                return restart(1);
            default:
                out_.append(rest_[0]);
                rest_.remove_prefix(1);
        }
    }

    // "decltype (f(x))": a return type with parentheses of its own.
    void skip_decltype() noexcept {
        rest_.remove_prefix(8);
        if (starts_with(rest_, " (")) rest_.remove_prefix(1);
        if (starts_with(rest_, "(")) rest_.remove_prefix(group_size(rest_));
    }

    // What came so far was the return type, or a word before it.
    void restart(std::size_t skip) noexcept {
        out_.clear();
        in_lambda_ = false;
        rest_.remove_prefix(skip);
    }

    void component(const unnamed_component& unnamed) noexcept {
        out_.append(unnamed.spelling);
        if (unnamed.spelling[0] == '{') out_.append(unnamed.number).append('}');
        in_lambda_ = starts_with(unnamed.spelling, "{lambda");
        rest_.remove_prefix(unnamed.size);
    }

    void call_or_operator(std::size_t size) noexcept {
        const std::string_view text = rest_.substr(0, size);
        rest_.remove_prefix(size);
        if (text == "operator()" && in_lambda_ && out_.size() >= 2) {
            out_.shrink(out_.size() - 2);  // its "::"
            return;
        }
        out_.append(text);
        in_lambda_ = false;
    }

    void parenthesis() noexcept {
        const bool declarator = out_.empty() && opens_declarator();
        if (declarator) return restart(1);
        rest_.remove_prefix(group_size(rest_));
        skip_qualifiers();
        done_ = !starts_with(rest_, "::");
    }

    // "(*", "(&" or "(Class::*"
    [[nodiscard]] bool opens_declarator() const noexcept {
        const std::size_t mark = rest_.find_first_of("*&),", 1);
        return mark != std::string_view::npos && (rest_[mark] == '*' || rest_[mark] == '&') &&
               (mark == 1 || rest_[mark - 1] == ':');
    }

    void space() noexcept {
        // "operator<< <char>": the space keeps the brackets of operator and arguments apart.
        if (starts_with(rest_, " <") && !out_.empty() && out_.view().back() == '<') {
            out_.append(' ');
            rest_.remove_prefix(1);
            return;
        }
        if (in_lambda_) {
            const std::size_t before = rest_.size();
            skip_qualifiers();
            if (rest_.size() != before) return;
        }
        restart(1);
    }

    void skip_qualifiers() noexcept {
        static constexpr std::string_view words[] = {" const",    " volatile",   " mutable",
                                                     " noexcept", " static",     " &&",
                                                     " &",        " __restrict", " constexpr"};
        for (bool again = true; again;) {
            again = false;
            for (const std::string_view word : words) {
                if (!starts_with(rest_, word)) continue;
                rest_.remove_prefix(word.size());
                again = true;
            }
        }
    }

    void arguments() noexcept {
        const std::size_t size = group_size(rest_);
        append_bound(rest_.substr(0, size));
        rest_.remove_prefix(size);
    }

    // "[with T = int; U = char]" (GCC) and "[T = int, U = char]" (clang) at the end.
    void split_bindings() noexcept {
        const std::size_t with = rest_.find(" [with ");
        if (with != std::string_view::npos) {
            bindings_ = rest_.substr(with + 7);
            rest_ = rest_.substr(0, with);
            if (!bindings_.empty() && bindings_.back() == ']') bindings_.remove_suffix(1);
            return;
        }
        if (rest_.empty() || rest_.back() != ']') return;
        // clang writes the arguments of class templates out, so only the end must be found.
        const std::size_t parameters = rest_.find('(');
        const std::size_t start =
            rest_.find(" [", parameters == std::string_view::npos ? 0 : parameters);
        if (start != std::string_view::npos) rest_ = rest_.substr(0, start);
    }

    // GCC writes box<T>: puts in what T stands for.
    void append_bound(std::string_view list) noexcept {
        std::size_t at = 0;
        while (at < list.size()) {
            std::size_t end = at;
            while (end < list.size() && is_name_character(list[end])) ++end;
            if (end == at) {
                out_.append(list[at++]);
                continue;
            }
            const std::string_view word = list.substr(at, end - at);
            const std::string_view value = binding(word);
            out_.append(value.empty() ? word : value);
            at = end;
        }
    }

    [[nodiscard]] std::string_view binding(std::string_view name) const noexcept {
        std::string_view all = bindings_;
        while (!all.empty()) {
            std::size_t end = 0;
            while (end < all.size() && all[end] != ';') {
                const char c = all[end];
                end += c == '<' || c == '(' || c == '{' ? group_size(all.substr(end)) : 1;
            }
            const std::string_view one = all.substr(0, end);
            all.remove_prefix(std::min(end + 2, all.size()));
            const std::size_t equals = one.find(" = ");
            if (equals == std::string_view::npos) continue;
            std::string_view bound = one.substr(0, equals);
            if (const std::size_t last = bound.rfind(' '); last != std::string_view::npos) {
                bound.remove_prefix(last + 1);  // "int N"
            }
            if (bound == name) return one.substr(equals + 3);
        }
        return {};
    }

    std::string_view rest_;
    std::string_view bindings_;
    base::text& out_;
    bool in_lambda_ = false;  // the last component was one
    bool done_ = false;
};

bool parse_and_print(std::string_view mangled, itanium_parser::manner how,
                     base::text& out) noexcept {
    itanium_parser parser(mangled, how);
    const node_index root = parser.parse();
    if (root == 0) return false;
    itanium_printer printer(parser.nodes(), out, {false, max_arguments_printed});
    printer.print(root);
    return !printer.failed() && !out.empty();
}

bool append_demangled(base::text& out, std::string_view mangled) noexcept {
    if (!starts_with(mangled, "_Z")) return false;
    for (const auto how : {itanium_parser::manner::gcc, itanium_parser::manner::abi}) {
        out.clear();
        if (parse_and_print(mangled, how, out)) return true;
    }
    out.clear();
    return false;
}

// GCC 12 names a coroutine's frame type by the mangled name of its function, and ".Frame": it
// stands after "::" in a pretty name, and after its own length in a mangled one.
bool stands_alone(std::string_view raw, std::size_t start, std::size_t length) noexcept {
    if (start >= 2 && raw.substr(start - 2, 2) == "::") return true;
    std::size_t digits = start;
    while (digits > 0 && raw[digits - 1] >= '0' && raw[digits - 1] <= '9') --digits;
    // The digits of a name before it may run into those of the length: any tail of them will do.
    for (; digits < start; ++digits) {
        std::uint64_t given = 0;
        if (base::parse_unsigned(raw.substr(digits, start - digits), given) && given == length) {
            return true;
        }
    }
    return false;
}

bool append_from_frame_type(base::text& out, std::string_view raw) noexcept {
    constexpr std::string_view mark = ".Frame";
    const std::size_t end = raw.find(mark);
    if (end == std::string_view::npos) return false;
    for (std::size_t at = raw.find("_Z"); at < end; at = raw.find("_Z", at + 1)) {
        if (!stands_alone(raw, at, end + mark.size() - at)) continue;
        if (append_demangled(out, raw.substr(at, end - at))) return true;
    }
    return false;
}

// GCC 12 names a generic lambda of a coroutine as something in that coroutine's frame function:
// `f(f()::_Z1fv.Frame*)::<lambda(auto:1)> [with auto:1 = int]`. What follows is the name's end.
std::string_view behind_frame_type(std::string_view raw) noexcept {
    constexpr std::string_view mark = ".Frame*)::<lambda";
    const std::size_t at = raw.find(mark);
    return at == std::string_view::npos ? std::string_view()
                                        : raw.substr(at + std::string_view(".Frame*)").size());
}

bool is_identifier(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_name_character);
}

std::string_view finished(std::string_view name, std::span<char> out) noexcept {
    base::text written(out);
    append_clean_type(written, name, max_arguments_shown);
    return written.view();
}

}  // namespace

std::string_view demangle(std::string_view mangled, std::span<char> out) noexcept {
    char buffer[scratch_size];
    base::text scratch(buffer);
    if (!append_demangled(scratch, mangled)) return {};
    return finished(scratch.view(), out);
}

std::string_view clean_function_name(std::string_view raw, std::span<char> out) noexcept {
    char buffer[scratch_size];
    base::text scratch(buffer);
    if (append_from_frame_type(scratch, raw)) {
        const std::string_view lambda = behind_frame_type(raw);
        if (lambda.empty()) return finished(scratch.view(), out);
        char whole_buffer[scratch_size];
        base::text whole(whole_buffer);
        whole.append(scratch.view());
        whole.append("()");
        whole.append(lambda);
        scratch.clear();
        signature_reader(whole.view(), scratch).run();
        return scratch.empty() ? raw : finished(scratch.view(), out);
    }
    if (starts_with(raw, "_Z")) {
        return append_demangled(scratch, raw) ? finished(scratch.view(), out) : raw;
    }
    // The name of a C function, perhaps with a suffix: no character of C++ in it.
    const std::string_view plain = raw.substr(0, raw.find('.'));
    if (is_identifier(plain)) return plain;
    signature_reader(raw, scratch).run();
    return scratch.empty() ? raw : finished(scratch.view(), out);
}

}  // namespace corodump::symbols
