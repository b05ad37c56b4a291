// Reads what coroutines and awaitables say of themselves: descriptions, resources and their
// holders, names, labels and watched values. All of it is the host's memory, read by bounded safe
// copy.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never.
// Bounds: 4,096 holders a resource, 64 nodes a frame, 8 labels.
#pragma once

#include <cstdint>
#include <span>

#include "agent/base/text.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::sources {

/// A description, as a describe hook or an adapter filled it.
struct description_facts {
    bool known = false;
    std::uint64_t kind = 0, name = 0, object = 0, resource = 0, owner = 0, operation = 0;
    std::uint32_t operation_bytes = 0;
    int descriptor = -1;
    std::int64_t deadline_ns = 0;
    bool tells_ready = false, ready = false;
    bool joins = false;  ///< `remaining` of `total` children (0: not told)
    std::uint32_t remaining = 0, total = 0;
};
/// What it says of readiness and children is read at once; the rest are addresses.
[[nodiscard]] description_facts read_description(std::uint64_t address) noexcept;

struct resource_facts {
    bool known = false;
    std::uint32_t capacity = 0, held = 0, untold = 0;
    std::uint64_t kind = 0, holders = 0;
    char name[48] = {};
};
[[nodiscard]] resource_facts read_resource(std::uint64_t address) noexcept;

/// Where a holder's token lies, and the task that made it.
struct holder_facts {
    std::uint64_t token = 0, record = 0;
    std::uint32_t generation = 0;
};
/// The next holders from `begin`, at most `to.size()`; free places are left out. Returns how many
/// places were read (0: the end, or unreadable).
std::uint32_t read_holders(const resource_facts& of, std::uint32_t begin,
                           std::span<holder_facts> to, std::uint32_t& found) noexcept;

/// The task an owner word names; record 0: none.
[[nodiscard]] holder_facts read_owner(std::uint64_t address) noexcept;

/// Side records are named by a number that fits model::frame::side.
[[nodiscard]] std::uint32_t side_number(std::uint64_t address) noexcept;
[[nodiscard]] std::uint64_t side_address(std::uint32_t number) noexcept;

/// What the word of a frame's tag says.
struct tag_facts {
    std::uint64_t definition = 0;
    std::uint32_t side = model::no_index;
};
[[nodiscard]] tag_facts read_tag(std::uint64_t word) noexcept;

struct side_facts {
    bool known = false;
    bool cancelled = false;
    bool task_failed = false, task_cancelled = false;  ///< as sides.hpp says
    std::uint64_t nodes = 0;
    std::string_view name;
    std::uint32_t label_count = 0;
    model::label labels[8];
};
/// The views point into `buffer`, which takes 1,200 bytes.
[[nodiscard]] side_facts read_side(std::uint32_t number, std::uint32_t generation,
                                   std::span<char> buffer) noexcept;

struct node_facts {
    std::uint64_t next = 0, name = 0, value = 0, type_name = 0;
    std::uint32_t type_name_bytes = 0, text_bytes = 0;
    bool waits = false;  ///< `value` is a resource
    std::uint8_t kind = 0, size_bytes = 0;
};
[[nodiscard]] bool read_node(std::uint64_t address, node_facts& to) noexcept;

inline constexpr unsigned max_nodes = 64;

}  // namespace corodump::sources
