// Ways through a snapshot's frames: down a chain to its leaf, up to the root, over the children.
//
// Called by the writer for every task. The links were read from a living process, so each walk has
// a bound of its own, and those that a broken snapshot could repeat for every task share a budget.
//
// Threads: one owner. Signals: safe. Blocks: never.
// Errors:  an index out of range is no frame.
// Bounds:  `max_chain_frames` down and up; all counting together at most twice the frames.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/model/snapshot.hpp"

namespace corodump::format {

class chain_walk {
public:
    using frames = std::span<const model::frame* const>;

    explicit chain_walk(const model::snapshot& all) noexcept
        : all_(all),
          bound_(std::clamp(all.limits.depth, 4U, model::max_chain_frames)),
          steps_left_(2 * std::uint64_t{all.frames.size()}) {}

    /// Null for `no_index`.
    [[nodiscard]] const model::frame* frame_at(std::uint32_t index) const noexcept {
        return index < all_.frames.size() ? &all_.frames[index] : nullptr;
    }

    /// The chain from `root` to its leaf, outermost first; empty where `root` is no frame. One that
    /// is deeper than the bound lacks its middle: both what a task is and what it waits for matter.
    /// Valid until the next call.
    [[nodiscard]] frames follow(std::uint32_t root) noexcept {
        std::size_t depth = 0;
        last_cut_ = 0;
        const model::frame* at = frame_at(root);
        while (at != nullptr) {
            chain_[depth++] = at;
            at = frame_at(at->first_child);
            if (at == nullptr || at->root) break;
            if (depth == bound_) {
                keep_both_ends(at);
                break;
            }
        }
        return frames(chain_.data(), depth);
    }

    /// Of a chain that is not empty, the frame that waits: the last, or the one above an idle
    /// helper.
    [[nodiscard]] static const model::frame& waiting_in(frames chain) noexcept {
        const model::frame& last = *chain.back();
        if (chain.size() < 2 || !model::is_idle_helper(last, *chain[chain.size() - 2])) return last;
        return *chain[chain.size() - 2];
    }

    /// The head of the chain `index` is in; null where it is no frame, or deeper than the bound.
    [[nodiscard]] const model::frame* root_of(std::uint32_t index) const noexcept;

    /// How many tasks the leaf joins; the first of them go to `some`.
    [[nodiscard]] std::uint64_t children_of(const model::frame& leaf,
                                            std::span<const model::frame*> some) noexcept;

    /// Asks for the frames of the tasks behind `position` in `roots`, stage by stage of the chain:
    /// sorted by age they are scattered, and each is a cache miss that depends on the one before.
    /// Inlined by force: GCC 12 takes a function that only prefetches for pure, and drops the call.
    [[gnu::always_inline]] void prefetch(std::size_t position) const noexcept {
        prefetch_descendant(position + 12, 0);
        prefetch_descendant(position + 8, 1);
        prefetch_descendant(position + 4, 2);
    }

    /// Frames that were left out because their chain is too deep.
    [[nodiscard]] std::uint64_t cut_frames() const noexcept { return cut_frames_; }
    /// Of the chain followed last, after its first `bound / 2` frames.
    [[nodiscard]] std::uint64_t last_cut() const noexcept { return last_cut_; }

private:
    void keep_both_ends(const model::frame* at) noexcept;
    [[gnu::always_inline]] void prefetch_descendant(std::size_t position,
                                                    unsigned generations) const noexcept {
        if (position >= all_.roots.size()) return;
        std::uint32_t index = all_.roots[position];
        for (; generations > 0 && index < all_.frames.size(); --generations)
            index = all_.frames[index].first_child;
        if (index >= all_.frames.size()) return;
        const auto* const frame = reinterpret_cast<const char*>(&all_.frames[index]);
        __builtin_prefetch(frame);
        __builtin_prefetch(frame + sizeof(model::frame) - 1);  // most frames straddle two lines
    }

    const model::snapshot& all_;
    const std::size_t bound_;
    std::uint64_t last_cut_ = 0;
    std::uint64_t steps_left_;
    std::uint64_t cut_frames_ = 0;
    std::array<const model::frame*, model::max_chain_frames> chain_;
};

}  // namespace corodump::format
