#include "agent/sources/failures.hpp"

#include <corodump/failures.hpp>

#include <algorithm>
#include <cstring>

#include "agent/base/clock.hpp"
#include "agent/base/safe_copy.hpp"
#include "agent/sources/contexts.hpp"
#include "agent/sources/descriptions.hpp"
#include "agent/sources/exception_references.hpp"
#include "agent/sources/record_frame.hpp"
#include "agent/sources/sides.hpp"
#include "agent/sources/throw_stacks.hpp"

namespace corodump::sources {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;

constinit failure_ring ring;
failure_slot slots[failure_ring::capacity];
std::atomic<bool> wanted{false};
std::atomic<std::uint64_t> lost_count{0};  ///< lost so far
std::atomic<std::uint64_t> told_count{0};  ///< of these, told or overwritten; the watchdog's

std::atomic<corodump_unobserved_handler_v1> user_handler{nullptr};
std::atomic<void*> user_context{nullptr};

// Cancelled operations are no failures. Their exceptions are known for as long as it takes to get
// to the library's entry, by address.
std::atomic<const void*> cancellations[256];

template <std::size_t N>
void set_text(char (&to)[N], std::string_view from) noexcept {
    const std::size_t bytes = std::min(from.size(), N - 1);
    if (bytes != 0) std::memcpy(to, from.data(), bytes);
    to[bytes] = '\0';
}

std::size_t place_of_exception(const void* exception) noexcept {
    return (reinterpret_cast<std::uintptr_t>(exception) >> 4U) * 0x9e3779b97f4a7c15U >> 56U;
}

bool is(const std::atomic<const detail::record*>& record,
        const std::atomic<std::uint32_t>& generation, const detail::record* own,
        std::uint32_t now) noexcept {
    return record.load(acquire) == own && generation.load(relaxed) == now;
}

std::uint32_t generation_of(const detail::record* own) noexcept {
    return own->generation.load(relaxed);
}

/// Newest first, since it has just happened.
template <class Wanted>
std::uint64_t find(Wanted is_wanted) noexcept {
    const std::uint64_t first = ring.first();
    for (std::uint64_t number = ring.total(); number > first; --number)
        if (is_wanted(slots[(number - 1) % failure_ring::capacity])) return number - 1;
    return failure_ring::no_number;
}

failure_slot& slot_of(std::uint64_t number) noexcept {
    return slots[number % failure_ring::capacity];
}

/// The failure that the coroutine has.
std::uint64_t held_by(const detail::record* own, std::uint32_t generation) noexcept {
    return find([&](const failure_slot& at) {
        return is(at.holder, at.holder_generation, own, generation);
    });
}

/// The failure that reached this coroutine before it failed with the same exception.
std::uint64_t passing_through(const detail::record* own, const void* exception,
                              std::uint64_t identity) noexcept {
    return find([&](const failure_slot& at) {
        return at.exception.load(acquire) == exception && at.identity.load(relaxed) == identity &&
               is(at.observer, at.observer_generation, own, generation_of(own));
    });
}

std::uint64_t identity_of(const detail::failure& what) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char* text : {what.type_name, what.message})
        for (; text != nullptr && *text != '\0'; ++text)
            hash = (hash ^ static_cast<unsigned char>(*text)) * 0x100000001b3U;
    return hash;
}

/// The coroutine that resumed the one that runs on this thread; nullptr: plain code did.
const detail::record* resumer() noexcept {
    const detail::thread_state* const thread = corodump_thread_v1;
    const std::uint32_t depth = thread->depth.load(relaxed);
    return (thread->running.load(relaxed) & 1U) == 0 || depth == 0
               ? nullptr
               : thread->outer[depth - 1].load(relaxed);
}

/// For its end; the coroutine runs on this thread.
void note_outcome(detail::record* own, std::uint32_t bit) noexcept {
    if (detail::side_record* const side = side_of(own)) side->cancelled.fetch_or(bit, relaxed);
}

/// Context variables are labels where there is room, and none of their name.
void take_bound(failure_facts& to) noexcept {
    visit_bound(current_bound(), [&to](const bound_value& one) {
        char name[32], text[96];
        const std::string_view known = one.name.read(std::span(name));
        for (std::uint32_t i = 0; i < to.label_count; ++i)
            if (known == to.labels[i].name) return;
        if (to.label_count == failure_facts::max_labels) return;
        set_text(to.labels[to.label_count].name, known);
        set_text(to.labels[to.label_count++].value, one.text.read(std::span(text)));
    });
}

void take_names(std::span<const walked_frame> chain, failure_facts& to) noexcept {
    char buffer[sizeof(detail::side_record)];
    // Outermost first: the task's own name counts; inner labels count more than outer ones.
    for (std::size_t i = chain.size(); i-- > 0;) {
        const side_facts side = read_side(chain[i].side, chain[i].generation, buffer);
        if (to.name[0] == '\0') set_text(to.name, side.name);
        for (std::uint32_t l = 0; l < side.label_count; ++l) {
            std::uint32_t at = 0;
            while (at < to.label_count && side.labels[l].name != to.labels[at].name) ++at;
            if (at == failure_facts::max_labels) continue;
            set_text(to.labels[at].name, side.labels[l].name);
            set_text(to.labels[at].value, side.labels[l].value);
            if (at == to.label_count) ++to.label_count;
        }
    }
    take_bound(to);
}

