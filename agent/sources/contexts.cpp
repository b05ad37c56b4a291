#include "agent/sources/contexts.hpp"

#include <algorithm>
#include <atomic>
#include <ranges>
#include <utility>

#include "agent/sources/await_walk.hpp"
#include "agent/sources/each_slot.hpp"
#include "agent/sources/frame_memory.hpp"
#include "agent/sources/listeners.hpp"
#include "agent/sources/object_notes.hpp"
#include "agent/sources/pool.hpp"

namespace corodump::sources {
namespace {

using detail::record;

constexpr auto relaxed = std::memory_order_relaxed;
constexpr std::size_t max_promise_words = 64;

struct noted_context {
    std::atomic<bound_list*> bound;
    std::atomic<std::uint32_t> generation;  ///< of the record it is of
    std::atomic<std::uint32_t> version;
    std::atomic<std::uint32_t> flags;
    std::atomic<std::uint32_t> other_generation;
    /// Who created the coroutine; where it has settled, who awaits it; may be null.
    std::atomic<const record*> other;
};
static_assert(sizeof(noted_context) == 32);
enum note_flags : std::uint32_t {
    note_settled = 1,
    note_own = 2  ///< the list was made for this coroutine
};
using context_notes = object_notes<noted_context, detail::note_of_context>;

constinit std::atomic<bool> used{false};
constinit std::atomic<std::uint64_t> last_scope{0};

/// Frames outside of the pool by their addresses; of two in one place the later counts.
constexpr std::size_t slot_places = 16384;
constinit std::atomic<const record*> slots[slot_places];
std::atomic<const record*>& slot_place(std::uint64_t frame) noexcept {
    return slots[(frame * 0x9E3779B97F4A7C15ULL) >> 50U];
}

void remember_slot(const record* own) noexcept {
    slot_place(frame_of(own)).store(own, std::memory_order_release);
}

void use_contexts() noexcept {
    if (used.load(relaxed) || used.exchange(true)) return;
    // Ends first: whoever is told of a birth is told of the end.
    listen_to_ends(listener::contexts, true);
    listen_to_births(listener::contexts, true);
    // Those from before may be what awaits: they are told of by nobody.
    each_slot([](const detail::slot& one) {
        if ((one.tracked.generation.load(std::memory_order_acquire) & 1U) != 0)
            remember_slot(&one.tracked);
        return false;
    });
}

/// While in scope, the watchdog does not believe what it reads of the note.
class changing {
public:
    explicit changing(noted_context& note) noexcept : note_(note) {
        note_.version.store(note_.version.load(relaxed) + 1, relaxed);
        std::atomic_thread_fence(std::memory_order_release);
    }
    ~changing() { note_.version.store(note_.version.load(relaxed) + 1, std::memory_order_release); }
    changing(const changing&) = delete;
    changing& operator=(const changing&) = delete;

private:
    noted_context& note_;
};

/// Takes over the reference to `list`.
void put(noted_context& note, bound_list* list, std::uint32_t flags) noexcept {
    bound_list* const before = note.bound.load(relaxed);
    {
        const changing now(note);
        note.bound.store(list, std::memory_order_release);
        note.flags.store(flags, relaxed);
    }
    unshare(before);
}

/// What is left of an earlier coroutine goes.
void begin_note(noted_context& note, std::uint32_t generation, bound_list* list,
                const record* creator) noexcept {
    bound_list* const before = note.bound.load(relaxed);
    {
        const changing now(note);
        note.bound.store(list, std::memory_order_release);
        note.generation.store(generation, relaxed);
        note.flags.store(0, relaxed);
        note.other.store(creator, relaxed);
        note.other_generation.store(creator == nullptr ? 0 : creator->generation.load(relaxed),
                                    relaxed);
    }
    unshare(before);
}

/// This thread is inside of a library's call that start_for made, and of no coroutine since.
bool starts_for_another(std::uintptr_t running) noexcept {
    if (corodump_thread_v1->tid == 0) return false;
    const thread_context& own = reinterpret_cast<thread_node*>(corodump_thread_v1)->context;
    return own.starts && own.started_in == running;
}

/// nullptr: outside of all coroutines, or in one that is not tracked.
const record* running_record() noexcept {
    const std::uintptr_t running = corodump_thread_v1->running.load(relaxed) & ~std::uintptr_t{1};
    const record* const own = record_of_running(running);
    if (starts_for_another(running)) return nullptr;
    if (own == nullptr || own == &corodump_sink_v1.tracked) return nullptr;
    return (own->generation.load(relaxed) & 1U) != 0 ? own : nullptr;
}

noted_context* note_of(const record* own) noexcept {
    noted_context* const note = context_notes::at(own);
    if (note == nullptr) return nullptr;
    const std::uint32_t generation = own->generation.load(relaxed);
    if (note->generation.load(relaxed) != generation)
        begin_note(*note, generation, nullptr, nullptr);
    return note;
}

/// Of a coroutine that is not this thread's own; nullptr: none.
const noted_context* note_there(const record* of) noexcept {
    const noted_context* const note = context_notes::find(reinterpret_cast<std::uintptr_t>(of));
    return note != nullptr && note->generation.load(std::memory_order_acquire) ==
                                  of->generation.load(std::memory_order_acquire)
               ? note
               : nullptr;
}

bool starts_at_once(const record* own) noexcept {
    return (own->promise.load(relaxed)->flags & detail::promise_starts_at_once) != 0;
}

/// A promise's place in its frame: two pointers come first, then its alignment's worth.
constexpr std::uint64_t largest_promise_offset = 64;

/// The words of the promise of `own`, which this thread runs, in which it may name who awaits it.
std::span<const std::uint64_t> promise_words(const record* own,
                                             std::span<std::uint64_t> room) noexcept {
    const detail::promise_info& promise = *own->promise.load(relaxed);
    const std::uint64_t begin = frame_of(own) + promise.promise_offset;
    const bool known = promise.continuation_offset >= 0;
    const std::size_t wanted =
        known ? 1 : std::min<std::size_t>(promise.promise_bytes / 8U, room.size());
    read_own_words(known ? begin + static_cast<std::uint32_t>(promise.continuation_offset) : begin,
                   room.first(wanted));
    return room.first(wanted);
}

/// The frame, or its promise.
bool is_of(std::uint64_t word, std::uint64_t frame) noexcept {
    return word - frame <= largest_promise_offset;
}

/// The record of a live frame that the word may name.
const record* named(std::uint64_t word) noexcept {
    if ((word & 7U) != 0 || word < 4096) return nullptr;
    const object_place place = place_of(word);
    if (place.slab != nullptr) {
        const auto* const found = reinterpret_cast<const record*>(place.begin);
        const bool pooled = place.slab->kind == detail::slab_kind::frames;
        return pooled && is_of(word, place.begin + sizeof(record)) ? found : nullptr;
    }
    for (const std::uint64_t offset : {0U, 16U, 32U, 64U}) {
        const record* const found = slot_place(word - offset).load(std::memory_order_acquire);
        if (found != nullptr && frame_of(found) == word - offset) return found;
    }
    return nullptr;
}

bool waits(const record* one) noexcept {
    const std::uint64_t suspended = one->suspended.load(std::memory_order_acquire);
    return static_cast<std::uint32_t>(suspended) > detail::rests_at_end;
}

/// Who awaits the coroutine, which runs on this thread: mostly the one that created it, else the one
/// frame that waits and that its promise names. Where there are several, they are looked at.
const record* awaiting(const record* own, const noted_context& note) noexcept {
    std::uint64_t room[max_promise_words];
    const std::span<const std::uint64_t> words = promise_words(own, room);
    const record* const creator = note.other.load(relaxed);
    if (creator != nullptr &&
        creator->generation.load(std::memory_order_acquire) ==
            note.other_generation.load(relaxed) &&
        waits(creator)) {
        const std::uint64_t frame = frame_of(creator);
        const auto names_it = [frame](std::uint64_t word) { return is_of(word, frame); };
        if (std::ranges::any_of(words, names_it)) return creator;
    }
    const record* found = nullptr;
    for (const std::uint64_t word : words) {
        const record* const one = named(word);
        if (one == nullptr || one == own || one == found) continue;
        if ((one->generation.load(std::memory_order_acquire) & 1U) == 0 || !waits(one)) continue;
        if (found != nullptr) return find_awaiting(own);
        found = one;
    }
    return found;
}

/// The list of a coroutine that awaits this one; it stands still, if it does. Another thread's
/// otherwise: then what is read counts only if it has not changed.
bool share_list_of(const noted_context& note, bound_list*& found) noexcept {
    const std::uint32_t version = note.version.load(std::memory_order_acquire);
    bound_list* const list = note.bound.load(std::memory_order_acquire);
    found = try_share(list);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (found == list && (version & 1U) == 0 && note.version.load(relaxed) == version) return true;
    unshare(found);
    return false;
}

/// The list in force for `from`, which awaits. False: it is not known.
bool list_upwards(const record* from, bound_list*& found) noexcept {
    for (std::size_t i = 0; from != nullptr && i < max_awaiters; ++i) {
        const noted_context* const note = note_there(from);
        const record* const next =
            note != nullptr && (note->flags.load(relaxed) & note_settled) != 0
                ? nullptr
                : find_awaiting(from);
        if (next == nullptr) return note != nullptr && share_list_of(*note, found);
        from = next;
    }
    return false;
}

void settle(const record* own, noted_context& note) noexcept {
    const record* const parent = starts_at_once(own) ? nullptr : awaiting(own, note);
    bound_list* list = nullptr;
    if (parent != nullptr && list_upwards(parent, list))
        put(note, list, note_settled);
    else
        note.flags.store(note_settled, std::memory_order_release);
    note.other.store(parent, relaxed);
    note.other_generation.store(parent == nullptr ? 0 : parent->generation.load(relaxed), relaxed);
}

noted_context* settled_note(const record* own) noexcept {
    noted_context* const note = note_of(own);
    if (note != nullptr && (note->flags.load(relaxed) & note_settled) == 0) settle(own, *note);
    return note;
}

/// The thread's own, outside of coroutines; nullptr: it has no state yet.
std::atomic<bound_list*>* thread_list() noexcept {
    if (corodump_thread_v1->tid == 0) return nullptr;
    return &reinterpret_cast<thread_node*>(corodump_thread_v1)->context.bound;
}

/// What holds outside of coroutines.
const bound_list* thread_bound() noexcept {
    if (corodump_thread_v1->tid == 0) return nullptr;
    const thread_context& own = reinterpret_cast<thread_node*>(corodump_thread_v1)->context;
    return starts_for_another(corodump_thread_v1->running.load(relaxed) & ~std::uintptr_t{1})
               ? own.starter
               : own.bound.load(relaxed);
}

/// The call that takes the place of a library's: see corodump_starts_after_v1.
void start_for(void* with) {
    struct starting {
        explicit starting(thread_context& on)
            : thread(on), before(on.starter), in_before(on.started_in), started(on.starts) {
            on.starter = std::exchange(on.starter_to_be, nullptr);
            // Of what the coroutine was resumed in: not left yet.
            on.started_in = corodump_thread_v1->running.load(relaxed) & ~std::uintptr_t{1};
            on.starts = true;
        }
        starting(const starting&) = delete;
        starting& operator=(const starting&) = delete;
        ~starting() {
            unshare(std::exchange(thread.starter, before));
            thread.started_in = in_before;
            thread.starts = started;
        }
        thread_context& thread;
        bound_list* before;
        std::uintptr_t in_before;
        bool started;
    };
    auto& own = *static_cast<thread_context*>(with);
    const starting now(own);
    own.start(own.with);
}

void bind_in_coroutine(noted_context& note, bound_value* value, std::uint64_t scope) noexcept {
    const bool inherited = (note.flags.load(relaxed) & note_own) == 0;
    bound_list* const list = with_bound(note.bound.load(relaxed), inherited, value, scope);
    if (list != nullptr) put(note, list, note_settled | note_own);
}

void bind_in_thread(bound_value* value, std::uint64_t scope) noexcept {
    thread_node* const node = attach_thread();
    if (node == nullptr) return unshare(with_bound(nullptr, false, value, scope));
    bound_list* const list = with_bound(node->context.bound.load(relaxed), false, value, scope);
    if (list != nullptr) unshare(node->context.bound.exchange(list, std::memory_order_acq_rel));
}

}  // namespace

bool contexts_are_used() noexcept {
    return used.load(relaxed);
}

void inherit_context(const record* own) noexcept {
    if (slab_of(own)->kind == detail::slab_kind::slots) remember_slot(own);
    const record* const creator = running_record();
    bound_list* const list = share(const_cast<bound_list*>(current_bound()));
    noted_context* const note = context_notes::at(own);
    if (note == nullptr) return unshare(list);
    // What begin() will make of it.
    begin_note(*note, own->generation.load(relaxed) + 1, list, creator);
}

void end_context(const record* own) noexcept {
    if (slab_of(own)->notes[detail::note_of_context].load(std::memory_order_acquire) == nullptr)
        return;
    noted_context* const note = context_notes::at(own);
    if (note->generation.load(relaxed) == own->generation.load(relaxed) &&
        note->bound.load(relaxed) != nullptr)
        put(*note, nullptr, note_settled);
}

void end_thread_context(thread_context& of) noexcept {
    unshare(of.bound.exchange(nullptr, std::memory_order_acq_rel));
    unshare(std::exchange(of.starter_to_be, nullptr));
}

void trim_contexts(const detail::slab_header& slab) noexcept {
    const auto* const notes = static_cast<const noted_context*>(
        slab.notes[detail::note_of_context].load(std::memory_order_acquire));
    if (notes == nullptr) return;
    const auto holds = [](const noted_context& n) { return n.bound.load(relaxed) != nullptr; };
    if (std::none_of(notes, notes + slab.capacity, holds)) context_notes::trim(slab);
}

const bound_list* current_bound() noexcept {
    if (!contexts_are_used()) return nullptr;
    if (const record* const own = running_record()) {
        const noted_context* const note = settled_note(own);
        return note == nullptr ? nullptr : note->bound.load(relaxed);
    }
    return thread_bound();
}

const record* task_frame() noexcept {
    use_contexts();
    const record* const own = running_record();
    if (own != nullptr) static_cast<void>(settled_note(own));
    return own;
}

const record* awaiting_frame(const record* of) noexcept {
    const noted_context* const note = note_there(of);
    if (note == nullptr || (note->flags.load(relaxed) & note_settled) == 0)
        return find_awaiting(of);
    const record* const parent = note->other.load(relaxed);
    // One that starts at once may be awaited later.
    if (parent == nullptr) return starts_at_once(of) ? find_awaiting(of) : nullptr;
    return parent->generation.load(std::memory_order_acquire) ==
                   note->other_generation.load(relaxed)
               ? parent
               : nullptr;
}

bool read_bindings(std::uint64_t record_address, std::uint32_t generation,
                   read_bound& to) noexcept {
    to.count = 0;
    const noted_context* const note = context_notes::find(record_address);
    if (note == nullptr) return false;
    const auto& own = *reinterpret_cast<const record*>(record_address);
    const std::uint32_t version = note->version.load(std::memory_order_acquire);
    if ((version & 1U) != 0 || note->generation.load(relaxed) != generation) return false;
    to.settled = (note->flags.load(relaxed) & note_settled) != 0;
    const bound_list* const list = note->bound.load(std::memory_order_acquire);
    const std::uint32_t count =
        list == nullptr ? 0 : std::min(list->count.load(std::memory_order_acquire), list->capacity);
    for (std::uint32_t i = 0; i < count; ++i) {
        const bound_value* const value = list->entries()[i].value.load(relaxed);
        if (value == nullptr) return false;  // the list is another one by now
        to.labels[i] = {value->name.read(std::span(to.names[i])),
                        value->text.read(std::span(to.texts[i]))};
    }
    // Behind all reads above; pairs with changing's stores.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (note->version.load(relaxed) != version || own.generation.load(relaxed) != generation)
        return false;
    to.count = count;
    return true;
}

}  // namespace corodump::sources

