#include "agent/snapshot/chains.hpp"

#include <algorithm>
#include <utility>

#include "agent/base/clock.hpp"
#include "agent/base/safe_copy.hpp"
#include "agent/snapshot/chain_marks.hpp"
#include "agent/sources/frame_memory.hpp"
#include "agent/sources/layout.hpp"

namespace corodump::snapshot {
namespace {

using model::no_index;

constexpr std::uint32_t frames_per_look_at_the_clock = 1024;
constexpr std::size_t max_handler_words = 64;
constexpr unsigned max_ancestors = 64;
constexpr std::uint32_t frames_ahead = 12;  ///< of the one that is read

/// What will be read of a frame soon: its record, its head, and the first of its arguments and
/// locals.
void fetch(const model::frame& f) noexcept {
    for (std::uint64_t at = f.address - sizeof(detail::record); at < f.address + 160; at += 64)
        __builtin_prefetch(reinterpret_cast<const void*>(at));
}

}  // namespace

/// A pass over a million frames costs as much as what it does with them: the passes are few.
chain_counts chain_builder::build() noexcept {
    const auto count = static_cast<std::uint32_t>(frames_.size());
    for (std::uint32_t i = 0; i < count; ++i) {
        if (i % frames_per_look_at_the_clock == 0 && deadline_passed()) {
            leave_alone(i);
            break;
        }
        if (i + frames_ahead < count) fetch(frames_[i + frames_ahead]);
        read(i);
    }
    for (std::uint32_t i = 0; i < count; ++i) check_down(i);
    for (std::uint32_t i = 0; i < count; ++i) decide(i);
    link();
    if (may_be_joined_) follow_entries();
    count_chains();
    return counts_;
}

bool chain_builder::deadline_passed() const noexcept {
    return deadline_ns_ != 0 && base::monotonic_ns() > deadline_ns_;
}

/// The frames from `first` on stay tasks of their own, of which only the record is known.
void chain_builder::leave_alone(std::uint32_t first) noexcept {
    counts_.late = frames_.size() - first;
    for (model::frame& f : frames_.subspan(first)) settle(f, 0);
}

/// Entries lead to leaves, which are known once chains are.
void chain_builder::follow_entries() noexcept {
    bool found = false;
    for (std::uint32_t i = 0; i < frames_.size(); ++i)
        if (frames_[i].parent == no_index) found = follow_entry(i) || found;
    if (!found) return;
    for (model::frame& f : frames_) f.first_child = f.next_sibling = no_index;
    link();
}

/// An awaiter may also name a neighbour in a list of waiters, whose caller is another.
void chain_builder::check_down(std::uint32_t child) noexcept {
    model::frame& f = frames_[child];
    const std::uint32_t up = f.first_child;
    if (!has(f, found_down) || has(f, certain | ambiguous) || up == f.parent) return;
    if (up != no_index && holds(up, child))
        f.parent = up;
    else if (wait_alike(f.parent, child))
        f.parent = no_index;
}

/// The one frame that the child's promise names and that may be its caller, if there is just one.
std::uint32_t chain_builder::only_caller(std::uint32_t child) noexcept {
    const model::frame& f = frames_[child];
    const sources::promise_facts facts = types_.promise(f.promise);
    std::uint64_t promise[max_head_words];
    const std::size_t words = std::min<std::size_t>(facts.promise_bytes / 8U, max_head_words);
    const std::size_t count = index_.read_words(f.address + facts.promise_offset, {promise, words});
    std::uint32_t found = no_index;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t named = index_.named(promise[i]);
        if (named == no_index || named == child || named == found || !may_be_above(named, child))
            continue;
        if (found != no_index) return no_index;
        found = named;
    }
    return found;
}

/// Whether the frame that a word of the child's promise names may be its caller.
bool chain_builder::may_be_above(std::uint32_t parent, std::uint32_t child) noexcept {
    const model::frame& p = frames_[parent];
    const model::frame& c = frames_[child];
    // One that has ended, and is still awaited: its caller goes on when the cleanup below it ends.
    const bool cleans_up = p.state != model::task_state::pending && has(p, found_down) && waits(c);
    if (!cleans_up &&
        (!waits(p) || p.state != model::task_state::pending || has(p, has_child_in_awaiter)))
        return false;
    std::uint32_t above = p.parent;
    for (unsigned i = 0; i < max_ancestors && above != no_index && above != child; ++i)
        above = frames_[above].parent;
    if (above == child) return false;
    const bool ended =
        c.activity == model::activity::suspended && c.state != model::task_state::pending;
    const bool yields = waits(c) && kind_of(c) == detail::awaits_yield;
    if (!ended && !yields && c.activity != model::activity::not_started) return true;
    return (yields && kind_of(p) == detail::awaits_yield) || refers_to(parent, child);
}

