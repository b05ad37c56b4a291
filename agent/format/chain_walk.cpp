#include "agent/format/chain_walk.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/model/snapshot.hpp"

namespace corodump::format {

/// The second half of the chain's room becomes a ring of the frames seen last.
void chain_walk::keep_both_ends(const model::frame* at) noexcept {
    const std::size_t half = bound_ / 2;
    const std::size_t ring = bound_ - half;
    std::size_t next = 0;
    for (; at != nullptr && !at->root && steps_left_ > 0; --steps_left_) {
        chain_[half + next] = at;
        next = next + 1 == ring ? 0 : next + 1;
        ++last_cut_;
        at = frame_at(at->first_child);
    }
    cut_frames_ += last_cut_;
    const auto begin = chain_.begin() + static_cast<std::ptrdiff_t>(half);
    std::rotate(begin, begin + static_cast<std::ptrdiff_t>(next),
                begin + static_cast<std::ptrdiff_t>(ring));
}

const model::frame* chain_walk::root_of(std::uint32_t index) const noexcept {
    const model::frame* at = frame_at(index);
    for (std::size_t depth = 0; at != nullptr && depth < all_.frames.size(); ++depth) {
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
