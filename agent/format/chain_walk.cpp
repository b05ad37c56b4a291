#include "agent/format/chain_walk.hpp"

#include <cstdint>
#include <span>

#include "agent/model/snapshot.hpp"

namespace corodump::format {

void chain_walk::count_cut(const model::frame* at) noexcept {
    for (; at != nullptr && !at->root && steps_left_ > 0; --steps_left_) {
        ++cut_frames_;
        at = frame_at(at->first_child);
    }
}

const model::frame* chain_walk::root_of(std::uint32_t index) const noexcept {
    const model::frame* at = frame_at(index);
    for (unsigned depth = 0; at != nullptr && depth < model::max_chain_frames; ++depth) {
        if (at->root || at->parent == model::no_index) return at;
        at = frame_at(at->parent);
    }
    return nullptr;
}

std::uint64_t chain_walk::children_of(const model::frame& leaf,
                                      std::span<const model::frame*> some) noexcept {
    std::uint64_t count = 0;
    const model::frame* child = frame_at(leaf.first_child);
    for (; child != nullptr && steps_left_ > 0; --steps_left_) {
        if (child->root) {
            if (count < some.size()) some[count] = child;
            ++count;
        }
        child = frame_at(child->next_sibling);
    }
    return count;
}

}  // namespace corodump::format
