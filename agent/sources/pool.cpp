#include "agent/sources/pool.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "agent/sources/births.hpp"
#include "agent/sources/contexts.hpp"
#include "agent/sources/listeners.hpp"
#include "agent/sources/profile.hpp"

using corodump::detail::free_list;
using corodump::detail::layout_version;
using corodump::detail::record;
using corodump::detail::side_record;
using corodump::detail::size_classes;
using corodump::detail::slab_bytes;
using corodump::detail::slab_header;
using corodump::detail::slab_header_bytes;
using corodump::detail::slab_kind;
using corodump::detail::slab_magic;
using corodump::detail::slot;
using corodump::detail::thread_state;

extern "C" {
std::atomic<std::uint64_t> corodump_clock_v1{1};
std::atomic<std::uint32_t> corodump_switches_v1{0};
slot corodump_sink_v1{};
const corodump::detail::site_data corodump_unnamed_v1{"", "", 0, 0};
}

namespace {
// Shared by all threads without a state, and never written: its lists are empty and may hold
// nothing, and it seems to be inside of a coroutine, so that entering one takes the slow path.
constinit thread_state empty_state{.running = 1,
                                   .depth = 1,
                                   .tid = 0,
                                   .last_frame = nullptr,
                                   .last_frame_bytes = 0,
                                   .outer = {},
                                   .lists = {}};
}  // namespace

extern "C" {
__thread thread_state* corodump_thread_v1 = &empty_state;
}

namespace corodump::sources {
namespace {

constexpr std::size_t slot_class = size_classes;
constexpr std::size_t side_class = size_classes + 1;
constexpr std::size_t all_classes = size_classes + 2;

/// The slow paths' lock. The watchdog never takes it.
class pool_lock {
public:
    pool_lock() noexcept { pthread_mutex_lock(&mutex); }
    ~pool_lock() { pthread_mutex_unlock(&mutex); }
    pool_lock(const pool_lock&) = delete;
    pool_lock& operator=(const pool_lock&) = delete;

