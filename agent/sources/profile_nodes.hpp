// The tree of await chains that the profiler has met: a node is a coroutine's function below the
// node of what awaited it, when it first ran.
//
//   node { definition, parent } <── hash of both ── whoever runs such a coroutine first makes it
//
// Nodes are never removed, so that a number stays good for ever; the table is static memory whose
// pages cost nothing until used. Where it is nearly full, or a chain too deep, a function gets a
// node below `cut_node` instead; where it is full, `no_node`, which is counted as dropped.
//
// Threads: any. Signals: safe. Blocks: never. Errors: no_node. Bounds: max_nodes, max_node_depth;
// 64 looks for a node.
#pragma once

#include <cstddef>
#include <cstdint>

namespace corodump::sources {

inline constexpr std::size_t max_nodes = 16384;
inline constexpr std::uint32_t max_node_depth = 64;
inline constexpr std::uint32_t no_node = 0;   ///< also: above the outermost
inline constexpr std::uint32_t cut_node = 1;  ///< above those whose callers are left out

struct profile_node {
    std::uint64_t definition = 0;  ///< key, as in model::frame; 0: there is no such node
    std::uint32_t parent = no_node;
    std::uint32_t depth = 0;
};

/// `definition` is not 0.
[[nodiscard]] std::uint32_t node_below(std::uint32_t parent, std::uint64_t definition) noexcept;
[[nodiscard]] profile_node node_at(std::uint32_t node) noexcept;
/// Numbers from here on are not in use.
[[nodiscard]] std::uint32_t nodes_end() noexcept;

}  // namespace corodump::sources
