// What the frames' own memory says of who awaits whom. Nothing is decided here.
#include <algorithm>

#include "agent/base/safe_copy.hpp"
#include "agent/snapshot/chain_marks.hpp"
#include "agent/snapshot/chains.hpp"
#include "agent/sources/descriptions.hpp"
#include "agent/sources/frame_memory.hpp"
#include "agent/sources/layout.hpp"

namespace corodump::snapshot {
namespace {

using model::no_index;

constexpr std::size_t argument_words = 8;
constexpr std::size_t far_argument_words = 24;  ///< for a frame without a caller: clang at -O0
constexpr std::uint32_t max_looks = 16384;

/// Without a hook at the start, "never resumed" and "in its first run" look the same.
bool start_is_unseen(const model::frame& f, const sources::promise_facts& promise) noexcept {
    return f.activity == model::activity::running && f.resumes == 0 &&
           (promise.flags & detail::promise_hooks_start) == 0;
}

/// An address other than the awaiter's own that is found on both sides.
bool shares_any(std::span<const std::uint64_t> awaiter, std::span<const std::uint64_t> near,
                std::span<const std::uint64_t> far) noexcept {
    return std::ranges::any_of(awaiter, [&](std::uint64_t word) {
        return word >= 4096 && (word & 7U) == 0 &&
               (std::ranges::find(near, word) != near.end() ||
                std::ranges::find(far, word) != far.end());
    });
}

}  // namespace

/// What one frame's own memory tells: its tag, the frames its promise names, its children.
void chain_builder::read(std::uint32_t index) noexcept {
    model::frame& f = frames_[index];
    const sources::promise_facts& facts = types_.promise(f.promise);
    const std::uint64_t record = f.definition;
    f.definition = 0;
    if ((facts.flags & detail::promise_may_be_joined) != 0) may_be_joined_ = true;
    std::uint64_t head[max_head_words + argument_words];
    const std::size_t wanted = facts.known ? facts.tag_offset / 8U + 1U + argument_words : 1;
    const std::size_t words =
        index_.read_words(f.address, {head, std::min(wanted, std::size(head))});
    if (!facts.known || words == 0 || !sources::unchanged(f, record)) {
        if (!facts.known || words == 0) ++counts_.unreadable;
        settle(f, 0);
        return;
    }
    const std::size_t tag = facts.tag_offset / 8U;
    settle(f, tag < words ? head[tag] : index_.read_word(f.address + facts.tag_offset));
    if (f.activity == model::activity::suspended && head[0] == 0 &&
        f.state == model::task_state::pending)
        f.state = model::task_state::done;  // the resume pointer is null at final suspend
    if (f.definition == reinterpret_cast<std::uint64_t>(&corodump_unnamed_v1)) {
        // Its destroy function names it, in the symbol table.
        const std::uint64_t code = words > 1 && head[1] != 0 ? head[1] | model::code_key : 0;
        if (f.site == f.definition) f.site = code;
        f.definition = code;
    }
    if (f.awaitable != 0 && !types_.awaitable(f.awaitable).known) ++counts_.unreadable;
    note_callers(index, facts, {head, words});
    if (waits(f) && f.state == model::task_state::pending) note_children(index);
}

/// State, activity and definition, from the record's types and the tag.
void chain_builder::settle(model::frame& f, std::uint64_t tag_word) noexcept {
    const sources::awaitable_facts& what = types_.awaitable(f.awaitable);
    const sources::promise_facts& promise = types_.promise(f.promise);
    if (start_is_unseen(f, promise)) f.activity = model::activity::unknown;
    f.library = (promise.flags & detail::promise_is_library) != 0;
    // Its last store to `awaitable` was unhandled_exception's.
    if (f.state == model::task_state::done && what.known && what.kind == detail::awaits_failure)
        f.state = model::task_state::failed;
    if (f.awaiter == 0) f.awaitable = 0;  // that of a suspension that is over
    const sources::tag_facts tag = sources::read_tag(tag_word);
    f.definition = tag.definition;
    f.side = tag.side;
}

std::span<const std::uint64_t> chain_builder::awaiter_words(const model::frame& f,
                                                            std::uint64_t& begin) noexcept {
    const sources::awaitable_facts& what = types_.awaitable(f.awaitable);
    if (!what.known || (what.kind != detail::awaits_something && what.kind != detail::awaits_yield))
        return {};
    begin = what.is_reference ? index_.read_word(f.awaiter) : f.awaiter;
    const std::size_t words =
        std::min(std::size_t{what.size_bytes} / 8, std::size(awaiter_buffer_));
    if (begin == 0 || words == 0) return {};
    return {awaiter_buffer_, index_.read_words(begin, {awaiter_buffer_, words})};
}

void chain_builder::note_children(std::uint32_t parent) noexcept {
    std::uint64_t begin = 0;
    for (const std::uint64_t word : awaiter_words(frames_[parent], begin)) {
        const std::uint32_t child = index_.named(word);
        if (child == no_index || child == parent) continue;
        set(frames_[parent], has_child_in_awaiter);
        if (has(frames_[child], certain | found_down)) continue;
        frames_[child].parent = parent;
        set(frames_[child], found_down);
    }
}

/// Looks for the caller: at its known place, else in every word of the promise.
void chain_builder::note_callers(std::uint32_t child, const sources::promise_facts& facts,
                                 std::span<const std::uint64_t> head) noexcept {
    model::frame& f = frames_[child];
    if (facts.continuation_offset >= 0) {
        const std::size_t at =
            (facts.promise_offset + static_cast<std::size_t>(facts.continuation_offset)) / 8U;
        f.parent = at < head.size() ? index_.named(head[at]) : no_index;
        f.marks = 0;
        return set(f, certain);
    }
    const std::size_t first = facts.promise_offset / 8U;
    const std::size_t last = std::min(first + facts.promise_bytes / 8U, head.size());
    for (std::size_t i = first; i < last; ++i) {
        const std::uint32_t named = index_.named(head[i]);
        if (named == no_index || named == child || named == f.first_child) continue;
        if (f.first_child == no_index)
            f.first_child = named;
        else
            set(f, ambiguous);
    }
    if (f.first_child == no_index) f.next_sibling = joined_by(child, head);
}

/// A word that points into another frame, at its awaiter or at what its awaiter points at there.
std::uint32_t chain_builder::joined_by(std::uint32_t child,
                                       std::span<const std::uint64_t> head) noexcept {
    const sources::promise_facts& facts = types_.promise(frames_[child].promise);
    const std::size_t promise_end = (facts.promise_offset + facts.promise_bytes) / 8U;
    const std::uint64_t frame = frames_[child].address;
    const std::uint64_t end = index_.object_end(frame);
    const std::uint64_t far_begin = frame + head.size_bytes();
    std::uint64_t far_words[far_argument_words];
    // Behind the frame's end lies another's.
    const std::span<const std::uint64_t> far = std::span(far_words).first(
        end != 0 && far_begin >= end ? 0 : index_.read_words(far_begin, far_words));
    for (std::size_t i = 2; i < head.size() + far.size(); ++i) {
        if (i >= promise_end && end == 0 && index_.containing(frame + i * 8U) != child) break;
        const std::uint64_t word = i < head.size() ? head[i] : far[i - head.size()];
        if ((word & 7U) != 0 || word < 4096) continue;
        const std::uint32_t candidate = index_.containing(word);
        if (candidate == no_index && i < promise_end && dead_end(word) != word &&
            !awaits_word(child, word)) {
            const std::uint32_t found = behind_heap(word, child);
            if (found != no_index) {
                set(frames_[child], by_state);
                return found;
            }
        }
        if (candidate == no_index || candidate == child || !waits(frames_[candidate])) continue;
        std::uint64_t begin = 0;
        const auto words = awaiter_words(frames_[candidate], begin);
        // What lies behind the promise may be an awaiter, linked with its neighbours. They wait for
        // one object, which both know; a callback that completes P's awaiter knows only that.
        const bool inside =
            i < promise_end
                ? word - begin < words.size() * 8U
                : word == begin && !in_awaiter(child, i) &&
                      !shares_any(words, head.subspan(std::min(promise_end, head.size())), far);
        const bool shared = std::ranges::find(words, word) != words.end();
        // Who waits for the same thing is a neighbour.
        if (!inside && (!shared || awaits_word(child, word))) continue;
        if (!inside && i < promise_end) set(frames_[child], by_state);
        return candidate;
    }
    return no_index;
}

/// Whether word `at` of the frame lies in what it waits with.
bool chain_builder::in_awaiter(std::uint32_t frame, std::size_t at) const noexcept {
    const model::frame& f = frames_[frame];
    if (!waits(f)) return false;
    const sources::awaitable_facts& what = types_.awaitable(f.awaitable);
    const std::uint64_t begin = what.is_reference ? index_.read_word(f.awaiter) : f.awaiter;
    return f.address + at * 8U - begin < what.size_bytes;
}

/// A frame that waits for what `word` points at, and whose address is kept there.
std::uint32_t chain_builder::behind_heap(std::uint64_t word, std::uint32_t child) noexcept {
    // Tasks of one kind point at the same schedulers and pools: each is looked at once.
    if (dead_end(word) == word || looks_ == max_looks) return no_index;
    ++looks_;
    std::uint64_t state[max_state_words];
    const std::size_t count = base::safe_copy(state, word, sizeof state) / 8U;
    bool names_a_frame = false;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t found = index_.named(state[i]);
        if (found == no_index) continue;
        names_a_frame = true;
        if (found != child && awaits_word(found, word)) return found;
    }
    if (!names_a_frame) dead_end(word) = word;
    return no_index;
}

