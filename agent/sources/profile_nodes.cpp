#include "agent/sources/profile_nodes.hpp"

#include <algorithm>
#include <atomic>

namespace corodump::sources {
namespace {

constexpr std::size_t places = 2 * max_nodes;
constexpr std::size_t max_looks = 64;
constexpr std::uint32_t first_node = cut_node + 1;
/// From here on only functions without callers get nodes.
constexpr std::uint32_t chains_end = max_nodes - max_nodes / 8;

struct entry {
    std::atomic<std::uint64_t> definition;
    std::atomic<std::uint32_t> parent;
    std::atomic<std::uint32_t> depth;
};

constinit entry nodes[max_nodes];
constinit std::atomic<std::uint32_t> index[places];  ///< 0: free
constinit std::atomic<std::uint32_t> next_node{first_node};

std::size_t place_of(std::uint32_t parent, std::uint64_t definition) noexcept {
    const std::uint64_t key = definition ^ (std::uint64_t{parent} + 1) * 0xD6E8FEB86659FD93ULL;
    return key * 0x9E3779B97F4A7C15ULL >> 32U & (places - 1);
}

bool is(std::uint32_t node, std::uint32_t parent, std::uint64_t definition) noexcept {
    return nodes[node].definition.load(std::memory_order_relaxed) == definition &&
           nodes[node].parent.load(std::memory_order_relaxed) == parent;
}

std::uint32_t make(std::uint32_t parent, std::uint64_t definition) noexcept {
    if (next_node.load(std::memory_order_relaxed) >= max_nodes) return no_node;
    const std::uint32_t made = next_node.fetch_add(1, std::memory_order_relaxed);
    if (made >= max_nodes) return no_node;
    nodes[made].parent.store(parent, std::memory_order_relaxed);
    nodes[made].depth.store(nodes[parent].depth.load(std::memory_order_relaxed) + 1,
                            std::memory_order_relaxed);
    // Pairs with node_at's acquire: who sees the definition sees the rest.
    nodes[made].definition.store(definition, std::memory_order_release);
    return made;
}

/// A node that lost the race for its place is taken back: nobody has seen its number.
void unmake(std::uint32_t node) noexcept {
    nodes[node].definition.store(0, std::memory_order_release);
}

bool has_room_below(std::uint32_t parent) noexcept {
    return parent == no_node || parent == cut_node ||
           (next_node.load(std::memory_order_relaxed) < chains_end &&
            nodes[parent].depth.load(std::memory_order_relaxed) < max_node_depth);
}

}  // namespace

std::uint32_t node_below(std::uint32_t parent, std::uint64_t definition) noexcept {
    if (!has_room_below(parent)) parent = cut_node;
    std::uint32_t made = no_node;
    std::size_t at = place_of(parent, definition);
    for (std::size_t look = 0; look < max_looks; ++look, at = (at + 1) & (places - 1)) {
        // Acquire and release: who finds a number finds the node whole.
        std::uint32_t found = index[at].load(std::memory_order_acquire);
        if (found == 0) {
            if (made == no_node) made = make(parent, definition);
            if (made == no_node) return no_node;
            if (index[at].compare_exchange_strong(found, made, std::memory_order_acq_rel))
                return made;
        }
        if (!is(found, parent, definition)) continue;
        if (made != no_node) unmake(made);
        return found;
    }
    if (made != no_node) unmake(made);
    return no_node;
}

profile_node node_at(std::uint32_t node) noexcept {
    profile_node found;
    found.definition = nodes[node].definition.load(std::memory_order_acquire);
    found.parent = nodes[node].parent.load(std::memory_order_relaxed);
    found.depth = nodes[node].depth.load(std::memory_order_relaxed);
    return found;
}

std::uint32_t nodes_end() noexcept {
    return std::min<std::uint32_t>(next_node.load(std::memory_order_relaxed), max_nodes);
}

}  // namespace corodump::sources
