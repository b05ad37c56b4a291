// What a task was given by hand, through any frame of its chain: its name, labels, cancellation.
//
// People name a task from inside it, often below some library's frames, so the whole chain is
// asked: the outermost name is the task's; of labels with one name the innermost is the latest
// word. The model's answer for a frame ends with the answer for the next, so labels are remembered
// by a hash of their name and asked for again when they are written. The usual task has one frame
// that knows anything, and that is asked once. Context variables are labels too, where nobody gave
// one of that name by hand.
//
// Threads: one owner. Signals: unsafe. Blocks: as long as `details` does.
// Errors:  a record that changes between two answers yields labels twice or not at all.
// Bounds:  `max_labels` per task; further ones are counted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "agent/format/chain_walk.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::format {

class task_given {
public:
    static constexpr std::size_t max_labels = 64;

    explicit task_given(model::details& details) noexcept : details_(details) {}
    task_given(const task_given&) = delete;
    task_given& operator=(const task_given&) = delete;

    /// Asks the frames of `chain`, which must stay as it is while the answers are used.
    void gather(chain_walk::frames chain) noexcept;

    /// Valid until labels are visited. Empty: none.
    [[nodiscard]] std::string_view name() noexcept;
    [[nodiscard]] bool cancelled() const noexcept { return cancelled_; }
    [[nodiscard]] bool has_labels() const noexcept { return label_count_ > 0; }
    /// Labels left out since this object was made.
    [[nodiscard]] std::uint64_t omitted() const noexcept { return omitted_; }

    /// Calls `visit(label)` for each label, outer frames' first; a label is valid within its call.
    template <class Visit>
    void visit_labels(Visit visit) noexcept {
        for (std::size_t at = 0; at < label_count_; ++at) {
            const known_label& known = labels_[at];
            const std::span<const model::label> all =
                known.depth == of_bound ? bound_ : side_at(known.depth).labels;
            if (known.index < all.size()) visit(all[known.index]);
        }
    }

private:
    struct known_label {
        std::uint64_t name_hash;
        std::uint32_t depth;
        std::uint32_t index;
    };
    static constexpr std::size_t nowhere = ~std::size_t{0};
    static constexpr std::uint32_t of_bound = ~std::uint32_t{0};  ///< a depth: of no frame's side

    [[nodiscard]] const model::side& side_at(std::size_t depth) noexcept {
        if (depth != asked_depth_) {
            side_ = details_.given(*chain_[depth]);
            asked_depth_ = depth;
        }
        return side_;
    }
    void gather_frame(std::size_t depth) noexcept;
    void gather_bound() noexcept;
    void remember(const known_label& label) noexcept;

    model::details& details_;
    chain_walk::frames chain_;
    model::side side_;
    std::span<const model::label> bound_;
    std::size_t asked_depth_ = nowhere;  ///< whose answer `side_` is
    std::size_t name_depth_ = nowhere;
    bool cancelled_ = false;
    std::size_t label_count_ = 0;
    std::array<known_label, max_labels> labels_;
    std::uint64_t omitted_ = 0;
};

}  // namespace corodump::format
