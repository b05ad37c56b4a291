#include "agent/format/reader_fields.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/format/dump.hpp"
#include "agent/format/reader_source.hpp"
#include "agent/format/reader_tree.hpp"

namespace corodump::format {

namespace {

/// 2026-11-22T10:59:12Z, with or without a fraction of the second.
bool is_utc_time(std::string_view time) {
    constexpr std::string_view shape = "0000-00-00T00:00:00";
    if (time.size() < shape.size() + 1 || !time.ends_with('Z')) return false;
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (shape[i] == '0' ? !digit(time[i]) : time[i] != shape[i]) return false;
    }
    const std::string_view fraction = time.substr(shape.size(), time.size() - shape.size() - 1);
    return fraction.empty() || (fraction.size() > 1 && fraction.front() == '.' &&
                                std::all_of(fraction.begin() + 1, fraction.end(), digit));
}

void append_escaped(std::string& pointer, std::string_view key) {
    for (const char c : key) {
        if (c == '~') {
            pointer += "~0";
        } else if (c == '/') {
            pointer += "~1";
        } else {
            pointer += c;
        }
    }
}

std::optional<double> number_of(const tree_node& node) {
    switch (node.kind) {
        case node_kind::integer:
            return static_cast<double>(node.integer);
        case node_kind::unsigned_integer:
            return static_cast<double>(node.whole);
        case node_kind::number:
            return node.number;
        default:
            return std::nullopt;
    }
}

}  // namespace

std::string path::pointer() const {
    if (parent == nullptr) return {};
    std::string result = parent->pointer();
    result += '/';
    if (index) {
        result += std::to_string(*index);
    } else {
        append_escaped(result, key);
    }
    return result;
}

std::string_view describe(node_kind kind) {
    switch (kind) {
        case node_kind::null:
            return "null";
        case node_kind::boolean:
            return "a boolean";
        case node_kind::integer:
        case node_kind::unsigned_integer:
            return "an integer";
        case node_kind::number:
            return "a number";
        case node_kind::string:
            return "a string";
        case node_kind::array:
            return "an array";
        case node_kind::object:
            return "an object";
    }
    return "a value";
}

void problem_log::unusable(const path& where, std::optional<std::uint64_t> offset,
                           std::string text) {
    if (mode_ == mode::strict) {
        throw read_failure(std::move(text), offset.value_or(0), where.pointer());
    }
    ++not_understood_;
    departure(where, offset, std::move(text));
}

void problem_log::departure(const path& where, std::optional<std::uint64_t> offset,
                            std::string text) {
    if (mode_ != mode::collect) return;
    problems_.push_back({where.pointer(), offset, std::move(text)});
    if (problems_.size() >= max_problems) throw too_many_problems{};
}

object_fields::object_fields(problem_log& log, shape_pool& pool, const tree& json, std::uint32_t at,
                             const path& where)
    : log_(log),
      pool_(pool),
      json_(json),
      at_(at),
      hint_(at + 1),
      where_(where),
      usable_(json[at].kind == node_kind::object) {
    if (!usable_) {
        log_.unusable(where_, json_[at_].offset,
                      "is " + std::string(describe(json_[at_].kind)) + ", expected an object");
    }
}

bool object_fields::has(std::string_view name) const {
    if (!usable_) return false;
    for (std::uint32_t at = at_ + 1; at < json_[at_].next; at = json_[at].next) {
        if (json_.key_of(json_[at]) == name) return true;
    }
    return false;
}

void object_fields::missing(std::string_view name, need presence) {
    if (presence == need::essential) {
        whole_ = false;
        log_.unusable(where_, offset(), "has no member \"" + std::string(name) + "\"");
    } else if (presence == need::value || presence == need::nullable) {
        log_.departure(where_, offset(), "has no member \"" + std::string(name) + "\"");
    }
}

/// Looks behind the member found last, which finds it at once in a file that keeps the order.
const tree_node* object_fields::find(std::string_view name, need presence) {
    if (!usable_) return nullptr;
    const auto search = [&](std::uint32_t from, std::uint32_t end) -> const tree_node* {
        for (std::uint32_t at = from; at < end; at = json_[at].next) {
            if (json_.key_of(json_[at]) == name) return &json_[at];
        }
        return nullptr;
    };
    if (const tree_node* const found = search(hint_, json_[at_].next)) {
        hint_ = found->next;
        return found;
    }
    const tree_node* const found = search(at_ + 1, hint_);
    if (found != nullptr)
        log_.departure(where_[name], found->offset, "stands behind members that must follow it");
    else
        missing(name, presence);
    return found;
}

void object_fields::wrong(std::string_view name, const tree_node& node, std::string_view wanted) {
    log_.unusable(where_[name], node.offset,
                  "is " + std::string(describe(node.kind)) + ", expected " + std::string(wanted));
}

const tree_node* object_fields::find(std::string_view name, need presence, node_kind wanted,
                                     std::string_view wanted_text) {
    const tree_node* node = find(name, presence);
    if (node == nullptr || node->kind == wanted) return node;
    const bool may_be_null = presence == need::nullable || presence == need::optional_or_null;
    if (node->kind == node_kind::null && may_be_null) return nullptr;
    wrong(name, *node, wanted_text);
    if (presence == need::essential) whole_ = false;
    return nullptr;
}

text object_fields::pooled(std::string_view name, const tree_node& node) {
    const std::string_view value = json_.text_of(node);
    if (value.size() > max_format_string_bytes) {
        log_.departure(where_[name], node.offset, "is longer than 4096 bytes");
    }
    return pool_.intern(value);
}

