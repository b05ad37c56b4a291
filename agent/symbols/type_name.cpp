#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "agent/base/fixed_string.hpp"
#include "agent/base/text.hpp"
#include "agent/symbols/demangle.hpp"
#include "agent/symbols/name_scan.hpp"
#include "agent/symbols/type_name.hpp"

namespace corodump::symbols {
namespace {

constexpr unsigned max_nesting = 64;
constexpr std::size_t max_arguments = 32;

constexpr std::string_view inline_namespaces[] = {
    "__cxx11::", "__1::", "_V2::", "__ndk1::", "__n4861::"};

// Template arguments that are their parameter's default when they stand last.
constexpr std::string_view default_arguments[] = {
    "std::allocator<", "std::char_traits<", "std::less<",
    "std::hash<",      "std::equal_to<",    "std::default_delete<",
};

struct typedef_name {
    std::string_view template_name;  // without the namespace std:: or asio::
    std::string_view argument;       // all that is left between < and >
    std::string_view name;
};
constexpr typedef_name standard_typedefs[] = {
    {"basic_string", "char", "string"},
    {"basic_string", "wchar_t", "wstring"},
    {"basic_string", "char8_t", "u8string"},
    {"basic_string", "char16_t", "u16string"},
    {"basic_string", "char32_t", "u32string"},
    {"basic_string_view", "char", "string_view"},
    {"basic_string_view", "wchar_t", "wstring_view"},
    {"basic_ostream", "char", "ostream"},
    {"basic_istream", "char", "istream"},
    {"coroutine_handle", "void", "coroutine_handle<>"},
};
constexpr typedef_name asio_typedefs[] = {
    {"basic_waitable_timer", "std::chrono::steady_clock", "steady_timer"},
    {"basic_waitable_timer", "std::chrono::system_clock", "system_timer"},
    {"basic_signal_set", "", "signal_set"},
    {"basic_serial_port", "", "serial_port"},
    {"posix::basic_stream_descriptor", "", "posix::stream_descriptor"},
    {"posix::basic_descriptor", "", "posix::descriptor"},
    {"basic_stream_file", "", "stream_file"},
    {"basic_random_access_file", "", "random_access_file"},
};
// Of these the protocol, which is the only argument left, has a typedef inside.
constexpr typedef_name protocol_typedefs[] = {
    {"basic_stream_socket", "", "::socket"},     {"basic_datagram_socket", "", "::socket"},
    {"basic_raw_socket", "", "::socket"},        {"basic_seq_packet_socket", "", "::socket"},
    {"basic_socket_acceptor", "", "::acceptor"}, {"ip::basic_resolver", "", "::resolver"},
    {"ip::basic_endpoint", "", "::endpoint"},
};
constexpr std::string_view protocols[] = {"ip::tcp",
                                          "ip::udp",
                                          "ip::icmp",
                                          "local::stream_protocol",
                                          "local::datagram_protocol",
                                          "local::seq_packet_protocol"};

// One pass over the text, writing as it goes; each closed list of template arguments is looked at
// again where it lies in the output, and shortened there.
class type_cleaner {
public:
    type_cleaner(std::string_view text, base::text& out, std::size_t longest_list) noexcept
        : rest_(text), out_(out), longest_list_(longest_list) {}

    void run() noexcept {
        while (!rest_.empty()) {
            sequence(0);
            if (!rest_.empty()) pass(1);  // a closing bracket without its opening one
        }
    }

private:
    struct argument_list {
        std::size_t starts[max_arguments];
        std::size_t count = 0;
    };

    void pass(std::size_t size) noexcept {
        out_.append(rest_.substr(0, size));
        rest_.remove_prefix(std::min(size, rest_.size()));
    }

    // Up to a comma or closing bracket that belongs to a list around this.
    void sequence(unsigned depth) noexcept {
        std::size_t name_start = out_.size();
        while (!rest_.empty() && !out_.truncated()) {
            const char c = rest_[0];
            if (c == ')' || c == ']' || (depth != 0 && (c == ',' || c == '>'))) return;
            if (const unnamed_component unnamed = find_unnamed(rest_); unnamed.size != 0) {
                append_unnamed(unnamed);
            } else if (is_name_character(c)) {
                word();
                // The type of a conversion operator is a name of its own.
                if (ends_in_operator()) name_start = out_.size();
            } else if (c == '<' && depth < max_nesting) {
                arguments(name_start, depth);
            } else if ((c == '(' || c == '[') && depth < max_nesting) {
                bracketed(depth);
                name_start = out_.size();
            } else {
                other(c);
                if (c != ':') name_start = out_.size();
            }
        }
        if (out_.truncated()) rest_ = {};
    }

    void append_unnamed(const unnamed_component& unnamed) noexcept {
        out_.append(unnamed.spelling);
        if (unnamed.spelling[0] == '{') out_.append(unnamed.number).append('}');
        rest_.remove_prefix(unnamed.size);
    }

    // An identifier, an operator, or an inline namespace, which is left out.
    void word() noexcept {
        if (const std::size_t size = operator_size(rest_); size != 0) return pass(size);
        const std::string_view before = out_.view();
        if (before.size() >= 2 && before.substr(before.size() - 2) == "::") {
            for (const std::string_view hidden : inline_namespaces) {
                if (starts_with(rest_, hidden)) return rest_.remove_prefix(hidden.size());
            }
        }
        std::size_t size = 0;
        while (size < rest_.size() && is_name_character(rest_[size])) ++size;
        pass(size);
    }