void take_chain(std::span<const walked_frame> chain, failure_facts& to) noexcept {
    to.chain_length = static_cast<std::uint32_t>(chain.size());
    for (std::size_t i = 0; i < chain.size(); ++i) {
        to.chain[i] = {chain[i].site, chain[i].definition};
        if ((chain[i].flags & detail::promise_is_library) != 0) to.library |= std::uint64_t{1} << i;
    }
    if (chain.empty()) return;
    to.task_address = chain.back().address;
    to.task_generation = chain.back().generation;
}

/// Too large for a small stack's frame beside what else is there.
[[gnu::noinline]] void record_failure(std::uint64_t number, std::span<const walked_frame> chain,
                                      const detail::failure& what) noexcept {
    failure_facts facts{};
    facts.time_unix_ns = base::realtime_ns();
    facts.throw_stack = stack_of_throw(what.exception);
    if (what.type_name != nullptr) set_text(facts.type, what.type_name);
    facts.has_message = what.message != nullptr ? 1 : 0;
    if (what.message != nullptr)
        set_text(facts.message, {what.message, strnlen(what.message, sizeof facts.message)});
    take_chain(chain, facts);
    take_names(chain, facts);
    ring.finish(number, facts);
}

void hold(failure_slot& at, const detail::record* own, bool awaited) noexcept {
    at.awaited.store(awaited, relaxed);
    at.observer.store(nullptr, relaxed);
    at.holder_generation.store(generation_of(own), relaxed);
    at.holder.store(own, release);
}

void fail(detail::record* own, const detail::failure& what) noexcept {
    walked_frame chain[max_awaiters];
    const std::size_t length = walk_up(own, chain);
    const bool is_entry = length != 0 && (chain[0].flags & detail::promise_is_entry) != 0;
    const std::uint64_t identity = identity_of(what);
    const void* other = what.exception;  // an earlier one's, at the same address
    cancellations[place_of_exception(other)].compare_exchange_strong(other, nullptr);
    std::uint64_t number = passing_through(own, what.exception, identity);
    if (number == failure_ring::no_number) {
        number = ring.begin();
        if (number == failure_ring::no_number) return;
        failure_slot& at = slot_of(number);
        at.holder.store(nullptr, relaxed);
        at.identity.store(identity, relaxed);
        at.exception.store(what.exception, release);
        record_failure(number, {chain, length}, what);
    }
    failure_slot& at = slot_of(number);
    hold(at, own, length > 1);
    at.references.store(exception_references(what.exception), relaxed);
    // A library throws on what leaves its entry, to the caller of its run().
    at.state.store(is_entry ? failure_state::observed : failure_state::open, release);
    // Its end then tells of itself. Where memory is out, nobody will know.
    static_cast<void>(side_of(own));
}

void call_user(const failure_facts& what) noexcept {
    const corodump_unobserved_handler_v1 handler = user_handler.load(acquire);
    if (handler == nullptr) return;
    char function[512] = "";
    char file[512] = "";
    detail::site_data place{};
    corodump_unobserved_v1 told{};
    const std::uint64_t key = what.chain_length == 0 ? 0 : what.chain[0].site;
    if ((key & model::code_key) == 0 && key != 0 && base::safe_read(place, key)) {
        const auto take = [](char(&to)[512], const char* from) {
            const std::size_t bytes =
                base::safe_copy(to, reinterpret_cast<std::uint64_t>(from), sizeof to - 1);
            to[bytes] = '\0';
        };
        take(function, place.function);
        take(file, place.file);
        told.line = place.line;
    }
    told.size_bytes = sizeof told;
    told.type_name = what.type;
    told.message = what.message;
    told.task_name = what.name;
    told.function = function;
    told.file = file;
    told.task_address = what.task_address;
    told.task_generation = what.task_generation;
    handler(&told, user_context.load(relaxed));
}

/// Seen in flight is not seen in the end: an awaiter may destroy its coroutine on the way.
bool may_be_lost(failure_state state) noexcept {
    return state == failure_state::open || state == failure_state::observed;
}

[[gnu::noinline]] void lose(std::uint64_t number) noexcept {
    failure_state expected = state_of_failure(number);
    if (!may_be_lost(expected) || !slot_of(number).state.compare_exchange_strong(
                                      expected, failure_state::lost, std::memory_order_acq_rel))
        return;
    slot_of(number).holder.store(nullptr, relaxed);
    lost_count.fetch_add(1, release);
    failure_facts facts;
    if (user_handler.load(acquire) != nullptr && ring.read(number, facts)) call_user(facts);
}