using corodump::detail::context_scope;
using corodump::detail::context_text;
using corodump::detail::context_value;
using corodump::detail::record;
using namespace corodump::sources;  // NOLINT(google-build-using-namespace): the C entry points

extern "C" {

void corodump_context_bind_v1(const context_value* what, context_scope* scope) noexcept {
    use_contexts();
    const std::uint64_t number =
        scope == nullptr ? 0 : last_scope.fetch_add(1, std::memory_order_relaxed) + 1;
    if (scope != nullptr) *scope = {nullptr, 0, 0, 0};
    bound_value* const value = make_value(*what);
    if (value == nullptr) return;
    const record* const own = running_record();
    if (own == nullptr) {
        bind_in_thread(value, number);
        if (scope != nullptr) *scope = {nullptr, 0, corodump_thread_v1->tid, number};
        return;
    }
    noted_context* const note = settled_note(own);
    if (note == nullptr) return unshare(with_bound(nullptr, false, value, number));
    bind_in_coroutine(*note, value, number);
    if (scope != nullptr)
        *scope = {const_cast<record*>(own), note->generation.load(std::memory_order_relaxed), 0,
                  number};
}

void corodump_context_unbind_v1(const context_scope* scope) noexcept {
    if (scope->number == 0) return;
    if (scope->owner == nullptr) {
        std::atomic<bound_list*>* const list = thread_list();
        if (list == nullptr || corodump_thread_v1->tid != scope->thread) return;
        bound_list* const before = list->load(std::memory_order_relaxed);
        list->store(without_scope(before, scope->number), std::memory_order_release);
        return unshare(before);
    }
    // Not the one that runs where a suspended coroutine is destroyed.
    const record* const own = scope->owner;
    if (own->generation.load(std::memory_order_relaxed) != scope->generation) return;
    noted_context* const note = settled_note(own);
    if (note == nullptr) return;
    put(*note, without_scope(note->bound.load(std::memory_order_relaxed), scope->number),
        note->flags.load(std::memory_order_relaxed));
}

void corodump_starts_after_v1(record* own, void (**start)(void*), void** with) noexcept {
    if (!contexts_are_used() || own == &corodump_sink_v1.tracked || corodump_thread_v1->tid == 0)
        return;
    auto& thread = reinterpret_cast<thread_node*>(corodump_thread_v1)->context;
    const noted_context* const note = settled_note(own);
    if (note == nullptr) return;
    // One that was never called, where a coroutine was destroyed in between.
    unshare(
        std::exchange(thread.starter_to_be, share(note->bound.load(std::memory_order_relaxed))));
    thread.start = std::exchange(*start, start_for);
    thread.with = std::exchange(*with, &thread);
}

const void* corodump_context_find_v1(const void* variable) noexcept {
    const bound_value* const found = find_bound(current_bound(), variable);
    return found == nullptr ? nullptr : found->value;
}

void corodump_context_visit_v1(void (*visit)(void*, const context_text*), void* with) noexcept {
    visit_bound(current_bound(), [&](const bound_value& one) {
        char name[32], text[96];
        const std::string_view name_text = one.name.read(std::span(name));
        const std::string_view value_text = one.text.read(std::span(text));
        const std::uint32_t kind = one.kind.load(std::memory_order_relaxed);
        const context_text shown{one.variable.load(std::memory_order_relaxed),
                                 static_cast<corodump::detail::value_kind>(kind & 255U),
                                 (kind & bound_value::cut_text) != 0,
                                 static_cast<std::uint32_t>(name_text.size()),
                                 static_cast<std::uint32_t>(value_text.size()),
                                 name,
                                 text};
        visit(with, &shown);
    });
}
}