/// Weighs the evidence for one frame's parent, and leaves its link members empty.
void chain_builder::decide(std::uint32_t child) noexcept {
    model::frame& f = frames_[child];
    const std::uint32_t up = std::exchange(f.first_child, no_index);
    const std::uint32_t join = std::exchange(f.next_sibling, no_index);
    if (has(f, certain)) return;
    if (f.parent != no_index) return;  // found in its parent's awaiter
    // A handle in a promise may also name a child, a neighbour in a list, or one that has gone on:
    // it is the caller if it waits, is not itself below this frame, and waits for no other.
    const std::uint32_t caller = has(f, ambiguous)                           ? only_caller(child)
                                 : up != no_index && may_be_above(up, child) ? up
                                                                             : no_index;
    if (caller != no_index) {
        f.parent = caller;
        return;
    }
    if (join != no_index && frames_[join].parent != child &&
        frames_[join].state == model::task_state::pending) {
        f.parent = join;
        // A future's state has one producer; where there are several, link() finds that out.
        if (!has(f, by_state)) set(f, joined);
    }
}

bool chain_builder::is_entry(std::uint32_t index) noexcept {
    return (types_.promise(frames_[index].promise).flags & detail::promise_is_entry) != 0;
}

/// A task that a library started for another: its completion handler leads to that task's entry,
/// directly or through shared state on the heap.
bool chain_builder::follow_entry(std::uint32_t child) noexcept {
    const sources::promise_facts facts = types_.promise(frames_[child].promise);
    if ((facts.flags & detail::promise_may_be_joined) == 0) return false;
    std::uint32_t distance = 0;
    const std::uint64_t frame = frames_[child].address;
    if (!sources::read_bytes(frame + facts.handler_offset, &distance, sizeof distance) ||
        distance == 0)
        return false;
    std::uint64_t words[max_handler_words];
    const std::size_t wanted = std::min(std::size_t{facts.handler_bytes} / 8, std::size(words));
    const std::size_t count =
        index_.read_words(frame + facts.promise_offset + distance, {words, wanted});
    std::uint32_t entry = no_index;
    for (std::size_t i = 0; i < count && entry == no_index; ++i)
        entry = entry_behind(words[i], child, (facts.flags & detail::promise_joins_by_state) != 0);
    if (entry == no_index) return false;
    const std::uint32_t leaf = leaf_from(entry);
    if (leaf == child || !waits(frames_[leaf])) return false;
    frames_[child].parent = leaf;
    set(frames_[child], joined);
    return true;
}

std::uint32_t chain_builder::entry_behind(std::uint64_t word, std::uint32_t child,
                                          bool by_state) noexcept {
    if ((word & 7U) != 0 || word < 4096) return no_index;
    const std::uint32_t direct = index_.named(word);
    if (direct != no_index) return direct != child && is_entry(direct) ? direct : no_index;
    if (!by_state || index_.containing(word) != no_index) return no_index;
    std::uint64_t state[max_state_words];
    const std::size_t count = base::safe_copy(state, word, sizeof state) / 8U;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t found = index_.named(state[i]);
        if (found != no_index && found != child && is_entry(found)) return found;
    }
    return no_index;
}

std::uint32_t chain_builder::leaf_from(std::uint32_t root) const noexcept {
    std::uint32_t at = root;
    for (std::size_t i = 0; i < frames_.size(); ++i) {
        const std::uint32_t child = frames_[at].first_child;
        if (child == no_index || frames_[child].root) break;
        at = child;
    }
    return at;
}

/// Follows each frame's parents, stamping them in next_sibling; meeting the own stamp is a cycle.
void chain_builder::cut_cycles() noexcept {
    for (std::uint32_t i = 0; i < frames_.size(); ++i) {
        std::uint32_t at = i;
        while (at != no_index && frames_[at].next_sibling == no_index) {
            frames_[at].next_sibling = i;
            const std::uint32_t parent = frames_[at].parent;
            if (parent != no_index && frames_[parent].next_sibling == i) {
                frames_[at].parent = no_index;
                if (counts_.cycles < chain_counts::max_cycles)
                    counts_.cycle_heads[counts_.cycles] = at;
                ++counts_.cycles;
                break;
            }
            at = parent;
        }
    }
}

/// Makes child lists of the parents found; a frame with several children, or one it joins, heads
/// tasks with each of them. All link members are empty before.
void chain_builder::link() noexcept {
    cut_cycles();
    for (std::uint32_t i = static_cast<std::uint32_t>(frames_.size()); i-- > 0;) {
        model::frame& f = frames_[i];
        f.next_sibling = no_index;
        f.root = f.parent == no_index || has(f, joined);
        if (f.parent == no_index) continue;
        model::frame& p = frames_[f.parent];
        f.next_sibling = p.first_child;
        p.first_child = i;
        if (f.next_sibling == no_index) continue;
        f.root = true;
        frames_[f.next_sibling].root = true;
    }
}

void chain_builder::count_chains() noexcept {
    for (model::frame& f : frames_) {
        if (f.root) ++counts_.roots;
        f.marks = 0;
        if (!f.root) continue;
        std::uint64_t depth = 1;
        std::uint32_t at = f.first_child;
        for (; at != no_index && !frames_[at].root; at = frames_[at].first_child) ++depth;
        if (depth > max_depth_) counts_.cut += depth - max_depth_;
    }
}

}  // namespace corodump::snapshot