std::uint16_t flags_of(const detail::record* own) noexcept {
    const detail::promise_info* const promise = own->promise.load(relaxed);
    return promise == nullptr ? std::uint16_t{0} : promise->flags;
}

/// A library's entry got it, for a completion handler.
void reach_entry(std::uint64_t number, detail::record* entry) noexcept {
    note_outcome(entry, side_task_failed);
    if ((flags_of(entry) & detail::promise_drops_failure) != 0) return lose(number);
    slot_of(number).state.store(failure_state::observed, release);
}

void observe(detail::record* by, const void* exception) noexcept {
    const std::uint64_t number = find([&](const failure_slot& at) {
        return at.exception.load(acquire) == exception && may_be_lost(at.state.load(acquire));
    });
    if (number == failure_ring::no_number) return;
    failure_slot& at = slot_of(number);
    if (by != nullptr && (flags_of(by) & detail::promise_is_entry) != 0)
        return reach_entry(number, by);
    if (by != nullptr && at.holder.load(acquire) == by) by = const_cast<detail::record*>(resumer());
    at.observer_generation.store(by != nullptr ? generation_of(by) : 0, relaxed);
    at.observer.store(by, release);
    at.state.store(failure_state::observed, release);
}

bool is_cancellation(const void* exception) noexcept {
    return cancellations[place_of_exception(exception)].load(relaxed) == exception;
}

}  // namespace

const failure_ring& failures() noexcept {
    return ring;
}

failure_state state_of_failure(std::uint64_t number) noexcept {
    return slot_of(number).state.load(acquire);
}

void note_failures(bool on) noexcept {
    wanted.store(on, release);
}

std::uint64_t tell_lost_failures(tell_failure tell, std::uint64_t limit) noexcept {
    const std::uint64_t lost = lost_count.load(acquire);
    if (lost == told_count.load(relaxed)) return 0;
    std::uint64_t told = 0;
    std::uint64_t more = 0;
    for (std::uint64_t number = ring.first(); number < ring.total(); ++number) {
        failure_state expected = failure_state::lost;
        if (state_of_failure(number) != expected) continue;
        if (told == limit) {
            ++more;
            continue;
        }
        static failure_facts facts;  // the watchdog's; not for its stack
        if (!ring.read(number, facts)) continue;
        if (!slot_of(number).state.compare_exchange_strong(expected, failure_state::told,
                                                           std::memory_order_acq_rel))
            continue;
        tell(facts);
        ++told;
    }
    if (more == 0) told_count.store(lost, relaxed);
    return more;
}

}  // namespace corodump::sources

using namespace corodump::sources;  // NOLINT(google-build-using-namespace): the C entry points
                                    // below
using corodump::detail::failure;
using corodump::detail::record;

extern "C" {

void corodump_failed_v1(record* own, const failure* what) noexcept {
    if (!wanted.load(std::memory_order_acquire) || is_sink(own)) return;
    if ((what->flags & corodump::detail::failure_is_cancellation) == 0) return fail(own, *what);
    cancellations[place_of_exception(what->exception)].store(what->exception, relaxed);
    note_outcome(own, side_task_cancelled);
}

/// Whoever takes the exception refers to it: the promise, or what the promise hands it to.
void corodump_stored_v1(record* own) noexcept {
    if (!wanted.load(std::memory_order_acquire)) return;
    const std::uint64_t number = held_by(own, generation_of(own));
    if (number == failure_ring::no_number) return;
    failure_slot& at = slot_of(number);
    const void* const exception = at.exception.load(std::memory_order_acquire);
    const std::uint32_t before = at.references.load(relaxed);
    if (before == 0 || exception_references(exception) <= before) return;
    if (!promise_holds(own, reinterpret_cast<std::uint64_t>(exception)))
        at.state.store(failure_state::observed, std::memory_order_release);
}

void corodump_observed_v1(record* by, const void* exception) noexcept {
    if (!wanted.load(std::memory_order_acquire) || exception == nullptr) return;
    if (by != nullptr && (flags_of(by) & corodump::detail::promise_is_entry) != 0 &&
        is_cancellation(exception))
        return note_outcome(by, side_task_cancelled);
    if (ring.total() != 0) observe(by, exception);
}

void corodump_lost_v1(record* own, int unwinding, const void* handled) noexcept {
    if (ring.total() == 0) return;
    const std::uint64_t number = held_by(own, generation_of(own) - 1);
    if (number == failure_ring::no_number) return;
    failure_slot& at = slot_of(number);
    if (state_of_failure(number) != failure_state::open) return;
    const bool seen =
        unwinding > 0 || at.awaited.load(relaxed) ||
        (handled != nullptr && handled == at.exception.load(std::memory_order_acquire));
    if (!seen) return lose(number);
    failure_state expected = failure_state::open;
    at.state.compare_exchange_strong(expected, failure_state::observed, std::memory_order_acq_rel);
}

void corodump_on_unobserved_v1(corodump_unobserved_handler_v1 handler, void* context) noexcept {
    user_context.store(context, relaxed);
    user_handler.store(handler, std::memory_order_release);
}
}