void object_fields::read(std::string_view name, need presence, text& out) {
    const tree_node* node = find(name, presence, node_kind::string, "a string");
    if (node != nullptr) out = pooled(name, *node);
}

void object_fields::read(std::string_view name, need presence, bool& out) {
    const tree_node* node = find(name, presence, node_kind::boolean, "a boolean");
    if (node != nullptr) out = node->boolean;
}

void object_fields::read(std::string_view name, need presence, std::uint64_t& out) {
    const tree_node* node =
        find(name, presence, node_kind::unsigned_integer, "an integer from 0 up");
    if (node != nullptr) out = node->whole;
}

void object_fields::read(std::string_view name, need presence, std::uint32_t& out) {
    std::uint64_t wide = out;
    read(name, presence, wide);
    if (wide <= std::numeric_limits<std::uint32_t>::max()) {
        out = static_cast<std::uint32_t>(wide);
    } else {
        log_.unusable(where_[name], offset(), "is larger than 32 bits hold");
    }
}

void object_fields::read(std::string_view name, need presence, std::optional<std::int64_t>& out) {
    const tree_node* node = find(name, presence);
    if (node == nullptr) return;
    constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    const bool may_be_null = presence == need::nullable || presence == need::optional_or_null;
    if (node->kind == node_kind::integer) {
        out = node->integer;
    } else if (node->kind == node_kind::unsigned_integer && node->whole <= largest) {
        out = static_cast<std::int64_t>(node->whole);
    } else if (node->kind != node_kind::null || !may_be_null) {
        wrong(name, *node, "an integer of 64 bits");
    }
}

void object_fields::read(std::string_view name, need presence, std::optional<double>& out) {
    const tree_node* node = find(name, presence);
    if (node == nullptr) return;
    const bool may_be_null = presence == need::nullable || presence == need::optional_or_null;
    out = number_of(*node);
    if (!out && !(node->kind == node_kind::null && may_be_null)) wrong(name, *node, "a number");
}

void object_fields::read(std::string_view name, need presence, task_id& out) {
    const tree_node* node = find(name, presence, node_kind::string, "a task id");
    if (node == nullptr) return;
    if (const auto id = parse_task_id(json_.text_of(*node))) {
        out = *id;
        return;
    }
    if (presence == need::essential) whole_ = false;
    log_.unusable(where_[name], node->offset, "is no task id like \"7f12a4003040.5\"");
}

void object_fields::read_address(std::string_view name, need presence, std::uint64_t& out) {
    const tree_node* node = find(name, presence, node_kind::string, "an address");
    if (node == nullptr) return;
    if (const auto address = parse_address(json_.text_of(*node))) {
        out = *address;
        return;
    }
    if (presence == need::essential) whole_ = false;
    log_.unusable(where_[name], node->offset, "is no hexadecimal address");
}

void object_fields::read_time(std::string_view name, need presence, text& out) {
    const tree_node* node = find(name, presence, node_kind::string, "a time");
    if (node == nullptr) return;
    out = pooled(name, *node);
    if (!is_utc_time(out.view())) {
        log_.departure(where_[name], node->offset, "is no RFC 3339 time in UTC");
    }
}

void object_fields::read_choice(std::string_view name, need presence, text& out,
                                std::span<const std::string_view> known) {
    const tree_node* node = find(name, presence, node_kind::string, "a string");
    if (node == nullptr) return;
    out = pooled(name, *node);
    if (std::find(known.begin(), known.end(), out.view()) == known.end()) {
        log_.departure(where_[name], node->offset, "is none of the values of format 1");
    }
}

bool object_fields::read_ids(std::string_view name, need presence, bool nulls,
                             std::vector<task_id>& out) {
    const auto array = find_array(name, presence);
    if (!array) return false;
    const path here = where_[name];
    for_each(json_, *array, [&](std::uint32_t at, std::uint64_t index) {
        const tree_node& node = json_[at];
        const auto id =
            node.kind == node_kind::string ? parse_task_id(json_.text_of(node)) : std::nullopt;
        if (id || (nulls && node.kind == node_kind::null)) {
            out.push_back(id.value_or(task_id{}));
        } else {
            log_.unusable(here.at(index), node.offset, "is no task id like \"7f12a4003040.5\"");
        }
    });
    return true;
}

bool object_fields::read_texts(std::string_view name, need presence, std::vector<text>& out) {
    const auto array = find_array(name, presence);
    if (!array) return false;
    const path here = where_[name];
    for_each(json_, *array, [&](std::uint32_t at, std::uint64_t index) {
        const tree_node& node = json_[at];
        if (node.kind == node_kind::string) {
            out.push_back(pool_.intern(json_.text_of(node)));
        } else {
            log_.unusable(here.at(index), node.offset,
                          "is " + std::string(describe(node.kind)) + ", expected a string");
        }
    });
    return true;
}

std::optional<std::uint32_t> object_fields::find_object(std::string_view name, need presence) {
    const tree_node* node = find(name, presence, node_kind::object, "an object");
    if (node == nullptr) return std::nullopt;
    return static_cast<std::uint32_t>(node - &json_[0]);
}

std::optional<std::uint32_t> object_fields::find_array(std::string_view name, need presence) {
    const tree_node* node = find(name, presence, node_kind::array, "an array");
    if (node == nullptr) return std::nullopt;
    return static_cast<std::uint32_t>(node - &json_[0]);
}

void object_fields::finish() {
    if (!usable_ || log_.how() != problem_log::mode::collect) return;
    std::vector<std::string_view> keys;
    for_each(json_, at_,
             [&](std::uint32_t at, std::uint64_t) { keys.push_back(json_.key_of(json_[at])); });
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) log_.departure(where_[*twice], offset(), "appears twice");
}

}  // namespace corodump::format
