#include "agent/snapshot/chains.hpp"

#include <algorithm>
#include <utility>

#include "agent/sources/layout.hpp"

#include "agent/base/clock.hpp"
#include "agent/base/safe_copy.hpp"
#include "agent/sources/descriptions.hpp"
#include "agent/sources/frame_memory.hpp"
#include "agent/symbols/unwind_tables.hpp"

namespace corodump::snapshot {
namespace {

using model::no_index;

// While chains are built, a frame's link members hold evidence:
//   parent        what is decided so far
//   first_child   the first frame that a word of the promise names ("up")
//   next_sibling  the frame it seems to be joined by
// and its marks say how sure that is.
enum mark : std::uint8_t {
    has_child_in_awaiter = 1,  // "down" evidence from this frame
    found_down = 2,            // this frame was found in its parent's awaiter
    by_state = 4,              // it seems to be joined through state that both point at
    joined = 8,                // the edge to the parent is a join
    certain = 16,              // the parent is known by the adapter: no other evidence counts
    ambiguous = 32,            // several words of the promise name different frames
};

constexpr std::uint32_t frames_per_look_at_the_clock = 1024;
constexpr std::size_t max_head_words = 64;
constexpr std::size_t argument_words = 8;
constexpr std::size_t far_argument_words = 24;  ///< for a frame without a caller: clang at -O0
constexpr std::size_t max_handler_words = 64;
constexpr unsigned max_untracked_leaves = 128;
constexpr std::size_t max_state_words = 24;
constexpr std::uint32_t max_looks = 16384;
constexpr unsigned max_ancestors = 64;

constexpr std::uint32_t frames_ahead = 12;  ///< of the one that is read

/// What will be read of a frame soon: its record, its head, and the first of its arguments and
/// locals.
void fetch(const model::frame& f) noexcept {
    for (std::uint64_t at = f.address - sizeof(detail::record); at < f.address + 160; at += 64)
        __builtin_prefetch(reinterpret_cast<const void*>(at));
}

void set(model::frame& f, std::uint8_t bits) noexcept {
    f.marks = static_cast<std::uint8_t>((f.marks | bits) & 63U);
}
bool has(const model::frame& f, std::uint8_t bits) noexcept {
    return (f.marks & bits) != 0;
}

bool waits(const model::frame& f) noexcept {
    return f.activity == model::activity::suspended && f.awaiter != 0;
}

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

/// Return addresses on a stack look like a frame's two words too, but lie within functions.
bool begin_functions(std::span<const std::uint64_t> addresses, code_names& code,
                     base::arena& scratch) noexcept {
    const base::arena::mark_type mark = scratch.mark();
    symbols::unwind_tables tables(code.images(), scratch);
    const bool begin = std::ranges::all_of(addresses, [&tables](std::uint64_t address) {
        symbols::function_entry found;
        return !tables.find_function(address, found) || found.fde.begin == address;
    });
    scratch.rewind(mark);
    return begin;
}

/// A std::function's two words begin functions as well, but of different names. Where symbols are
/// stripped, it is taken for a frame.
bool are_of_one_function(std::uint64_t one, std::uint64_t other, code_names& code) noexcept {
    char first[512];
    char second[512];
    const std::string_view name = code.name_of(one, first);
    return name.empty() || name == code.name_of(other, second);
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

bool chain_builder::is_coroutine(std::uint64_t address, code_names& code,
                                 base::arena& scratch) noexcept {
    std::uint64_t parts[2];  // resume and destroy
    return address >= 4096 && (address & 7U) == 0 &&
           base::safe_copy(parts, address, sizeof parts) == sizeof parts &&
           parts[0] != parts[1] &&  // a std::noop_coroutine's are the same
           code.is_code(parts[0]) && code.is_code(parts[1]) &&
           // A table of virtual functions begins with two destructors; frames lie in no image.
           code.images().find(address) == nullptr && begin_functions(parts, code, scratch) &&
           are_of_one_function(parts[0], parts[1], code);
}

std::uint64_t chain_builder::count_untracked(code_names& code, base::arena& scratch) noexcept {
    std::uint64_t found = 0;
    unsigned looked_at = 0;
    for (const model::frame& f : frames_) {
        if (!waits(f) || f.first_child != no_index || f.state != model::task_state::pending)
            continue;
        if (++looked_at > max_untracked_leaves) break;
        std::uint64_t begin = 0;
        for (const std::uint64_t word : awaiter_words(f, begin)) {
            if (word < 4096 || index_.containing(word) != no_index) continue;
            // A handle, or a promise's address straight behind the two pointers.
            if (!is_coroutine(word, code, scratch) && !is_coroutine(word - 16, code, scratch))
                continue;
            ++found;
            break;
        }
    }
    return found;
}

}  // namespace corodump::snapshot
