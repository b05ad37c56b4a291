// Typed access to the members of one JSON object of a dump, and the place where problems are told.
//
//     object_fields in(report, tree, node, where);
//     in.read("pid", need::nullable, out.pid);
//     ...
//     in.finish();
//
// One description of the format thus serves both `show`, which ends at the first value it cannot
// use, and `validate`, which goes on and lists every departure. Where a problem is comes from
// `path`, a chain of names on the stack that is only put together when something is wrong.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: read_failure, thrown where the mode
// says. Bounds: at most `problem_log::max_problems` problems are kept, then the reading ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/format/dump.hpp"
#include "agent/format/reader_tree.hpp"

namespace corodump::format {

/// Something in a dump that the format does not allow.
struct problem {
    std::string pointer;  ///< JSON pointer, empty for the file as a whole
    std::optional<std::uint64_t> offset;
    std::string text;
};

/// A step from the file's object to a value.
struct path {
    const path* parent = nullptr;
    std::string_view key;
    std::optional<std::uint64_t> index = std::nullopt;

    [[nodiscard]] path operator[](std::string_view name) const { return {this, name}; }
    [[nodiscard]] path at(std::uint64_t position) const { return {this, {}, position}; }
    [[nodiscard]] std::string pointer() const;  ///< RFC 6901
};

/// Thrown when enough problems have been told.
struct too_many_problems {};

class problem_log {
public:
    static constexpr std::size_t max_problems = 50;

    enum class mode : std::uint8_t {
        strict,   ///< a value of the wrong type ends the reading
        collect,  ///< every departure is kept
        lenient,  ///< a newer format: what is not understood counts as unknown
    };

    explicit problem_log(mode how) : mode_(how) {}

    [[nodiscard]] mode how() const { return mode_; }
    void expect_newer() {
        if (mode_ == mode::strict) mode_ = mode::lenient;
    }
    /// A value that cannot be used.
    void unusable(const path& where, std::optional<std::uint64_t> offset, std::string text);
    /// A departure that a reader can live with.
    void departure(const path& where, std::optional<std::uint64_t> offset, std::string text);

    [[nodiscard]] const std::vector<problem>& problems() const { return problems_; }
    [[nodiscard]] std::uint64_t not_understood() const { return not_understood_; }

private:
    mode mode_;
    std::vector<problem> problems_;
    std::uint64_t not_understood_ = 0;
};

/// What the format says of a member's presence.
enum class need : std::uint8_t {
    essential,        ///< nothing can be done without it
    value,            ///< present, never null
    nullable,         ///< present, maybe null
    optional,         ///< maybe absent, never null
    optional_or_null  ///< maybe absent, maybe null
};

/// The members of one object, asked for in the order of docs/format.md.
class object_fields {
public:
    object_fields(problem_log& log, shape_pool& pool, const tree& json, std::uint32_t at,
                  const path& where);

    /// The node is an object at all.
    [[nodiscard]] explicit operator bool() const { return usable_; }
    /// Every member asked for as `essential` was there.
    [[nodiscard]] bool whole() const { return usable_ && whole_; }
    [[nodiscard]] const path& where() const { return where_; }
    [[nodiscard]] std::uint64_t offset() const { return json_[at_].offset; }

    void read(std::string_view name, need presence, text& out);
    void read(std::string_view name, need presence, bool& out);
    void read(std::string_view name, need presence, std::uint64_t& out);
    void read(std::string_view name, need presence, std::uint32_t& out);
    void read(std::string_view name, need presence, std::optional<std::int64_t>& out);
    void read(std::string_view name, need presence, std::optional<double>& out);
    void read(std::string_view name, need presence, task_id& out);
    void read_address(std::string_view name, need presence, std::uint64_t& out);
    /// An array of ids; `nulls` where an element may be null. Returns whether it was there.
    bool read_ids(std::string_view name, need presence, bool nulls, std::vector<task_id>& out);
    bool read_texts(std::string_view name, need presence, std::vector<text>& out);
    void read_time(std::string_view name, need presence, text& out);
    /// One of a closed list. Another value is kept, and told.
    void read_choice(std::string_view name, need presence, text& out,
                     std::span<const std::string_view> known);

    /// A member that must be an object or array, or nothing.
    [[nodiscard]] std::optional<std::uint32_t> find_object(std::string_view name, need presence);
    [[nodiscard]] std::optional<std::uint32_t> find_array(std::string_view name, need presence);
    [[nodiscard]] bool has(std::string_view name) const;

    /// Looks for members that appear twice, when every departure is wanted.
    void finish();

    /// Calls `each(node, index)` for the elements of an array, or the members of an object.
    template <class Each>
    static void for_each(const tree& json, std::uint32_t container, const Each& each) {
        std::uint64_t index = 0;
        for (std::uint32_t at = container + 1; at < json[container].next; at = json[at].next) {
            each(at, index++);
        }
    }

private:
    const tree_node* find(std::string_view name, need presence);
    const tree_node* find(std::string_view name, need presence, node_kind wanted,
                          std::string_view wanted_text);
    void wrong(std::string_view name, const tree_node& node, std::string_view wanted);
    text pooled(std::string_view name, const tree_node& node);
    void missing(std::string_view name, need presence);

    problem_log& log_;
    shape_pool& pool_;
    const tree& json_;
    std::uint32_t at_;
    std::uint32_t hint_;  ///< where the next member in the format's order is looked for first
    path where_;
    bool usable_;
    bool whole_ = true;
};

/// "a string", "null" ...
[[nodiscard]] std::string_view describe(node_kind kind);
/// Bytes of a string in a dump: 4,096 and the mark of the cut.
inline constexpr std::size_t max_format_string_bytes = 4096 + 3;

}  // namespace corodump::format