    bool ends_in_operator() noexcept {
        if (!starts_with(rest_, " ") || rest_.size() < 2) return false;
        const std::string_view before = out_.view();
        constexpr std::string_view keyword = "operator";
        if (before.size() < keyword.size() ||
            before.substr(before.size() - keyword.size()) != keyword)
            return false;
        pass(1);
        return true;
    }

    // A space stays only where it parts two words, or stands after a comma or before a bracket.
    void other(char c) noexcept {
        if (c == ' ') {
            const char next = rest_.size() > 1 ? rest_[1] : '\0';
            if (next == '>' || next == '*' || next == '&' || next == '\0' || next == ',') {
                rest_.remove_prefix(1);
                return;
            }
        }
        if (c == ',' && rest_.size() > 1 && rest_[1] != ' ') {
            out_.append(", ");
            rest_.remove_prefix(1);
            return;
        }
        pass(1);
    }

    void bracketed(unsigned depth) noexcept {
        pass(1);
        while (!rest_.empty() && rest_[0] != ')' && rest_[0] != ']') {
            sequence(depth + 1);
            if (!rest_.empty() && (rest_[0] == ',' || rest_[0] == '>')) other(rest_[0]);
        }
        if (!rest_.empty()) pass(1);
    }

    void arguments(std::size_t name_start, unsigned depth) noexcept {
        argument_list list;
        const std::size_t open = out_.size();
        pass(1);
        bool begins = true;
        while (!rest_.empty() && rest_[0] != '>') {
            skip_spaces();
            // Only behind a comma: drop_defaults() takes that away with the argument.
            if (begins) {
                if (list.count == max_arguments) list.count = max_arguments - 1;
                list.starts[list.count++] = out_.size();
            }
            sequence(depth + 1);
            begins = !rest_.empty() && rest_[0] == ',';
            if (begins) {
                out_.append(", ");
                rest_.remove_prefix(1);
            } else if (!rest_.empty() && rest_[0] != '>') {
                pass(1);
            }
        }
        if (!rest_.empty()) rest_.remove_prefix(1);
        if (out_.truncated()) return;
        drop_defaults(name_start, open, list);
        if (longest_list_ != 0 && out_.size() - open - 1 > longest_list_) {
            out_.shrink(open + 1);
            out_.append("...");
        }
        out_.append('>');
        use_typedef(name_start, open);
    }

    void skip_spaces() noexcept {
        while (!rest_.empty() && rest_[0] == ' ') rest_.remove_prefix(1);
    }

    // "boost::asio::" or "asio::" when the name lies there.
    static std::string_view asio_prefix(std::string_view name) noexcept {
        for (const std::string_view prefix : {"boost::asio::", "asio::"}) {
            if (starts_with(name, prefix)) return name.substr(0, prefix.size());
        }
        return {};
    }

    [[nodiscard]] bool is_default(std::string_view name, std::string_view argument) const noexcept {
        if (starts_with(name, "std::")) {
            return std::any_of(
                std::begin(default_arguments), std::end(default_arguments),
                [argument](std::string_view one) { return starts_with(argument, one); });
        }
        const std::string_view asio = asio_prefix(name);
        if (asio.empty() || !starts_with(argument, asio)) return false;
        const std::string_view what = argument.substr(asio.size());
        return what == "any_io_executor" || starts_with(what, "wait_traits<");
    }

    void drop_defaults(std::size_t name_start, std::size_t open, argument_list& list) noexcept {
        const std::string_view all = out_.view();
        const std::string_view name = all.substr(name_start, open - name_start);
        while (list.count > 0) {
            const std::size_t start = list.starts[list.count - 1];
            if (list.count == 1 && starts_with(name, "std::")) break;
            if (!is_default(name, out_.view().substr(start))) break;
            out_.shrink(list.count > 1 ? start - 2 : start);
            --list.count;
        }
    }

    void use_typedef(std::size_t name_start, std::size_t open) noexcept {
        const std::string_view name = out_.view().substr(name_start, open - name_start);
        const std::string_view argument = out_.view().substr(open + 1, out_.size() - open - 2);
        if (starts_with(name, "std::"))
            return replace(standard_typedefs, 5, name, argument, name_start);
        const std::string_view asio = asio_prefix(name);
        if (asio.empty()) return;
        replace(asio_typedefs, asio.size(), name, argument, name_start);
        replace_protocol(asio, name, argument, name_start);
    }

    template <std::size_t Count>
    void replace(const typedef_name (&table)[Count], std::size_t prefix, std::string_view name,
                 std::string_view argument, std::size_t name_start) noexcept {
        for (const typedef_name& one : table) {
            if (name.substr(prefix) != one.template_name || argument != one.argument) continue;
            out_.shrink(name_start + prefix);
            out_.append(one.name);
            return;
        }
    }

    void replace_protocol(std::string_view asio, std::string_view name, std::string_view argument,
                          std::size_t name_start) noexcept {
        if (!starts_with(argument, asio)) return;
        const std::string_view protocol = argument.substr(asio.size());
        const auto* const known = std::find(std::begin(protocols), std::end(protocols), protocol);
        if (known == std::end(protocols)) return;
        for (const typedef_name& one : protocol_typedefs) {
            if (name.substr(asio.size()) != one.template_name) continue;
            out_.shrink(name_start + asio.size());
            out_.append(*known).append(one.name);
            return;
        }
    }

    std::string_view rest_;
    base::text& out_;
    std::size_t longest_list_;
};

}  // namespace

void append_clean_type(base::text& out, std::string_view text, std::size_t longest_list) noexcept {
    type_cleaner(text, out, longest_list).run();
}

std::string_view clean_type_name(std::string_view pretty, std::span<char> out) noexcept {
    base::text written(out);
    append_clean_type(written, pretty, 0);
    return written.view();
}

}  // namespace corodump::symbols
