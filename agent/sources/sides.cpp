#include "agent/sources/sides.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "agent/sources/pool.hpp"
#include "agent/sources/record_frame.hpp"

namespace corodump::sources {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr std::size_t max_nodes = 1024;

detail::side_record* make_side(detail::record* own, const void* definition) noexcept {
    void* const memory = take_side();
    if (memory == nullptr) return nullptr;
    auto* const side = static_cast<detail::side_record*>(memory);
    side->label_count.store(0, relaxed);
    side->nodes.store(nullptr, relaxed);
    side->cancelled.store(0, relaxed);
    side->definition.store(definition, relaxed);
    side->name[0] = '\0';
    side->owner.store(own, relaxed);
    side->generation.store(own->generation.load(relaxed), std::memory_order_release);
    return side;
}

/// Marks text as changing while in scope: odd, then even again.
class revising {
public:
    explicit revising(detail::side_record& side) noexcept : side_(side) {
        side_.revision.fetch_add(1, std::memory_order_acq_rel);
    }
    ~revising() { side_.revision.fetch_add(1, std::memory_order_release); }
    revising(const revising&) = delete;
    revising& operator=(const revising&) = delete;

private:
    detail::side_record& side_;
};

template <std::size_t N>
void set_text(char (&to)[N], const char* text, std::size_t bytes) noexcept {
    bytes = std::min(bytes, N - 1);
    if (bytes != 0) std::memcpy(to, text, bytes);
    to[bytes] = '\0';
}

detail::side_record* current_side() noexcept {
    detail::record* const own = corodump_current_v1();
    return own != nullptr ? side_of(own) : nullptr;
}

std::uint32_t label_place(detail::side_record& side, const char* name, std::size_t bytes) noexcept {
    const std::uint32_t count = side.label_count.load(relaxed);
    bytes = std::min(bytes, sizeof side.labels[0].name - 1);
    for (std::uint32_t i = 0; i < count; ++i)
        if (std::strlen(side.labels[i].name) == bytes &&
            std::memcmp(side.labels[i].name, name, bytes) == 0)
            return i;
    return count;
}

void end_side(detail::side_record* side) noexcept {
    side->generation.store(0, std::memory_order_release);
    side->owner.store(nullptr, relaxed);
    give_back(side);
}

}  // namespace

detail::frame_tag* tag_of(detail::record* own) noexcept {
    const detail::promise_info* const promise = own->promise.load(relaxed);
    if (promise == nullptr || is_sink(own)) return nullptr;
    return reinterpret_cast<detail::frame_tag*>(frame_of(own) + promise->tag_offset.load(relaxed));
}

const detail::side_record* side_there(const detail::record* own) noexcept {
    auto* const writable = const_cast<detail::record*>(own);
    if (const detail::slot* const outside = slot_of(writable))
        return outside->side.load(std::memory_order_acquire);
    const detail::frame_tag* const tag = tag_of(writable);
    const std::uintptr_t word = tag == nullptr ? 0 : tag->word.load(std::memory_order_acquire);
    return (word & detail::tag_mask) == detail::tag_side
               ? reinterpret_cast<const detail::side_record*>(word & ~detail::tag_mask)
               : nullptr;
}

detail::side_record* side_of(detail::record* own) noexcept {
    if (detail::slot* const outside = slot_of(own)) {
        detail::side_record* side = outside->side.load(relaxed);
        if (side == nullptr) {
            side = make_side(own, outside->definition.load(relaxed));
            outside->side.store(side, std::memory_order_release);
        }
        return side;
    }
    detail::frame_tag* const tag = tag_of(own);
    if (tag == nullptr) return nullptr;
    const std::uintptr_t word = tag->word.load(relaxed);
    if ((word & detail::tag_mask) == detail::tag_side)
        return reinterpret_cast<detail::side_record*>(word & ~detail::tag_mask);
    detail::side_record* const side = make_side(own, reinterpret_cast<const void*>(word));
    if (side != nullptr)
        tag->word.store(reinterpret_cast<std::uintptr_t>(side) | detail::tag_side,
                        std::memory_order_release);
    return side;
}

}  // namespace corodump::sources

using corodump::detail::record;
using corodump::detail::side_record;
using corodump::sources::current_side;

extern "C" {

record* corodump_current_v1() noexcept {
    const corodump::detail::thread_state* const thread = corodump_thread_v1;
    return corodump::sources::record_of_running(thread->running.load(std::memory_order_relaxed));
}

side_record* corodump_side_v1(record* own) noexcept {
    return corodump::sources::side_of(own);
}

void corodump_untag_v1(std::uintptr_t word) noexcept {
    void* const what = reinterpret_cast<void*>(word & ~corodump::detail::tag_mask);
    if ((word & corodump::detail::tag_slot) == 0)
        return corodump::sources::end_side(static_cast<side_record*>(what));
    auto* const outside = static_cast<corodump::detail::slot*>(what);
    if (side_record* const side = outside->side.load(std::memory_order_relaxed))
        corodump::sources::end_side(side);
    outside->side.store(nullptr, std::memory_order_relaxed);
    corodump::sources::give_back(outside);
}

void corodump_set_name_v1(const char* text, std::size_t bytes) noexcept {
    side_record* const side = current_side();
    if (side == nullptr) return;
    const corodump::sources::revising changing(*side);
    corodump::sources::set_text(side->name, text, bytes);
}

void corodump_set_label_v1(const char* name, std::size_t name_bytes, const char* value,
                           std::size_t value_bytes) noexcept {
    side_record* const side = current_side();
    if (side == nullptr) return;
    const std::uint32_t at = corodump::sources::label_place(*side, name, name_bytes);
    if (at >= side_record::max_labels) return;
    const corodump::sources::revising changing(*side);
    corodump::sources::set_text(side->labels[at].name, name, name_bytes);
    corodump::sources::set_text(side->labels[at].value, value, value_bytes);
    if (at == side->label_count.load(std::memory_order_relaxed))
        side->label_count.store(at + 1, std::memory_order_relaxed);
}

void corodump_link_v1(corodump::detail::node* what) noexcept {
    side_record* const side = current_side();
    if (side == nullptr) return;
    what->side = side;
    what->next.store(side->nodes.load(std::memory_order_relaxed), std::memory_order_relaxed);
    side->nodes.store(what, std::memory_order_release);
}

void corodump_unlink_v1(corodump::detail::node* what) noexcept {
    if (what->side == nullptr) return;
    std::atomic<corodump::detail::node*>* at = &what->side->nodes;
    for (std::size_t i = 0; i < corodump::sources::max_nodes; ++i) {
        corodump::detail::node* const here = at->load(std::memory_order_relaxed);
        if (here == nullptr) return;
        if (here == what)
            return at->store(what->next.load(std::memory_order_relaxed), std::memory_order_release);
        at = &here->next;
    }
}
}
