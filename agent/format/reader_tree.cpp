#include "agent/format/reader_tree.hpp"

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/format/reader_source.hpp"

namespace corodump::format {

namespace {

/// The parser's own message names lines and template types; what it means is shorter.
std::string describe(const std::string& parser_message, bool at_end) {
    if (at_end) return "the file ends in the middle (truncated?)";
    for (const char* known : {"ill-formed UTF-8 byte", "number overflow", "control character"}) {
        if (parser_message.find(known) != std::string::npos) {
            return std::string("not valid JSON: ") + known;
        }
    }
    return "not valid JSON";
}

}  // namespace

/// The events of the parser, in the names it asks for.
class collector final : public nlohmann::json_sax<nlohmann::json> {
public:
    collector(counting_input& input, element_consumer& consumer)
        : input_(input), consumer_(consumer) {}

    bool null() override { return scalar(node_kind::null); }
    bool boolean(bool value) override {
        return scalar(node_kind::boolean, [value](tree_node& node) { node.boolean = value; });
    }
    bool number_integer(number_integer_t value) override {
        return scalar(node_kind::integer, [this, value](tree_node& node) {
            node.integer = value;
            add_text(node, std::to_string(value));
        });
    }
    bool number_unsigned(number_unsigned_t value) override {
        return scalar(node_kind::unsigned_integer, [this, value](tree_node& node) {
            node.whole = value;
            add_text(node, std::to_string(value));
        });
    }
    bool number_float(number_float_t value, const string_t& written) override {
        return scalar(node_kind::number, [&](tree_node& node) {
            node.number = value;
            add_text(node, written);
        });
    }
    bool string(string_t& value) override {
        bound_string(value);
        return scalar(node_kind::string, [&](tree_node& node) { add_text(node, value); });
    }
    bool binary(binary_t&) override { return false; }  // JSON has none; the interface wants it
    bool start_object(std::size_t) override { return open(node_kind::object); }
    bool start_array(std::size_t) override { return open(node_kind::array); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(string_t& value) override;
    bool parse_error(std::size_t, const std::string&,
                     const nlohmann::json::exception& error) override {
        const bool truncated = input_.saw_end();
        const std::uint64_t at = input_.offset();
        throw read_failure(describe(error.what(), truncated), truncated || at == 0 ? at : at - 1);
    }

private:
    struct ignore_node {
        void operator()(tree_node&) const {}
    };
    template <class Fill = ignore_node>
    bool scalar(node_kind kind, const Fill& fill = {});
    bool open(node_kind kind);
    bool close();

    [[nodiscard]] bool collecting() const {
        return wish_ == element_consumer::wish::whole ||
               (wish_ == element_consumer::wish::elements && (depth_ > 2 || !in_elements_));
    }
    tree_node& add(node_kind kind);
    void add_text(tree_node& node, std::string_view value);
    void bound_string(const std::string& value) const;
    void deliver();
    void require_root_object(node_kind kind) const;

    counting_input& input_;
    element_consumer& consumer_;
    tree tree_;
    std::vector<std::uint32_t> open_;  ///< nodes of tree_ that are not closed yet
    std::string member_;
    std::string key_;
    element_consumer::wish wish_ = element_consumer::wish::skip;
    bool has_key_ = false;
    bool in_elements_ = false;
    std::uint64_t index_ = 0;
    unsigned depth_ = 0;
};

void collector::require_root_object(node_kind kind) const {
    if (depth_ == 0 && kind != node_kind::object) {
        throw read_failure("not a corodump dump: the file is no JSON object", input_.token_start());
    }
}

void collector::bound_string(const std::string& value) const {
    if (value.size() > tree::max_string_bytes) {
        throw read_failure("a string is longer than 64 KiB", input_.token_start());
    }
}

bool collector::key(string_t& value) {
    bound_string(value);
    if (depth_ == 1) {
        member_ = value;
        has_key_ = false;
        wish_ = consumer_.begin_member(member_, input_.token_start());
    } else {
        key_ = value;
        has_key_ = true;
    }
    input_.token_done();
    return true;
}

tree_node& collector::add(node_kind kind) {
    if (tree_.nodes_.size() >= tree::max_nodes || tree_.text_.size() >= tree::max_text_bytes) {
        throw read_failure("a single element is too large", input_.token_start());
    }
    tree_node& node = tree_.nodes_.emplace_back();
    node.kind = kind;
    node.offset = input_.token_start();
    node.next = static_cast<std::uint32_t>(tree_.nodes_.size());
    if (has_key_) {
        node.key_begin = static_cast<std::uint32_t>(tree_.text_.size());
        node.key_size = static_cast<std::uint32_t>(key_.size());
        tree_.text_ += key_;
        has_key_ = false;
    }
    return node;
}

void collector::add_text(tree_node& node, std::string_view value) {
    node.text_begin = static_cast<std::uint32_t>(tree_.text_.size());
    node.text_size = static_cast<std::uint32_t>(value.size());
    tree_.text_ += value;
}

template <class Fill>
bool collector::scalar(node_kind kind, const Fill& fill) {
    require_root_object(kind);
    // At depth 2 of a member that is read in elements, the element itself is this scalar.
    const bool element = in_elements_ && depth_ == 2;
    if (collecting() || element) {
        fill(add(kind));
        if (open_.empty()) deliver();
    }
    input_.token_done();
    return true;
}

bool collector::open(node_kind kind) {
    require_root_object(kind);
    if (++depth_ > tree::max_depth) {
        throw read_failure("nested deeper than 64 levels", input_.token_start());
    }
    if (depth_ == 2 && wish_ == element_consumer::wish::elements && kind == node_kind::array) {
        in_elements_ = true;
        index_ = 0;
        consumer_.begin_elements(member_);
    } else if (depth_ > 1 && collecting()) {
        open_.push_back(static_cast<std::uint32_t>(tree_.nodes_.size()));
        add(kind);
    }
    has_key_ = false;
    input_.token_done();
    return true;
}

bool collector::close() {
    --depth_;
    if (!open_.empty()) {
        tree_.nodes_[open_.back()].next = static_cast<std::uint32_t>(tree_.nodes_.size());
        open_.pop_back();
        if (open_.empty()) deliver();
    } else if (depth_ == 1) {
        in_elements_ = false;
    }
    input_.token_done();
    return true;
}

void collector::deliver() {
    if (in_elements_) {
        consumer_.element(member_, index_++, tree_);
    } else {
        consumer_.member(member_, tree_);
    }
    tree_.nodes_.clear();
    tree_.text_.clear();
}

std::uint64_t read_elements(byte_source& source, std::uint64_t max_bytes,
                            element_consumer& consumer) {
    counting_input input(source, max_bytes);
    if (input.at_end()) throw read_failure("the file is empty", 0);
    collector events(input, consumer);
    nlohmann::json::sax_parse(input_cursor(input), input_cursor(), &events);
    return input.offset();
}

}  // namespace corodump::format
