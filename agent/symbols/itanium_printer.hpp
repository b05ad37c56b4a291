// Writes the tree of a mangled name as C++.
//
// Two manners: `full` as the usual demanglers print it, with return type, parameters and all
// template arguments (it exists so that the parser can be checked against abi::__cxa_demangle);
// else the qualified name alone, which is what a dump shows.
//
// Threads: one owner. Signals: safe. Blocks: never. Errors: failed(), the text is then useless.
// Bounds: max_visits nodes, nesting of max_depth; the text is cut at the end of its buffer.
#pragma once

#include <cstddef>
#include <cstdint>

#include "agent/base/text.hpp"
#include "agent/symbols/itanium_node.hpp"

namespace corodump::symbols {

struct print_options {
    bool full = false;
    /// A list of template arguments longer than this many bytes becomes <...>; 0: no limit.
    std::size_t max_arguments_size = 0;
};

class itanium_printer {
public:
    itanium_printer(const node_pool& nodes, base::text& out, print_options options) noexcept
        : nodes_(nodes), out_(out), options_(options) {}

    void print(node_index what) noexcept;
    /// Too deep, too large or in a circle.
    [[nodiscard]] bool failed() const noexcept { return failed_; }

private:
    static constexpr unsigned max_depth = 256;
    static constexpr std::uint32_t max_visits = 1U << 17;
    static constexpr std::uint16_t no_element = 0xffff;

    // What the template parameters of the function being printed stand for. The arguments
    // themselves belong to the scope around it.
    struct scope {
        node_index arguments = 0;
        const scope* outer = nullptr;
    };
    // A node and where it is to be printed.
    struct place {
        node_index at = 0;
        const scope* in = nullptr;
        std::uint16_t element = no_element;
    };
    class visit;  // sets the place for a while

    [[nodiscard]] bool enter() noexcept;
    void left(node_index at) noexcept;
    void left_of_name(node_index at) noexcept;
    void left_of_type(node_index at) noexcept;
    void left_of_expression(node_index at) noexcept;
    void right(node_index at) noexcept;
    void encoding_left(const node& one) noexcept;
    void nested(const node& one) noexcept;
    void template_id(const node& one) noexcept;
    void identifier(const node& one) noexcept;
    void lambda(const node& one) noexcept;
    void operator_name(const node& one) noexcept;
    void return_type(node_index at) noexcept;
    void function_right(const node& one) noexcept;
    void reference_left(node_index at) noexcept;
    void declarator_left(place to, std::string_view mark) noexcept;
    void declarator_right(place to) noexcept;
    void literal(const node& one) noexcept;
    void operand(node_index at) noexcept;
    void qualifiers(std::uint8_t flags) noexcept;
    void list(node_index first) noexcept;
    void arguments(node_index first) noexcept;
    void expansion(node_index pattern) noexcept;
    void pack(const node& one) noexcept;
    [[nodiscard]] node_index find_pack(node_index under, unsigned depth,
                                       unsigned& budget) const noexcept;
    [[nodiscard]] node_index element_of(const node& pack, std::uint16_t which) const noexcept;
    [[nodiscard]] std::uint16_t size_of(const node& pack) const noexcept;
    [[nodiscard]] node_index argument(const scope* in, std::uint16_t number) const noexcept;
    [[nodiscard]] node_index template_arguments_of(node_index name) const noexcept;
    [[nodiscard]] place resolve(place from) const noexcept;
    [[nodiscard]] place resolve(node_index at) const noexcept;
    [[nodiscard]] place collapse(node_index reference, bool& rvalue) const noexcept;
    void template_parameter(node_index at, bool on_the_left) noexcept;
    [[nodiscard]] bool is_lambda(node_index at) const noexcept;
    [[nodiscard]] bool is_call_of_lambda(node_index at) const noexcept;
    [[nodiscard]] node_kind declared_kind(place to) const noexcept;
    [[nodiscard]] bool needs_parentheses(place to) const noexcept;

    const node_pool& nodes_;
    base::text& out_;
    print_options options_;
    unsigned depth_ = 0;
    std::uint32_t visits_ = 0;
    std::uint16_t element_ = no_element;  // of the packs, inside an expansion
    const scope* scope_ = nullptr;
    unsigned in_lambda_ = 0;  // > 0: among a lambda's parameters, where T_ is auto
    bool in_local_ = false;   // in the function part of a local name
    bool failed_ = false;
};

/// Another place for the time of a scope.
class itanium_printer::visit {
public:
    visit(itanium_printer& printer, const place& to) noexcept
        : printer_(printer), scope_(printer.scope_), element_(printer.element_) {
        printer_.scope_ = to.in;
        printer_.element_ = to.element;
    }
    ~visit() {
        printer_.scope_ = scope_;
        printer_.element_ = element_;
    }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;

private:
    itanium_printer& printer_;
    const scope* scope_;
    std::uint16_t element_;
};

}  // namespace corodump::symbols
