#include "agent/sources/await_walk.hpp"

#include <algorithm>

#include "agent/sources/descriptions.hpp"
#include "agent/sources/each_slot.hpp"
#include "agent/sources/frame_memory.hpp"
#include "agent/sources/image_facts.hpp"
#include "agent/sources/pool.hpp"
#include "agent/sources/record_frame.hpp"

namespace corodump::sources {
namespace {

constexpr std::size_t max_promise_words = 64;
constexpr std::size_t max_awaiter_words = 32;

constinit image_facts<detail::promise_info> promises;
constinit image_facts<detail::awaitable_info> awaitables;

bool read_promise(const detail::record* of, detail::promise_info& into) noexcept {
    const auto address =
        reinterpret_cast<std::uint64_t>(of->promise.load(std::memory_order_acquire));
    return promises.read(address, into) && into.version == detail::layout_version;
}

bool is_live(const detail::record* one) noexcept {
    return (one->generation.load(std::memory_order_acquire) & 1U) != 0;
}

bool names(std::uint64_t word, std::uint64_t frame, const detail::record* of) noexcept {
    if (word == frame) return true;
    detail::promise_info promise;
    return word > frame && word - frame <= 4096 && read_promise(of, promise) &&
           word - frame == promise.promise_offset;
}

const detail::record* outside_named(std::uint64_t word) noexcept {
    const detail::record* found = nullptr;
    each_slot([&](const detail::slot& one) {
        const auto frame =
            reinterpret_cast<std::uint64_t>(one.frame.load(std::memory_order_acquire));
        if (is_live(&one.tracked) && names(word, frame, &one.tracked)) found = &one.tracked;
        return found != nullptr;
    });
    return found;
}

/// It has an awaiter; where that is, 0: it does not wait.
std::uint64_t awaiter_of(const detail::record* of, std::uint64_t frame) noexcept {
    const std::uint64_t suspended = of->suspended.load(std::memory_order_acquire);
    const auto low = static_cast<std::uint32_t>(suspended);
    if (suspended == 0 || low <= detail::rests_at_end) return 0;
    return frame + static_cast<std::uint32_t>((low & ~1U) - static_cast<std::uint32_t>(frame));
}

bool awaiter_names(const detail::record* parent, const detail::record* child) noexcept {
    const std::uint64_t awaiter = awaiter_of(parent, frame_of(parent));
    detail::awaitable_info what;
    const auto info =
        reinterpret_cast<std::uint64_t>(parent->awaitable.load(std::memory_order_acquire));
    if (awaiter == 0 || !awaitables.read(info, what) || what.version != detail::layout_version)
        return false;
    const std::uint64_t begin = what.is_reference != 0 ? read_word(awaiter) : awaiter;
    std::uint64_t words[max_awaiter_words];
    const std::size_t wanted = std::min<std::size_t>(what.size_bytes / 8, max_awaiter_words);
    if (begin == 0 || wanted == 0) return false;
    const std::size_t count = read_words(begin, {words, wanted});
    return std::any_of(words, words + count,
                       [child](std::uint64_t word) { return record_named(word) == child; });
}

std::size_t promise_words(std::uint64_t frame, const detail::promise_info& promise,
                          std::span<std::uint64_t> into) noexcept {
    const std::size_t wanted = std::min<std::size_t>(promise.promise_bytes / 8U, into.size());
    return read_words(frame + promise.promise_offset, into.first(wanted));
}

const detail::record* parent_of(const detail::record* child, std::uint64_t frame) noexcept {
    detail::promise_info promise;
    if (!read_promise(child, promise)) return nullptr;
    if (promise.continuation_offset >= 0)
        return record_named(read_word(frame + promise.promise_offset +
                                      static_cast<std::uint32_t>(promise.continuation_offset)));
    std::uint64_t words[max_promise_words];
    const std::size_t count = promise_words(frame, promise, words);
    const detail::record* found = nullptr;
    bool several = false;
    for (std::size_t i = 0; i < count; ++i) {
        const detail::record* const named = record_named(words[i]);
        if (named == nullptr || named == child || named == found) continue;
        if (awaiter_of(named, frame_of(named)) == 0) continue;
        if (awaiter_names(named, child)) return named;
        several = found != nullptr;
        found = named;
    }
    return several ? nullptr : found;
}

walked_frame begin_with(const detail::record* own) noexcept {
    walked_frame made;
    made.record = own;
    made.address = frame_of(own);
    made.generation = own->generation.load(std::memory_order_acquire);
    made.site = reinterpret_cast<std::uint64_t>(own->site.load(std::memory_order_relaxed));
    return made;
}

void describe(const detail::promise_info& promise, walked_frame& into) noexcept {
    into.flags = promise.flags;
    const tag_facts tag =
        read_tag(read_word(into.address + promise.tag_offset.load(std::memory_order_relaxed)));
    into.definition = tag.definition;
    into.side = tag.side;
    if (into.definition != reinterpret_cast<std::uint64_t>(&corodump_unnamed_v1)) return;
    // Its destroy function names it, in the symbol table.
    const std::uint64_t code = read_word(into.address + sizeof(void*));
    if (into.site == into.definition) into.site = code | model::code_key;
    into.definition = code | model::code_key;
}

}  // namespace

const detail::record* record_held(std::uint64_t promise) noexcept {
    const object_place place = place_of(promise);
    if (place.slab == nullptr || place.slab->kind != detail::slab_kind::frames)
        return record_named(promise);
    const auto* const found = reinterpret_cast<const detail::record*>(place.begin);
    return is_live(found) ? found : nullptr;
}

const detail::record* record_named(std::uint64_t word) noexcept {
    if ((word & 7U) != 0 || word < 4096) return nullptr;
    const object_place place = place_of(word);
    if (place.slab == nullptr) return outside_named(word);
    if (place.slab->kind != detail::slab_kind::frames) return nullptr;
    const auto* const found = reinterpret_cast<const detail::record*>(place.begin);
    return is_live(found) && names(word, place.begin + sizeof(detail::record), found) ? found
                                                                                      : nullptr;
}

const detail::record* find_awaiting(const detail::record* own) noexcept {
    const std::uint64_t frame = frame_of(own);
    return frame == 0 ? nullptr : parent_of(own, frame);
}

bool look_at(const detail::record* own, walked_frame& into) noexcept {
    into = begin_with(own);
    detail::promise_info promise;
    if (into.address == 0 || !read_promise(own, promise)) return false;
    describe(promise, into);
    return true;
}

bool look_at_held(const detail::record* own, walked_frame& into) noexcept {
    into = begin_with(own);
    const detail::promise_info* const promise = own->promise.load(std::memory_order_relaxed);
    if (into.address == 0 || promise == nullptr || promise->version != detail::layout_version)
        return false;
    describe(*promise, into);
    return true;
}

std::size_t walk_up(const detail::record* own, std::span<walked_frame> into) noexcept {
    std::size_t used = 0;
    for (const detail::record* at = own; at != nullptr && used < into.size();) {
        const bool known = look_at(at, into[used]);
        const auto before = into.first(used);
        if (std::ranges::find(before, at, &walked_frame::record) != before.end()) break;
        ++used;
        at = known ? parent_of(at, into[used - 1].address) : nullptr;
    }
    return used;
}

bool promise_holds(const detail::record* own, std::uint64_t word) noexcept {
    detail::promise_info promise;
    const std::uint64_t frame = frame_of(own);
    if (frame == 0 || !read_promise(own, promise)) return false;
    std::uint64_t words[512];
    const std::size_t count = promise_words(frame, promise, words);
    return std::find(words, words + count, word) != words + count;
}

}  // namespace corodump::sources
