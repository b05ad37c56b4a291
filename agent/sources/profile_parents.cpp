#include "agent/sources/profile_parents.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <span>

#include "agent/base/safe_copy.hpp"
#include "agent/sources/await_walk.hpp"
#include "agent/sources/frame_memory.hpp"
#include "agent/sources/object_notes.hpp"
#include "agent/sources/profile_nodes.hpp"

namespace corodump::sources {
namespace {

using detail::record;

constexpr auto relaxed = std::memory_order_relaxed;
constexpr std::size_t max_promise_words = 64;
constexpr std::uintptr_t tag_slot = 1, tag_side = 2, tag_mask = 3;

/// Where the promise of this type lies in its frame; 0: unknown. Types stay loaded while there are
/// coroutines of them, but the frame may have ended: read by safe copy, once each.
std::uint64_t promise_offset(const detail::promise_info* type) noexcept {
    constexpr unsigned offset_bits = 16;
    static constinit std::array<std::atomic<std::uint64_t>, 256> known{};
    const auto address = reinterpret_cast<std::uint64_t>(type);
    std::atomic<std::uint64_t>& entry = known[address / 16 % known.size()];
    const std::uint64_t found = entry.load(relaxed);
    if (found >> offset_bits == address << offset_bits >> offset_bits)
        return found & ((1U << offset_bits) - 1);
    detail::promise_info read;
    if (address == 0 || !base::safe_read(read, address) || read.version != detail::layout_version)
        return 0;
    entry.store(address << offset_bits | read.promise_offset, relaxed);
    return read.promise_offset;
}

/// Live, and suspended on an awaiter.
bool awaits(const record* one) noexcept {
    const std::uint64_t suspended = one->suspended.load(std::memory_order_acquire);
    return (one->generation.load(std::memory_order_acquire) & 1U) != 0 &&
           static_cast<std::uint32_t>(suspended) > detail::rests_at_end;
}

/// A frame's address or its promise's.
struct frame_names {
    std::uint64_t frame = 0, promise = 0;
    explicit frame_names(const record* of) noexcept
        : frame(frame_of(of)), promise(frame + promise_offset(of->promise.load(relaxed))) {}
    [[nodiscard]] bool has(std::uint64_t word) const noexcept {
        return word == promise || word == frame;
    }
};

/// The frame in the pool that the word names, and that awaits something.
const record* pooled_named(std::uint64_t word) noexcept {
    if ((word & 7U) != 0 || word < 4096) return nullptr;
    const object_place place = place_of(word);
    if (place.slab == nullptr || place.slab->kind != detail::slab_kind::frames) return nullptr;
    const auto* const found = reinterpret_cast<const record*>(place.begin);
    return awaits(found) && frame_names(found).has(word) ? found : nullptr;
}

/// Of several that are named, the one whose awaiter names the child back.
const record* parent_by_walk(const record* own) noexcept {
    walked_frame chain[2];
    return walk_up(own, chain) == 2 ? chain[1].record : nullptr;
}

const record* parent_by_words(const record* own, std::span<const std::uint64_t> words) noexcept {
    const record* found = nullptr;
    for (const std::uint64_t word : words) {
        const record* const named = pooled_named(word);
        if (named == nullptr || named == own || named == found) continue;
        if (found != nullptr) return parent_by_walk(own);
        found = named;
    }
    return found;
}

}  // namespace

std::uint64_t definition_of(const record* own) noexcept {
    const detail::promise_info* const type = own->promise.load(relaxed);
    const std::uint64_t frame = frame_of(own);
    if (type == nullptr || type->version != detail::layout_version || frame == 0) return 0;
    const auto& tag =
        *reinterpret_cast<const detail::frame_tag*>(frame + type->tag_offset.load(relaxed));
    const std::uintptr_t word = tag.word.load(relaxed), target = word & ~tag_mask;
    const void* definition = reinterpret_cast<const void*>(target);
    if ((word & tag_mask) == tag_slot)
        definition = reinterpret_cast<const detail::slot*>(target)->definition.load(relaxed);
    else if ((word & tag_mask) == tag_side)
        definition = reinterpret_cast<const detail::side_record*>(target)->definition.load(relaxed);
    if (definition != &corodump_unnamed_v1) return reinterpret_cast<std::uint64_t>(definition);
    // Its destroy function names it, in the symbol table.
    std::uint64_t code = 0;
    read_pooled_words(frame + sizeof(void*), frame + 2 * sizeof(void*), {&code, 1});
    return code | model::code_key;
}

const record* awaiting_parent(const record* own, const record* left) noexcept {
    const detail::promise_info& type = *own->promise.load(relaxed);
    const std::uint64_t promise = frame_of(own) + type.promise_offset;
    const bool known = type.continuation_offset >= 0;
    const std::uint64_t begin =
        promise + (known ? static_cast<std::uint32_t>(type.continuation_offset) : 0U);
    std::uint64_t buffer[max_promise_words];
    const std::size_t count =
        known ? 1 : std::min<std::size_t>(type.promise_bytes / 8U, max_promise_words);
    // The frame is this thread's own, wherever it lies.
    read_pooled_words(begin, begin + count * 8, {buffer, count});
    const std::span<const std::uint64_t> words(buffer, count);
    if (left != nullptr && left != own && awaits(left)) {
        const frame_names names(left);
        if (std::ranges::any_of(words, [&](std::uint64_t word) { return names.has(word); }))
            return left;
    }
    // Frames outside of the pool are looked for only where there must be some.
    if (slab_of(own)->kind == detail::slab_kind::slots) return parent_by_walk(own);
    return parent_by_words(own, words);
}

std::uint32_t node_of_chain(const record* suspended) noexcept {
    walked_frame chain[max_awaiters];
    const std::size_t count = walk_up(suspended, chain);
    std::uint32_t node = no_node;
    for (std::size_t i = count; i > 0; --i)
        if (chain[i - 1].definition != 0) node = node_below(node, chain[i - 1].definition);
    return node;
}

}  // namespace corodump::sources