    static pthread_mutex_t mutex;
};
pthread_mutex_t pool_lock::mutex = PTHREAD_MUTEX_INITIALIZER;

struct size_class {
    slab_header* partial;  ///< slabs with free or uncarved objects
    slab_header* spare;    ///< one empty slab kept, so that a single frame does not thrash
};

// Static, zero until used: pages nobody touched cost nothing.
size_class classes[all_classes];
std::atomic<std::uintptr_t> chunks[max_chunks];
std::atomic<std::size_t> chunks_used{0};
constexpr std::size_t hash_places = 2 * max_chunks;
std::atomic<std::uint32_t> chunk_hash[hash_places];  ///< index + 1; 0: empty
std::uintptr_t next_slab = 0;
std::uintptr_t end_slab = 0;
std::atomic<thread_node*> threads{nullptr};
pthread_key_t thread_key;
pthread_once_t once = PTHREAD_ONCE_INIT;
std::atomic<void (*)() noexcept> slow_path_hook{nullptr};
std::atomic<std::uint64_t> counted_loop{0};
bool bypass = false;  ///< frames come from malloc: memcheck must see each of them

std::size_t hash_of(std::uintptr_t chunk) noexcept {
    return (chunk / chunk_bytes * 0x9E3779B97F4A7C15ULL) >> 40U & (hash_places - 1);
}

void remember_chunk(std::uintptr_t chunk) noexcept {
    const std::size_t index = chunks_used.load(std::memory_order_relaxed);
    chunks[index].store(chunk, std::memory_order_relaxed);
    // Release: pairs with chunk_count's acquire; who sees the count sees the chunk.
    chunks_used.store(index + 1, std::memory_order_release);
    std::size_t at = hash_of(chunk);
    while (chunk_hash[at].load(std::memory_order_relaxed) != 0) at = (at + 1) & (hash_places - 1);
    chunk_hash[at].store(static_cast<std::uint32_t>(index + 1), std::memory_order_release);
}

bool map_chunk() noexcept {
    if (chunks_used.load(std::memory_order_relaxed) == max_chunks) return false;
    void* const mapped = mmap(nullptr, 2 * chunk_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return false;
    // Alignment: what sticks out of one aligned chunk goes back.
    const auto start = reinterpret_cast<std::uintptr_t>(mapped);
    const std::uintptr_t chunk = (start + chunk_bytes - 1) & ~(chunk_bytes - 1);
    if (chunk != start) munmap(mapped, chunk - start);
    munmap(reinterpret_cast<void*>(chunk + chunk_bytes), start + chunk_bytes - chunk);
    next_slab = chunk;
    end_slab = chunk + chunk_bytes;
    remember_chunk(chunk);
    return true;
}

std::uint32_t object_bytes_of(std::size_t index) noexcept {
    if (index == slot_class) return sizeof(slot);
    if (index == side_class) return (sizeof(side_record) + 15) / 16 * 16;
    return static_cast<std::uint32_t>(detail::bytes_of_class(index));
}

slab_kind kind_of_class(std::size_t index) noexcept {
    if (index == slot_class) return slab_kind::slots;
    return index == side_class ? slab_kind::sides : slab_kind::frames;
}

slab_header* make_slab(std::size_t index) noexcept {
    if (next_slab == end_slab && !map_chunk()) return nullptr;
    // Fresh memory is zero; the magic is not written here, since the watchdog may be looking at it.
    auto* const slab = reinterpret_cast<slab_header*>(next_slab);
    next_slab += slab_bytes;
    slab->version = layout_version;
    slab->kind = kind_of_class(index);
    slab->object_bytes = object_bytes_of(index);
    slab->capacity =
        static_cast<std::uint32_t>((slab_bytes - slab_header_bytes) / slab->object_bytes);
    slab->class_index = static_cast<std::uint32_t>(index);
    // The magic last: a slab without it is not looked at.
    std::atomic_ref<std::uint32_t>(slab->magic).store(slab_magic, std::memory_order_release);
    return slab;
}

char* object_at(slab_header* slab, std::uint32_t index) noexcept {
    return reinterpret_cast<char*>(slab) + slab_header_bytes +
           static_cast<std::size_t>(index) * slab->object_bytes;
}

/// The word that links free objects: in a record the site, in a side record its definition.
std::atomic<const void*>& link_of(const slab_header* slab, void* object) noexcept {
    return slab->kind == slab_kind::sides ? static_cast<side_record*>(object)->definition
                                          : static_cast<record*>(object)->site;
}

void unlink_slab(slab_header* slab) noexcept {
    size_class& of = classes[slab->class_index];
    (slab->previous != nullptr ? slab->previous->next : of.partial) = slab->next;
    if (slab->next != nullptr) slab->next->previous = slab->previous;
    slab->next = slab->previous = nullptr;
}

void link_slab(slab_header* slab) noexcept {
    size_class& of = classes[slab->class_index];
    slab->previous = nullptr;
    slab->next = of.partial;
    if (of.partial != nullptr) of.partial->previous = slab;
    of.partial = slab;
}

/// An object never used since its slab was empty: its generation begins where the last use ended.
void* carve(slab_header* slab) noexcept {
    const std::uint32_t index = slab->carved.load(std::memory_order_relaxed);
    void* const object = object_at(slab, index);
    if (slab->kind != slab_kind::sides)
        static_cast<record*>(object)->generation.store(slab->first_generation,
                                                       std::memory_order_relaxed);
    slab->carved.store(index + 1, std::memory_order_release);
    return object;
}

/// One object of the class; nullptr when memory is out. Under the lock.
void* take(std::size_t index) noexcept {
    size_class& of = classes[index];
    slab_header* slab = of.partial;
    if (slab == nullptr) {
        slab = make_slab(index);
        if (slab == nullptr) return nullptr;
        link_slab(slab);
    }
    if (slab == of.spare) of.spare = nullptr;
    void* object = slab->free_objects;
    if (object != nullptr) {
        slab->free_objects =
            const_cast<void*>(link_of(slab, object).load(std::memory_order_relaxed));
        --slab->free_count;
    } else {
        object = carve(slab);
    }
    if (slab->free_objects == nullptr &&
        slab->carved.load(std::memory_order_relaxed) == slab->capacity)
        unlink_slab(slab);
    return object;
}

/// Gives an empty slab's pages back, all but the header's. Generations go on from their maximum, so
/// that no later frame gets the id of an earlier one.
void empty_slab(slab_header* slab) noexcept {
    if (slab->kind != slab_kind::sides) {
        std::uint32_t highest = slab->first_generation;
        for (std::uint32_t i = 0; i < slab->carved.load(std::memory_order_relaxed); ++i) {
            const auto generation = reinterpret_cast<record*>(object_at(slab, i))
                                        ->generation.load(std::memory_order_relaxed);
            if (static_cast<std::int32_t>(generation - highest) > 0) highest = generation;
        }
        slab->first_generation = (highest + 1U) & ~1U;
    }
    slab->carved.store(0, std::memory_order_release);
    slab->free_objects = nullptr;
    slab->free_count = 0;
    constexpr std::size_t page = 4096;
    madvise(reinterpret_cast<char*>(slab) + page, slab_bytes - page, MADV_DONTNEED);
    trim_births(*slab);
    trim_contexts(*slab);
    trim_profile(*slab);
}

/// Gives an object back. Under the lock.
void give(void* object) noexcept {
    auto* const slab = reinterpret_cast<slab_header*>(reinterpret_cast<std::uintptr_t>(object) &
                                                      ~(slab_bytes - 1));
    const bool was_full = slab->free_objects == nullptr &&
                          slab->carved.load(std::memory_order_relaxed) == slab->capacity;
    link_of(slab, object).store(slab->free_objects, std::memory_order_relaxed);
    slab->free_objects = object;
    ++slab->free_count;
    if (was_full) link_slab(slab);
    if (slab->free_count != slab->carved.load(std::memory_order_relaxed)) return;
    size_class& of = classes[slab->class_index];
    if (of.spare == nullptr)
        of.spare = slab;
    else if (of.spare != slab)
        empty_slab(slab);
}

/// How many objects move at a time: some 8 KiB of them.
std::uint32_t batch_of(std::size_t index) noexcept {
    const std::size_t fit = 8192 / detail::bytes_of_class(index == 0 ? 1 : index);
    return static_cast<std::uint32_t>(fit < 4 ? 4 : fit > 64 ? 64 : fit);
}

void flush(thread_state& thread, std::size_t index, std::uint32_t keep) noexcept {
    free_list& list = thread.lists[index];
    while (list.count > keep) {
        record* const object = list.head;
        list.head =
            static_cast<record*>(const_cast<void*>(object->site.load(std::memory_order_relaxed)));
        --list.count;
        give(object);
    }
}

void detach(void* held) noexcept {
    auto* const node = static_cast<thread_node*>(held);
    end_thread_context(node->context);  // runs code of the service's: before all else
    corodump_thread_v1 = &empty_state;
    const pool_lock lock;
    for (std::size_t i = 0; i < size_classes; ++i) flush(node->state, i, 0);
    node->state.running.store(0, std::memory_order_relaxed);
    node->state.depth.store(0, std::memory_order_relaxed);
    forget_profile(node->profile);
    node->in_use = false;
}

void lock_for_fork() noexcept {
    hold_profile();
    pthread_mutex_lock(&pool_lock::mutex);
}
void unlock_after_fork() noexcept {
    pthread_mutex_unlock(&pool_lock::mutex);
    release_profile();
}
/// Atomic: the watchdog may be reading the state's former tid (thread_states.cpp).
void note_tid(thread_state& of) noexcept {
    const auto tid = static_cast<std::uint32_t>(syscall(SYS_gettid));
    std::atomic_ref<std::uint32_t>(of.tid).store(tid, std::memory_order_relaxed);
}

void repair_child() noexcept {
    unlock_after_fork();
    if (corodump_thread_v1 != &empty_state) note_tid(*corodump_thread_v1);
    for (thread_node* node = threads.load(std::memory_order_relaxed); node != nullptr;
         node = node->next)
        if (&node->state != corodump_thread_v1) forget_profile(node->profile);
}

void prepare() noexcept {
    pthread_key_create(&thread_key, detach);
    pthread_atfork(lock_for_fork, unlock_after_fork, repair_child);
    const char* const preloaded = std::getenv("LD_PRELOAD");
    bypass = preloaded != nullptr && std::strstr(preloaded, "vgpreload_memcheck") != nullptr;
}

thread_node* free_node() noexcept {
    for (thread_node* node = threads.load(std::memory_order_relaxed); node != nullptr;
         node = node->next)
        if (!node->in_use) return node;
    void* const memory = mmap(nullptr, sizeof(thread_node), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    auto* const node = new (memory) thread_node{};
    node->next = threads.load(std::memory_order_relaxed);
    threads.store(node, std::memory_order_release);
    return node;
}

/// What `running` is where the thread is inside of none: 1 sends it to the slow path.
std::uintptr_t idle() noexcept {
    return runs_are_heard() ? 1 : 0;
}

void note_run(void (*what)(detail::loop_slot&) noexcept) noexcept {
    const std::uint64_t loop = counted_loop.load(std::memory_order_relaxed);
    if (loop == 0) return;
    detail::loop_slot* slot = corodump_loop_slot_v1;
    if (slot->loop.load(std::memory_order_relaxed) != loop) slot = corodump_loop_attach_v1(loop);
    if (slot != nullptr) what(*slot);
}

/// A thread's node begins with its state.
thread_node& node_of(thread_state& of) noexcept {
    return reinterpret_cast<thread_node&>(of);
}

void note_switch(thread_state& of) noexcept {
    auto& count = node_of(of).switches;
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

/// This thread's state, made on first use; nullptr when memory is out.
thread_state* attach() noexcept {
    if (corodump_thread_v1 != &empty_state) return corodump_thread_v1;
    pthread_once(&once, prepare);
    thread_node* node = nullptr;
    {
        const pool_lock lock;
        node = free_node();
        if (node == nullptr) return nullptr;
        node->in_use = true;
    }
    for (std::size_t i = 0; i < size_classes; ++i)
        node->state.lists[i].limit = bypass ? 0 : 2 * batch_of(i);
    note_tid(node->state);
    node->births.forget_thread();
    node->state.last_frame = nullptr;
    node->state.running.store(idle(), std::memory_order_relaxed);
    corodump_thread_v1 = &node->state;
    pthread_setspecific(thread_key, node);
    return &node->state;
}

/// A frame from malloc: larger than the pool's, or the pool stands aside. It gets a slot.
void* allocate_outside(thread_state& thread, std::size_t bytes) noexcept {
    thread.last_frame = nullptr;
    thread.last_frame_bytes = bytes;
    return std::malloc(bytes);
}

void* take_one(std::size_t index) noexcept {
    const pool_lock lock;
    return take(index);
}

bool refill(thread_state& thread, std::size_t index) noexcept {
    if (auto* const hook = slow_path_hook.load(std::memory_order_acquire)) hook();
    free_list& list = thread.lists[index];
    const pool_lock lock;
    for (std::uint32_t i = batch_of(index); i > 0; --i) {
        auto* const object = static_cast<record*>(take(index));
        if (object == nullptr) break;
        object->site.store(list.head, std::memory_order_relaxed);
        list.head = object;
        ++list.count;
    }
    return list.head != nullptr;
}

}  // namespace

std::size_t chunk_count() noexcept {
    return chunks_used.load(std::memory_order_acquire);
}

std::uintptr_t chunk_at(std::size_t index) noexcept {
    return chunks[index].load(std::memory_order_relaxed);
}

std::size_t chunk_of(std::uintptr_t address) noexcept {
    const std::uintptr_t chunk = address & ~(chunk_bytes - 1);
    for (std::size_t at = hash_of(chunk);; at = (at + 1) & (hash_places - 1)) {
        const std::uint32_t found = chunk_hash[at].load(std::memory_order_acquire);
        if (found == 0) return max_chunks;
        if (chunk_at(found - 1) == chunk) return found - 1;
    }
}

object_place place_of(std::uintptr_t address) noexcept {
    if (chunk_of(address) == max_chunks) return {};
    const std::uintptr_t base = address & ~(slab_bytes - 1);
    auto* const slab = reinterpret_cast<slab_header*>(base);
    if (std::atomic_ref<std::uint32_t>(slab->magic).load(std::memory_order_acquire) != slab_magic ||
        slab->version != layout_version || address - base < slab_header_bytes)
        return {};
    const auto index =
        static_cast<std::uint32_t>((address - base - slab_header_bytes) / slab->object_bytes);
    if (index >= slab->carved.load(std::memory_order_acquire)) return {};
    return {slab, index, base + slab_header_bytes + std::uintptr_t{index} * slab->object_bytes};
}

void set_slow_path_hook(void (*hook)() noexcept) noexcept {
    slow_path_hook.store(hook, std::memory_order_release);
}

void* take_side() noexcept {
    return take_one(side_class);
}

void give_back(void* object) noexcept {
    const pool_lock lock;
    give(object);
}

void count_runs(std::uint64_t loop) noexcept {
    counted_loop.store(loop, std::memory_order_relaxed);
    listen_to_runs(listener::callbacks, loop != 0);
}

std::uint64_t runs_loop() noexcept {
    return counted_loop.load(std::memory_order_relaxed);
}

/// The thread is inside of `running` now, and of `depth` others.
static void stand_in(thread_state& thread, record* running, std::uint32_t depth) noexcept {
    thread.depth.store(depth, std::memory_order_release);
    const auto own = reinterpret_cast<std::uintptr_t>(running);
    thread.running.store(depth == 0 ? own | idle() : own | 1U, std::memory_order_release);
    note_switch(thread);
    if (running == nullptr) note_run(end_callback);
}

[[gnu::always_inline]] static inline std::uintptr_t frame_pointer() noexcept {
    return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
}

thread_node* attach_thread() noexcept {
    static_assert(offsetof(thread_node, state) == 0);
    return reinterpret_cast<thread_node*>(attach());
}

const thread_node* first_thread() noexcept {
    return threads.load(std::memory_order_acquire);
}

}  // namespace corodump::sources

using namespace corodump::sources;  // NOLINT(google-build-using-namespace): the C entry points
                                    // below

extern "C" {

void* corodump_allocate_v1(std::size_t frame_bytes) noexcept {
    thread_state* const thread = attach();
    if (thread == nullptr) return nullptr;
    const std::size_t index = corodump::detail::class_of(frame_bytes + sizeof(record));
    if (bypass || index >= size_classes) return allocate_outside(*thread, frame_bytes);
    free_list& list = thread->lists[index];
    if (list.head == nullptr && !refill(*thread, index)) return nullptr;
    record* const object = list.head;
    list.head =
        static_cast<record*>(const_cast<void*>(object->site.load(std::memory_order_relaxed)));
    --list.count;
    thread->last_frame = object + 1;
    return object + 1;
}

void corodump_release_v1(void* frame, std::size_t frame_bytes) noexcept {
    const std::size_t index = corodump::detail::class_of(frame_bytes + sizeof(record));
    if (bypass || index >= size_classes) return std::free(frame);
    record* const object = static_cast<record*>(frame) - 1;
    thread_state* const thread = attach();
    if (thread == nullptr) {
        const pool_lock lock;
        return give(object);
    }
    free_list& list = thread->lists[index];
    if (list.count >= list.limit) {
        const pool_lock lock;
        flush(*thread, index, list.limit / 2);
    }
    object->site.store(list.head, std::memory_order_relaxed);
    list.head = object;
    ++list.count;
}

slot* corodump_slot_v1(const void* frame) noexcept {
    thread_state* const thread = attach();
    auto* const made = static_cast<slot*>(take_one(slot_class));
    if (made == nullptr) return nullptr;
    const bool sized = thread != nullptr && thread->last_frame == nullptr;
    made->side.store(nullptr, std::memory_order_relaxed);
    made->frame_bytes.store(sized ? thread->last_frame_bytes : 0, std::memory_order_relaxed);
    if (sized) thread->last_frame_bytes = 0;
    made->frame.store(frame, std::memory_order_release);
    if (births_wanted()) note_birth(&made->tracked, frame_pointer());
    return made;
}

bool corodump_pooled_v1(const void* frame) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(frame);
    const object_place place = place_of(address);
    return place.slab != nullptr && place.slab->kind == slab_kind::frames &&
           address == place.begin + sizeof(record);
}

void corodump_enter_v1(record* running) noexcept {
    thread_state* const thread = attach();
    if (thread == nullptr) return;
    if (const std::uint32_t session = profile_session.load(std::memory_order_relaxed))
        enter_profile(node_of(*thread), running, session);
    const std::uintptr_t before = thread->running.load(std::memory_order_relaxed);
    const auto own = reinterpret_cast<std::uintptr_t>(running);
    if (record_of_running(before) == nullptr) {
        note_run(begin_callback);
        return thread->running.store(own | idle(), std::memory_order_release);
    }
    note_switch(*thread);
    const std::uint32_t depth = thread->depth.load(std::memory_order_relaxed);
    if (depth >= thread_state::max_depth) return;  // deeper nesting is not followed
    thread->outer[depth].store(record_of_running(before), std::memory_order_relaxed);
    thread->depth.store(depth + 1, std::memory_order_release);
    thread->running.store(own | 1U, std::memory_order_release);
}

void corodump_leave_v1(record* running) noexcept {
    thread_state* const thread = corodump_thread_v1;
    if (thread == &empty_state) return;
    if (const std::uint32_t session = profile_session.load(std::memory_order_relaxed))
        leave_profile(node_of(*thread), running, session);
    const std::uint32_t depth = thread->depth.load(std::memory_order_relaxed);
    if (record_of_running(thread->running.load(std::memory_order_relaxed)) == running) {
        record* const before =
            depth == 0 ? nullptr : thread->outer[depth - 1].load(std::memory_order_relaxed);
        return stand_in(*thread, before, depth == 0 ? 0 : depth - 1);
    }
    // Left out of order: fibers, or a frame destroyed while it counts as running.
    for (std::uint32_t i = depth; i > 0; --i) {
        if (thread->outer[i - 1].load(std::memory_order_relaxed) != running) continue;
        for (; i < depth; ++i)
            thread->outer[i - 1].store(thread->outer[i].load(std::memory_order_relaxed),
                                       std::memory_order_relaxed);
        return stand_in(*thread, record_of_running(thread->running.load(std::memory_order_relaxed)),
                        depth - 1);
    }
}
}
