#include "agent/sources/loops.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <span>
#include <string_view>

#include "agent/base/clock.hpp"

using corodump::detail::loop_slot;

namespace {
// Of threads that have no slot: its loop is none, so that nothing is written to it.
constinit loop_slot no_slot{.loop = ~std::uint64_t{0},
                            .began = 0,
                            .count = 0,
                            .mode = 0,
                            .thread = 0,
                            .wait_ns = 0,
                            .sum_ns = 0,
                            .longest_ns = 0,
                            .over_threshold = 0,
                            .stalled = 0,
                            .histogram = {}};
}  // namespace

extern "C" {
__thread loop_slot* corodump_loop_slot_v1 = &no_slot;
}

namespace corodump::sources {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr std::size_t slots_in_block = 128;
constexpr unsigned index_bits = 8;
constexpr std::uint32_t nested_step = detail::loop_nested_step;
static_assert(max_loops == 1U << index_bits);

loop_entry loops[max_loops];
std::atomic<slot_node*> blocks[max_slots / slots_in_block];
std::atomic<std::size_t> slots_made{0};
std::uint64_t loops_opened = 0;
std::atomic<std::uint64_t> default_threshold_ns{0};
/// The ticks around the watchdog's last absence, `to` in the high half.
std::atomic<std::uint64_t> clock_jump{0};
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_key_t thread_key;
pthread_once_t once = PTHREAD_ONCE_INIT;

class loops_lock {
public:
    loops_lock() noexcept { pthread_mutex_lock(&mutex); }
    ~loops_lock() { pthread_mutex_unlock(&mutex); }
    loops_lock(const loops_lock&) = delete;
    loops_lock& operator=(const loops_lock&) = delete;
};

void store_text(std::span<std::atomic<std::uint64_t>> to, std::string_view text) noexcept {
    text = text.substr(0, to.size() * 8 - 1);
    for (std::size_t i = 0; i < to.size(); ++i) {
        char bytes[8] = {};
        if (i * 8 < text.size())
            std::memcpy(bytes, text.data() + i * 8, std::min<std::size_t>(8, text.size() - i * 8));
        to[i].store(std::bit_cast<std::uint64_t>(bytes), relaxed);
    }
}

template <std::size_t Size>
base::fixed_string<Size> load_text(std::span<const std::atomic<std::uint64_t>> from,
                                   const loop_entry& loop, std::uint64_t id) noexcept {
    char bytes[Size + 1];
    for (std::size_t i = 0; i < from.size(); ++i) {
        const std::uint64_t word = from[i].load(std::memory_order_acquire);
        std::memcpy(bytes + i * 8, &word, sizeof word);
    }
    if (loop.id.load(relaxed) != id) return {};
    return base::fixed_string<Size>(std::string_view(bytes, strnlen(bytes, Size)));
}

slot_node* own_slots() noexcept {
    return static_cast<slot_node*>(pthread_getspecific(thread_key));
}

/// The thread is gone, and with it what it was inside of.
void free_of_thread(loop_slot& slot) noexcept {
    slot.began.store(0, relaxed);
    slot.wait_ns.store(0, relaxed);
    slot.mode.store(slot.mode.load(relaxed) & detail::loop_is_precise, relaxed);
    slot.thread.store(0, std::memory_order_release);
}

/// The thread has ended: its slots are free for others.
void detach(void* first) noexcept {
    corodump_loop_slot_v1 = &no_slot;
    const loops_lock lock;
    for (auto* node = static_cast<slot_node*>(first); node != nullptr;) {
        slot_node* const next = node->next_of_thread;
        node->next_of_thread = nullptr;
        free_of_thread(node->slot);
        node = next;
    }
}

void lock_for_fork() noexcept {
    pthread_mutex_lock(&mutex);
}
void unlock_after_fork() noexcept {
    pthread_mutex_unlock(&mutex);
}
/// The child has one thread: the others' callbacks never end here.
void repair_child() noexcept {
    pthread_mutex_unlock(&mutex);
    for (std::size_t i = 0; i < slot_count(); ++i) free_of_thread(slot_at(i).slot);
    const auto self = static_cast<std::int32_t>(syscall(SYS_gettid));
    for (slot_node* node = own_slots(); node != nullptr; node = node->next_of_thread)
        node->slot.thread.store(self, relaxed);
}

void prepare() noexcept {
    pthread_key_create(&thread_key, detach);
    pthread_atfork(lock_for_fork, unlock_after_fork, repair_child);
}

/// Under the lock; nullptr: no memory.
slot_node* new_slot() noexcept {
    const std::size_t made = slots_made.load(relaxed);
    if (made == max_slots) return nullptr;
    if (made % slots_in_block == 0) {
        void* const memory = mmap(nullptr, slots_in_block * sizeof(slot_node),
                                  PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return nullptr;
        auto* const nodes = static_cast<slot_node*>(memory);
        for (std::size_t i = 0; i < slots_in_block; ++i) {
            new (nodes + i) slot_node{};
            nodes[i].slot.loop.store(no_loop, relaxed);
        }
        blocks[made / slots_in_block].store(nodes, relaxed);
    }
    // Release: pairs with slot_count's acquire; who sees the count sees the block.
    slots_made.store(made + 1, std::memory_order_release);
    return &slot_at(made);
}

/// Of a thread that has ended: of this loop, whose counts go on, else one that is no loop's.
slot_node* free_slot(std::uint64_t loop) noexcept {
    slot_node* found = nullptr;
    for (std::size_t i = 0; i < slot_count(); ++i) {
        slot_node& node = slot_at(i);
        if (node.slot.thread.load(relaxed) != 0) continue;
        const std::uint64_t of = node.slot.loop.load(relaxed);
        if (of == loop) return &node;
        if (of == no_loop) found = &node;
    }
    return found;
}

void begin_counts(loop_slot& slot, const loop_entry& of, std::uint64_t loop) noexcept {
    if (slot.loop.load(relaxed) == loop) return;
    for (auto* const counter : {&slot.began, &slot.count, &slot.wait_ns, &slot.sum_ns,
                                &slot.longest_ns, &slot.over_threshold, &slot.stalled})
        counter->store(0, relaxed);
    for (auto& bucket : slot.histogram) bucket.store(0, relaxed);
    slot.mode.store(of.flags.load(relaxed) & detail::loop_is_precise, relaxed);
    slot.loop.store(loop, std::memory_order_release);
}

/// For this thread, which has none for the loop yet. Under the lock.
slot_node* take_slot(const loop_entry& of, std::uint64_t loop) noexcept {
    slot_node* own = own_slots();
    while (own != nullptr && own->slot.loop.load(relaxed) != no_loop) own = own->next_of_thread;
    if (own == nullptr) {
        own = free_slot(loop);
        if (own == nullptr) own = new_slot();
        if (own == nullptr) return nullptr;
        own->next_of_thread = own_slots();
        pthread_setspecific(thread_key, own);
    }
    begin_counts(own->slot, of, loop);
    own->slot.thread.store(static_cast<std::int32_t>(syscall(SYS_gettid)),
                           std::memory_order_release);
    return own;
}

std::uint64_t steps_between(std::uint64_t began, std::uint64_t now) noexcept {
    const auto from = static_cast<std::uint32_t>(began >> 32U);
    const auto to = static_cast<std::uint32_t>(now >> 32U);
    std::uint64_t steps = to - from;
    const std::uint64_t jump = clock_jump.load(relaxed);
    const auto jump_from = static_cast<std::uint32_t>(jump);
    const auto jump_to = static_cast<std::uint32_t>(jump >> 32U);
    const bool inside = jump_to != jump_from && from <= jump_from && to >= jump_to;
    if (inside) steps -= std::min<std::uint64_t>(steps, jump_to - jump_from - 1);
    return steps;
}

void add(std::atomic<std::uint64_t>& to, std::uint64_t more) noexcept {
    to.store(to.load(relaxed) + more, relaxed);  // one thread writes it
}

void count_long(loop_slot& slot, std::uint64_t duration_ns, std::uint64_t at_least_ns,
                unsigned bucket) noexcept {
    add(slot.sum_ns, duration_ns);
    if (duration_ns > slot.longest_ns.load(relaxed)) slot.longest_ns.store(duration_ns, relaxed);
    add(slot.histogram[bucket], 1);
    const bool seen = slot.stalled.load(relaxed) == slot.count.load(relaxed) + 1;
    const loop_entry* const loop = find_loop(slot.loop.load(relaxed));
    const std::uint64_t threshold = loop == nullptr ? 0 : threshold_of(*loop);
    if (seen || (threshold != 0 && at_least_ns >= threshold)) add(slot.over_threshold, 1);
}

void end_wait(loop_slot& slot) noexcept {
    slot.began.store(0, relaxed);
    slot.wait_ns.store(0, std::memory_order_release);
}

}  // namespace

unsigned bucket_of(std::uint64_t duration_ns) noexcept {
    return std::min(static_cast<unsigned>(std::bit_width(duration_ns / 15'625)),
                    loop_slot::histogram_size - 1);
}

loop_entry& loop_at(std::size_t index) noexcept {
    return loops[index];
}

loop_entry* find_loop(std::uint64_t id) noexcept {
    if (id == 0 || id == no_loop) return nullptr;
    loop_entry& found = loops[id & (max_loops - 1)];
    return found.id.load(std::memory_order_acquire) == id ? &found : nullptr;
}

base::fixed_string<loop_entry::max_name> name_of_loop(const loop_entry& loop,
                                                      std::uint64_t id) noexcept {
    return load_text<loop_entry::max_name>(loop.name, loop, id);
}
base::fixed_string<loop_entry::max_kind> kind_of_loop(const loop_entry& loop,
                                                      std::uint64_t id) noexcept {
    return load_text<loop_entry::max_kind>(loop.kind, loop, id);
}

std::size_t slot_count() noexcept {
    return slots_made.load(std::memory_order_acquire);
}
slot_node& slot_at(std::size_t index) noexcept {
    return blocks[index / slots_in_block].load(relaxed)[index % slots_in_block];
}

void note_clock_jump(std::uint32_t from_tick, std::uint32_t to_tick) noexcept {
    clock_jump.store(std::uint64_t{to_tick} << 32U | from_tick, relaxed);
}
void set_default_threshold(std::uint64_t ns) noexcept {
    default_threshold_ns.store(ns, relaxed);
}
std::uint64_t threshold_of(const loop_entry& loop) noexcept {
    const std::uint64_t general = default_threshold_ns.load(relaxed);
    const std::uint64_t own = loop.threshold_ns.load(relaxed);
    return general == 0 || own == 0 ? general : own;
}

void begin_callback(loop_slot& slot) noexcept {
    const std::uint32_t mode = slot.mode.load(relaxed);
    const bool waited = slot.wait_ns.load(relaxed) != 0;
    if (slot.began.load(relaxed) != 0 && !waited)
        return slot.mode.store(mode + nested_step, relaxed);
    if (waited) end_wait(slot);
    const bool precise = (mode & detail::loop_is_precise) != 0;
    const std::uint64_t now = precise ? static_cast<std::uint64_t>(base::monotonic_ns())
                                      : corodump_clock_v1.load(relaxed);
    slot.began.store(now, std::memory_order_release);
}

void end_callback(loop_slot& slot) noexcept {
    const std::uint32_t mode = slot.mode.load(relaxed);
    if (mode >= nested_step) return slot.mode.store(mode - nested_step, relaxed);
    const std::uint64_t began = slot.began.load(relaxed);
    if (began == 0) return;  // an end without its begin
    if ((mode & detail::loop_is_precise) != 0) {
        const std::uint64_t ns = static_cast<std::uint64_t>(base::monotonic_ns()) - began;
        count_long(slot, ns, ns, bucket_of(ns));
    } else if (const auto steps = steps_between(began, corodump_clock_v1.load(relaxed))) {
        constexpr auto step_ns = static_cast<std::uint64_t>(loop_tick_ns);
        // Of n steps seen, the callback lasted between n - 1 and n + 1.
        count_long(slot, steps * step_ns, (steps - 1) * step_ns, bucket_of(steps * step_ns));
    }
    slot.count.store(slot.count.load(relaxed) + 1, relaxed);
    slot.began.store(0, std::memory_order_release);
}

}  // namespace corodump::sources

using namespace corodump::sources;  // NOLINT(google-build-using-namespace): the C entry points
                                    // below

extern "C" {

std::uint64_t corodump_loop_open_v1(const char* name, std::size_t name_bytes, const char* kind,
                                    std::size_t kind_bytes, std::uint64_t threshold_ns,
                                    std::uint32_t flags) noexcept {
    pthread_once(&once, prepare);
    const loops_lock lock;
    for (std::size_t i = 0; i < max_loops; ++i) {
        loop_entry& made = loops[i];
        if (made.id.load(relaxed) != 0) continue;
        store_text(made.name, {name, name_bytes});
        store_text(made.kind, {kind, kind_bytes});
        made.threshold_ns.store(threshold_ns, relaxed);
        made.flags.store(flags, relaxed);
        for (auto* const counter :
             {&made.beats, &made.last_delay_ns, &made.longest_delay_ns, &made.queued})
            counter->store(0, relaxed);
        made.next_beat_ns.store(0, relaxed);
        made.beat_thread.store(0, relaxed);
        const std::uint64_t id = ++loops_opened << index_bits | i;
        made.id.store(id, std::memory_order_release);  // pairs with find_loop
        return id;
    }
    return 0;
}

void corodump_loop_close_v1(std::uint64_t id) noexcept {
    const loops_lock lock;
    loop_entry* const loop = find_loop(id);
    if (loop == nullptr) return;
    loop->id.store(0, std::memory_order_release);
    for (std::size_t i = 0; i < slot_count(); ++i) {
        loop_slot& slot = slot_at(i).slot;
        if (slot.loop.load(relaxed) == id) slot.loop.store(no_loop, std::memory_order_release);
    }
}

loop_slot* corodump_loop_attach_v1(std::uint64_t id) noexcept {
    pthread_once(&once, prepare);
    const loop_entry* const loop = find_loop(id);
    if (loop == nullptr) return nullptr;
    slot_node* node = own_slots();
    while (node != nullptr && node->slot.loop.load(relaxed) != id) node = node->next_of_thread;
    if (node == nullptr) {
        const loops_lock lock;
        node = take_slot(*loop, id);
        if (node == nullptr) return nullptr;
    }
    corodump_loop_slot_v1 = &node->slot;
    return &node->slot;
}

void corodump_loop_begin_v1(loop_slot* slot) noexcept {
    begin_callback(*slot);
}
void corodump_loop_end_v1(loop_slot* slot) noexcept {
    end_callback(*slot);
}

void corodump_loop_turn_begin_v1(loop_slot* slot, std::uint64_t wait_ns) noexcept {
    // Inside of a callback: that one counts.
    if (slot->began.load(relaxed) != 0) return begin_callback(*slot);
    slot->wait_ns.store(wait_ns == 0 ? 1 : wait_ns, relaxed);
    // Release: who sees that it began sees that it waits.
    slot->began.store(static_cast<std::uint64_t>(corodump::base::monotonic_ns()),
                      std::memory_order_release);
}

void corodump_loop_turn_end_v1(loop_slot* slot, int ran) noexcept {
    const std::uint64_t wait_ns = slot->wait_ns.load(relaxed);
    if (wait_ns == 0) {
        // A callback within has ended the wait, and counts itself; or the turn is itself within.
        if (slot->mode.load(relaxed) >= nested_step) end_callback(*slot);
        return;
    }
    const auto took =
        static_cast<std::uint64_t>(corodump::base::monotonic_ns()) - slot->began.load(relaxed);
    if (ran != 0) {
        if (took > wait_ns)
            count_long(*slot, took - wait_ns, took - wait_ns, bucket_of(took - wait_ns));
        slot->count.store(slot->count.load(relaxed) + 1, relaxed);
    }
    end_wait(*slot);
}

void corodump_loop_beat_v1(std::uint64_t id, std::uint64_t delay_ns,
                           std::uint64_t next_ns) noexcept {
    loop_entry* const loop = find_loop(id);
    if (loop == nullptr) return;
    const auto next = static_cast<std::int64_t>(next_ns);
    loop->last_delay_ns.store(delay_ns, relaxed);
    if (delay_ns > loop->longest_delay_ns.load(relaxed))
        loop->longest_delay_ns.store(delay_ns, relaxed);
    loop->beat_thread.store(static_cast<std::int32_t>(syscall(SYS_gettid)), relaxed);
    loop->next_beat_ns.store(next == 0 ? 0 : corodump::base::monotonic_ns() + next, relaxed);
    loop->beats.fetch_add(1, std::memory_order_release);  // pairs with the watch's acquire
}

void corodump_loop_queued_v1(std::uint64_t id, std::uint64_t queued) noexcept {
    loop_entry* const loop = find_loop(id);
    if (loop != nullptr) loop->queued.store(queued + 1, relaxed);
}
}
