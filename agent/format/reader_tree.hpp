// One element of a dump (one task, one group, one whole small member) as a flat tree of JSON
// values.
//
// The reader takes a dump apart element by element, so that only one element is ever held as JSON:
//
//   file ──parser events──> collector ──tree of one element──> element_consumer ──> format::dump
//
// A tree keeps its nodes in the order of the file and its text in one buffer, and is used again for
// the next element: reading a task allocates nothing here.
//
// Threads: one owner. Signals: unsafe. Blocks: as the source does. Errors: read_failure, thrown.
// Bounds: depth 64, 2^20 nodes and 64 MiB of text per element, strings of 64 KiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace corodump::format {

class byte_source;

enum class node_kind : std::uint8_t {
    null,
    boolean,
    integer,           ///< fits int64
    unsigned_integer,  ///< fits uint64; those that fit int64 too are `unsigned_integer` as well
    number,
    string,
    array,
    object
};

struct tree_node {
    node_kind kind = node_kind::null;
    bool boolean = false;
    std::uint32_t key_begin = 0, key_size = 0;
    std::uint32_t text_begin = 0, text_size = 0;  ///< a string, or a number as it is written
    std::uint32_t next = 0;                       ///< behind this node and all inside it
    std::uint64_t offset = 0;                     ///< of its first byte in the file
    union {
        std::int64_t integer = 0;
        std::uint64_t whole;
        double number;
    };
};

class tree {
public:
    static constexpr unsigned max_depth = 64;
    static constexpr std::size_t max_nodes = 1U << 20U;
    static constexpr std::size_t max_text_bytes = 64U << 20U;
    static constexpr std::size_t max_string_bytes = 64U << 10U;

    [[nodiscard]] const tree_node& operator[](std::uint32_t at) const { return nodes_[at]; }
    [[nodiscard]] std::string_view key_of(const tree_node& node) const {
        return std::string_view(text_).substr(node.key_begin, node.key_size);
    }
    [[nodiscard]] std::string_view text_of(const tree_node& node) const {
        return std::string_view(text_).substr(node.text_begin, node.text_size);
    }

private:
    friend class collector;

    std::vector<tree_node> nodes_;
    std::string text_;
};

/// Told of each element of the dump as it is complete. Node 0 is the element itself.
class element_consumer {
public:
    element_consumer() = default;
    element_consumer(const element_consumer&) = delete;
    element_consumer& operator=(const element_consumer&) = delete;

    enum class wish : std::uint8_t {
        skip,      ///< not known: its values are passed over
        whole,     ///< one tree for the member
        elements,  ///< where it is an array, one tree for each element
    };
    /// A member of the file's object begins at `offset`.
    virtual wish begin_member(std::string_view key, std::uint64_t offset) = 0;
    /// The array of a member that was wished as elements has begun.
    virtual void begin_elements(std::string_view key) = 0;
    virtual void member(std::string_view key, const tree& value) = 0;
    virtual void element(std::string_view key, std::uint64_t index, const tree& value) = 0;

protected:
    ~element_consumer() = default;
};

/// Reads the whole source. Returns the number of bytes it had.
std::uint64_t read_elements(byte_source& source, std::uint64_t max_bytes,
                            element_consumer& consumer);

}  // namespace corodump::format