std::uint32_t chain_builder::kind_of(const model::frame& f) noexcept {
    const sources::awaitable_facts& what = types_.awaitable(f.awaitable);
    return what.known ? what.kind : std::uint32_t{detail::awaits_something};
}

bool chain_builder::awaits_word(std::uint32_t frame, std::uint64_t word) noexcept {
    std::uint64_t begin = 0;
    if (!waits(frames_[frame])) return false;
    const auto words = awaiter_words(frames_[frame], begin);
    return begin == word || std::ranges::find(words, word) != words.end();
}

/// The parent's awaiter names the child.
bool chain_builder::holds(std::uint32_t parent, std::uint32_t child) noexcept {
    std::uint64_t begin = 0;
    if (!waits(frames_[parent])) return false;
    return std::ranges::any_of(awaiter_words(frames_[parent], begin),
                               [&](std::uint64_t word) { return index_.named(word) == child; });
}

/// As holds, or through an object that the awaiter refers to: a task, by reference.
bool chain_builder::refers_to(std::uint32_t parent, std::uint32_t child) noexcept {
    if (holds(parent, child)) return true;
    std::uint64_t begin = 0;
    for (const std::uint64_t word : awaiter_words(frames_[parent], begin)) {
        if ((word & 7U) != 0 || word < 4096) continue;
        std::uint64_t object[2] = {};
        const std::size_t count = index_.read_words(word, object);
        for (std::size_t i = 0; i < count; ++i)
            if (index_.named(object[i]) == child) return true;
    }
    return false;
}

/// Both wait with one type of awaiter for one object: neighbours in its list of waiters.
bool chain_builder::wait_alike(std::uint32_t a, std::uint32_t b) noexcept {
    if (frames_[a].awaitable != frames_[b].awaitable || !waits(frames_[b])) return false;
    std::uint64_t begin = 0;
    std::uint64_t others[32];
    static_assert(sizeof others == sizeof awaiter_buffer_);
    const auto words = awaiter_words(frames_[a], begin);
    const auto end = std::ranges::copy(words, others).out;
    const auto of_b = awaiter_words(frames_[b], begin);
    return std::any_of(others, end, [&](std::uint64_t word) {
        return word >= 4096 && index_.named(word) == no_index &&
               std::ranges::find(of_b, word) != of_b.end();
    });
}

}  // namespace corodump::snapshot
