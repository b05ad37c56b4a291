#include "agent/format/task_given.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "agent/format/chain_walk.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::format {
namespace {

/// FNV-1a, with the length so that names of zero bytes differ.
std::uint64_t hash_of(std::string_view text) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325U ^ text.size();
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return hash;
}

}  // namespace

void task_given::gather(chain_walk::frames chain) noexcept {
    chain_ = chain;
    asked_depth_ = nowhere;
    name_depth_ = nowhere;
    cancelled_ = false;
    label_count_ = 0;
    for (std::size_t depth = 0; depth < chain.size(); ++depth) {
        if (chain[depth]->side != model::no_index) [[unlikely]]
            gather_frame(depth);
    }
    gather_bound();
}

void task_given::gather_bound() noexcept {
    bound_ = details_.bound(chain_);
    const std::size_t by_hand = label_count_;
    for (std::size_t index = 0; index < bound_.size(); ++index) {
        const known_label label{.name_hash = hash_of(bound_[index].name),
                                .depth = of_bound,
                                .index = static_cast<std::uint32_t>(index)};
        const auto given = std::span(labels_).first(by_hand);
        if (std::ranges::find(given, label.name_hash, &known_label::name_hash) == given.end())
            remember(label);
    }
}

void task_given::gather_frame(std::size_t depth) noexcept {
    const model::side& side = side_at(depth);
    if (name_depth_ == nowhere && !side.name.empty()) name_depth_ = depth;
    cancelled_ = cancelled_ || side.cancelled;
    for (std::size_t index = 0; index < side.labels.size(); ++index)
        remember({.name_hash = hash_of(side.labels[index].name),
                  .depth = static_cast<std::uint32_t>(depth),
                  .index = static_cast<std::uint32_t>(index)});
}

void task_given::remember(const known_label& label) noexcept {
    const auto end = labels_.begin() + static_cast<std::ptrdiff_t>(label_count_);
    const auto same = std::find_if(labels_.begin(), end, [&](const known_label& other) {
        return other.name_hash == label.name_hash;
    });
    if (same != end) {
        *same = label;
    } else if (label_count_ < max_labels) {
        labels_[label_count_++] = label;
    } else {
        ++omitted_;
    }
}

std::string_view task_given::name() noexcept {
    return name_depth_ == nowhere ? std::string_view() : side_at(name_depth_).name;
}

}  // namespace corodump::format
