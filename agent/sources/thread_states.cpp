#include "agent/sources/thread_states.hpp"

#include <algorithm>
#include <atomic>

#include "agent/sources/pool.hpp"

namespace corodump::sources {
namespace {

/// Written by the thread when it takes the state over, and by the pool when it ends.
std::int32_t tid_of(const detail::thread_state& state) noexcept {
    auto& word = const_cast<std::uint32_t&>(state.tid);
    return static_cast<std::int32_t>(
        std::atomic_ref<std::uint32_t>(word).load(std::memory_order_relaxed));
}

std::uint32_t frame_of(const detail::record* record, const frame_index& index) noexcept {
    if (record == nullptr) return model::no_index;
    const std::uint32_t generation = record->generation.load(std::memory_order_acquire);
    return index.of_record(reinterpret_cast<std::uint64_t>(record), generation);
}

}  // namespace

thread_states::thread_states(base::arena& memory) noexcept {
    std::size_t count = 0;
    for (const thread_node* node = first_thread(); node != nullptr && count < max_states;
         node = node->next)
        ++count;
    entries_ = memory.allocate_uninitialized<entry>(count);
    std::size_t used = 0;
    for (const thread_node* node = first_thread(); node != nullptr && used < entries_.size();
         node = node->next)
        if (const std::int32_t tid = tid_of(node->state); tid != 0)
            entries_[used++] = {tid, &node->state};
    entries_ = entries_.first(used);
    std::ranges::sort(entries_, {}, &entry::tid);
}

const detail::thread_state* thread_states::of(std::int32_t tid) const noexcept {
    const auto found = std::ranges::lower_bound(entries_, tid, {}, &entry::tid);
    return found == entries_.end() || found->tid != tid ? nullptr : found->state;
}

std::size_t thread_states::inside(const detail::thread_state& thread, std::uintptr_t running,
                                  const frame_index& index,
                                  std::span<std::uint32_t> frames) noexcept {
    std::size_t used = 0;
    const auto add = [&](const detail::record* record) {
        const std::uint32_t frame = frame_of(record, index);
        if (frame != model::no_index && used < frames.size()) frames[used++] = frame;
    };
    add(record_of_running(running));
    const std::uint32_t depth =
        std::min(thread.depth.load(std::memory_order_acquire), detail::thread_state::max_depth);
    for (std::uint32_t i = depth; i > 0 && running != 0; --i)
        add(thread.outer[i - 1].load(std::memory_order_relaxed));
    return used;
}

}  // namespace corodump::sources
