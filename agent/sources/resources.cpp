#include "agent/sources/resources.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <corodump/detail/resource_abi.hpp>
#include <cstring>
#include <new>
#include <utility>

#include "agent/sources/births.hpp"
#include "agent/sources/pool.hpp"

namespace corodump::sources {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;

constexpr std::size_t slab_bytes = slab_entries * sizeof(resource_entry);
constexpr unsigned address_bits = 48;
constexpr std::uint64_t address_mask = (std::uint64_t{1} << address_bits) - 1;
constexpr std::uint64_t kind_mask = 0x7fff;
constexpr std::uint64_t long_label = std::uint64_t{1} << 63U;
constexpr unsigned stack_bits = stack_depot::id_bits;
constexpr std::uint64_t stack_mask = (std::uint64_t{1} << stack_bits) - 1;
constexpr unsigned record_shift = 3;  ///< records are aligned to 8

constexpr std::size_t short_label_bytes = 24;
constexpr std::size_t label_begin_bytes = 16;  ///< of a long one; the rest is in another entry
static_assert(label_begin_bytes + sizeof(resource_entry::word) == max_label_bytes);

/// Atomic, since others read them; only the node's thread writes.
struct kind_tally {
    std::atomic<std::uint64_t> opened;
    std::atomic<std::uint64_t> closed;
    std::int64_t untold;  ///< of what is open: not yet in resource_kind::gathered
};

/// A thread's, while it lives; then it waits for the next.
struct resource_node {
    resource_node* next;  ///< never changes
    std::atomic<bool> in_use;
    std::uint32_t tid;
    resource_entry* free;
    resource_entry* carve;
    resource_entry* carve_end;
    thread_births stack;
    alignas(64) std::atomic<resource_entry*> returned;
    alignas(64) kind_tally kinds[max_kinds];
};

// The range, and whose each slab is; null: not there yet.
resource_entry* entries = nullptr;
std::atomic<std::size_t> reserved_slabs{0};  ///< set once
std::atomic<resource_node*> owners[max_slabs];
std::atomic<std::size_t> slabs_taken{0};
std::atomic<resource_node*> nodes{nullptr};
/// Of closes on threads for which there was no memory.
std::atomic<std::uint64_t> stray_closed[max_kinds];
std::atomic<bool> with_stacks{false};
pthread_key_t thread_key;
pthread_once_t once = PTHREAD_ONCE_INIT;
__thread resource_node* own_node __attribute__((tls_model("initial-exec"))) = nullptr;

std::atomic<resource_node*>& owner_of(const resource_entry* entry) noexcept {
    return owners[static_cast<std::size_t>(entry - entries) / slab_entries];
}

// --- threads

void detach(void* held) noexcept {
    own_node = nullptr;
    // Release: pairs with claim's acquire; who takes the node sees its lists.
    static_cast<resource_node*>(held)->in_use.store(false, release);
}

bool claim(resource_node& node) noexcept {
    bool expected = false;
    return !node.in_use.load(relaxed) &&
           node.in_use.compare_exchange_strong(expected, true, acquire, relaxed);
}

/// The child has one thread; the others' nodes are free, though one may have been in the middle of
/// taking an entry off its list or putting it on: that one is lost then, and nothing else.
void repair_child() noexcept {
    for (resource_node* node = nodes.load(acquire); node != nullptr; node = node->next)
        node->in_use.store(node == own_node, relaxed);
    if (own_node != nullptr) own_node->tid = static_cast<std::uint32_t>(syscall(SYS_gettid));
}

/// Address space that cannot be accessed: what a slab needs is opened with it, so that a host that
/// locks its memory (mlockall) does not get all of it resident.
void prepare() noexcept {
    pthread_key_create(&thread_key, detach);
    pthread_atfork(nullptr, nullptr, repair_child);
    for (std::size_t slabs = max_slabs; slabs >= max_slabs / 64; slabs /= 4) {
        void* const mapped = mmap(nullptr, slabs * slab_bytes, PROT_NONE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED) continue;
        entries = static_cast<resource_entry*>(mapped);
        reserved_slabs.store(slabs, relaxed);
        return;
    }
}

resource_node* make_node() noexcept {
    void* const memory = mmap(nullptr, sizeof(resource_node), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    auto* const node = new (memory) resource_node{};
    node->in_use.store(true, relaxed);
    resource_node* first = nodes.load(relaxed);
    do {
        node->next = first;
    } while (!nodes.compare_exchange_weak(first, node, release, relaxed));
    return node;
}

[[gnu::noinline]] resource_node* attach() noexcept {
    pthread_once(&once, prepare);
    resource_node* node = nodes.load(acquire);
    while (node != nullptr && !claim(*node)) node = node->next;
    if (node == nullptr) node = make_node();
    if (node == nullptr) return nullptr;
    node->tid = static_cast<std::uint32_t>(syscall(SYS_gettid));
    node->stack.forget_thread();
    own_node = node;
    pthread_setspecific(thread_key, node);
    return node;
}

resource_node* this_thread() noexcept {
    resource_node* const node = own_node;
    return node != nullptr ? node : attach();
}

// --- entries

std::atomic<std::uint64_t>& link_of(resource_entry& entry) noexcept {
    return entry.word[resource_entry::object];
}
resource_entry* next_of(resource_entry& entry) noexcept {
    return reinterpret_cast<resource_entry*>(link_of(entry).load(relaxed));
}
void set_next(resource_entry& entry, resource_entry* next) noexcept {
    // Release, as all that is written to an entry that is free: pairs with read_words' acquire.
    link_of(entry).store(reinterpret_cast<std::uint64_t>(next), release);
}

bool take_slab(resource_node& node) noexcept {
    if (entries == nullptr || slabs_taken.load(relaxed) >= reserved_slabs.load(relaxed))
        return false;
    const std::size_t slab = slabs_taken.fetch_add(1, relaxed);
    if (slab >= reserved_slabs.load(relaxed)) return false;
    resource_entry* const first = entries + slab * slab_entries;
    // Refused, the slab stays without an owner: its number is lost, which is no more than 64 KiB of
    // address space.
    if (mprotect(first, slab_bytes, PROT_READ | PROT_WRITE) != 0) return false;
    node.carve = first;
    node.carve_end = first + slab_entries;
    // Release: pairs with resource_slab's acquire; who sees the owner may access the slab.
    owners[slab].store(&node, release);
    return true;
}

/// Takes over what the node of a thread that has ended has. Threads that looked for a slab's owner
/// before may still give their entries to that node: they wait there for the next taker.
bool inherit_from(resource_node& node, resource_node& from) noexcept {
    resource_entry* const returned = from.returned.exchange(nullptr, acquire);
    if (from.free == nullptr && returned == nullptr && from.carve == from.carve_end) return false;
    for (std::size_t i = 0; i < std::min(slabs_taken.load(relaxed), reserved_slabs.load(relaxed));
         ++i) {
        resource_node* expected = &from;
        owners[i].compare_exchange_strong(expected, &node, release, relaxed);
    }
    node.free = std::exchange(from.free, nullptr);
    if (node.free == nullptr) {
        node.free = returned;
    } else if (returned != nullptr) {
        resource_entry* last = returned;
        while (next_of(*last) != nullptr) last = next_of(*last);
        set_next(*last, node.free);
        node.free = returned;
    }
    node.carve = std::exchange(from.carve, nullptr);
    node.carve_end = std::exchange(from.carve_end, nullptr);
    return node.free != nullptr || node.carve != node.carve_end;
}

bool inherit(resource_node& node) noexcept {
    for (resource_node* from = nodes.load(acquire); from != nullptr; from = from->next) {
        if (!claim(*from)) continue;
        const bool found = inherit_from(node, *from);
        from->in_use.store(false, release);
        if (found) return true;
    }
    return false;
}

resource_entry* carve_one(resource_node& node) noexcept {
    return node.carve == node.carve_end ? nullptr : node.carve++;
}

/// nullptr: no memory.
resource_entry* take(resource_node& node) noexcept {
    if (node.free == nullptr) [[unlikely]] {
        if (resource_entry* const fresh = carve_one(node)) return fresh;
        node.free = node.returned.exchange(nullptr, acquire);
        if (node.free == nullptr && !inherit(node) && !take_slab(node)) return nullptr;
        if (node.free == nullptr) return carve_one(node);
    }
    resource_entry* const taken = node.free;
    node.free = next_of(*taken);
    return taken;
}

void give(resource_node* node, resource_entry& entry) noexcept {
    resource_node* const owner = owner_of(&entry).load(relaxed);
    if (owner == node) [[likely]] {
        set_next(entry, node->free);
        node->free = &entry;
        return;
    }
    resource_entry* first = owner->returned.load(relaxed);
    do {
        set_next(entry, first);
    } while (!owner->returned.compare_exchange_weak(first, &entry, release, relaxed));
}

// --- counts

void tell(resource_kind& kind, kind_tally& tally) noexcept {
    const std::int64_t now = kind.gathered.fetch_add(tally.untold, relaxed) + tally.untold;
    tally.untold = 0;
    std::int64_t peak = kind.peak.load(relaxed);
    while (now > peak && !kind.peak.compare_exchange_weak(peak, now, relaxed)) {
    }
}

/// Told to others only when it may matter to the peak: at once while few are open, else every 64th
/// part of them. And at a top of its own, before it goes down again, so that the peak of a single
/// thread is exact.
void tell_if_due(resource_kind& kind, kind_tally& tally) noexcept {
    const std::int64_t gathered = kind.gathered.load(relaxed);
    const std::int64_t slack = gathered < 0 ? 0 : gathered / 64;
    if (tally.untold < -slack || tally.untold > slack) tell(kind, tally);
}

void count_opened(resource_node& node, std::uint32_t kind) noexcept {
    kind_tally& tally = node.kinds[kind - 1];
    tally.opened.store(tally.opened.load(relaxed) + 1, release);
    ++tally.untold;
    tell_if_due(kind_at(kind), tally);
}

void count_closed(resource_node* node, std::uint32_t kind) noexcept {
    if (node == nullptr) {
        stray_closed[kind - 1].fetch_add(1, release);
        kind_at(kind).gathered.fetch_sub(1, relaxed);
        return;
    }
    kind_tally& tally = node->kinds[kind - 1];
    // Release: pairs with count_resources, which sees no close without its open.
    tally.closed.store(tally.closed.load(relaxed) + 1, release);
    if (tally.untold > 0) tell(kind_at(kind), tally);
    --tally.untold;
    tell_if_due(kind_at(kind), tally);
}

// --- labels

/// Not in the middle of a character.
std::string_view cut_label(std::string_view label) noexcept {
    if (label.size() <= max_label_bytes) return label;
    std::size_t end = max_label_bytes;
    for (unsigned i = 0; i < 3 && (static_cast<unsigned char>(label[end]) & 0xc0U) == 0x80U; ++i)
        --end;
    return label.substr(0, end);
}

void store_text(std::atomic<std::uint64_t>* to, std::size_t words, std::string_view text) noexcept {
    for (std::size_t i = 0; i < words; ++i) {
        std::uint64_t word = 0;
        if (i * 8 < text.size())
            std::memcpy(&word, text.data() + i * 8, std::min<std::size_t>(8, text.size() - i * 8));
        to[i].store(word, release);
    }
}

resource_entry* rest_of_label(const resource_entry& entry) noexcept {
    if ((entry.word[resource_entry::where].load(relaxed) & long_label) == 0) return nullptr;
    return reinterpret_cast<resource_entry*>(entry.word[resource_entry::label].load(relaxed));
}

/// Into an entry that is not open. Without memory for its rest, a long one is cut short.
void store_label(resource_node& node, resource_entry& entry, std::string_view label) noexcept {
    label = cut_label(label);
    auto* const words = &entry.word[resource_entry::label];
    resource_entry* const rest = label.size() > short_label_bytes ? take(node) : nullptr;
    if (rest == nullptr) return store_text(words, 3, label.substr(0, short_label_bytes));
    store_text(rest->word, std::size(rest->word), label.substr(label_begin_bytes));
    words[0].store(reinterpret_cast<std::uint64_t>(rest), release);
    store_text(words + 1, 2, label.substr(0, label_begin_bytes));
    auto& where = entry.word[resource_entry::where];
    where.store(where.load(relaxed) | long_label, release);
}

void drop_rest_of_label(resource_node* node, resource_entry& entry) noexcept {
    if (resource_entry* const rest = rest_of_label(entry)) give(node, *rest);
}

void read_text(const std::atomic<std::uint64_t>* from, std::size_t words,
               base::fixed_string<max_label_bytes>& to) noexcept {
    for (std::size_t i = 0; i < words; ++i) {
        char bytes[8];
        const std::uint64_t word = from[i].load(acquire);
        std::memcpy(bytes, &word, sizeof bytes);
        const std::size_t size = strnlen(bytes, sizeof bytes);
        to.append({bytes, size});
        if (size < sizeof bytes) return;
    }
}

bool is_entry(std::uint64_t address) noexcept {
    const auto begin = reinterpret_cast<std::uint64_t>(entries);
    return address >= begin && address < begin + reserved_slabs.load(relaxed) * slab_bytes &&
           address % sizeof(resource_entry) == 0 &&
           owner_of(reinterpret_cast<const resource_entry*>(address)).load(acquire) != nullptr;
}

void read_label(const resource_entry& from, bool is_long, open_resource& to) noexcept {
    const auto* const words = &from.word[resource_entry::label];
    if (!is_long) return read_text(words, 3, to.label);
    const std::uint64_t rest = words[0].load(acquire);
    // Of an entry that changes: what it points at may be a part of a text.
    if (!is_entry(rest)) return;
    read_text(words + 1, 2, to.label);
    const auto& more = *reinterpret_cast<const resource_entry*>(rest);
    read_text(more.word, std::size(more.word), to.label);
}

// --- opening

/// The coroutine that this thread is inside of.
std::uint64_t running_record(std::uint32_t& generation) noexcept {
    detail::record* const running = record_of_running(corodump_thread_v1->running.load(relaxed));
    if (running == nullptr) return 0;
    generation = running->generation.load(relaxed);
    return reinterpret_cast<std::uint64_t>(running);
}

void describe(resource_node& node, resource_entry& entry, std::uint32_t kind, const void* object,
              const void* site, std::uint32_t stack) noexcept {
    std::uint32_t owner_generation = 0;
    const std::uint64_t record = running_record(owner_generation);
    const auto set = [&entry](resource_entry::word_index at, std::uint64_t value) {
        entry.word[at].store(value, release);
    };
    set(resource_entry::where, (reinterpret_cast<std::uint64_t>(site) & address_mask) |
                                   std::uint64_t{kind} << address_bits);
    set(resource_entry::object, reinterpret_cast<std::uint64_t>(object));
    set(resource_entry::owner, record >> record_shift << stack_bits | stack);
    set(resource_entry::opener, std::uint64_t{owner_generation} << 32U | node.tid);
    entry.opened_tick.store(static_cast<std::uint32_t>(corodump_clock_v1.load(relaxed) >> 32U),
                            release);
}

corodump_resource_entry_v1* open(resource_node& node, std::uint32_t kind, const void* object,
                                 std::string_view label, const void* site,
                                 std::uintptr_t frame) noexcept {
    resource_entry* const entry = take(node);
    if (entry == nullptr) return nullptr;
    describe(node, *entry, kind, object, site,
             with_stacks.load(relaxed) ? keep_stack(node.stack, frame) : 0);
    store_label(node, *entry, label);
    count_opened(node, kind);
    // Release: pairs with the readers' first look; who sees it odd sees what is written above.
    entry->generation.store(entry->generation.load(relaxed) + 1, release);
    return reinterpret_cast<corodump_resource_entry_v1*>(entry);
}

resource_entry* entry_of(corodump_resource_entry_v1* entry) noexcept {
    return reinterpret_cast<resource_entry*>(entry);
}

std::uint32_t kind_of(std::uint64_t where) noexcept {
    return static_cast<std::uint32_t>(where >> address_bits & kind_mask);
}

bool read_once(const resource_entry& from, open_resource& to) noexcept {
    const auto load = [&from](resource_entry::word_index at) {
        return from.word[at].load(acquire);
    };
    to = {};
    to.generation = from.generation.load(acquire);
    if (to.generation % 2 == 0) return false;
    const std::uint64_t where = load(resource_entry::where);
    const std::uint64_t owner = load(resource_entry::owner);
    const std::uint64_t opener = load(resource_entry::opener);
    to.kind = kind_of(where);
    to.site = where & address_mask;
    to.object = load(resource_entry::object);
    to.owner_record = owner >> stack_bits << record_shift;
    to.stack = static_cast<std::uint32_t>(owner & stack_mask);
    to.thread = static_cast<std::uint32_t>(opener);
    to.owner_generation = static_cast<std::uint32_t>(opener >> 32U);
    to.opened_tick = from.opened_tick.load(acquire);
    read_label(from, (where & long_label) != 0, to);
    // The acquires above keep this look behind them: had a word been of a later use, then the
    // generation, which changed before that, is seen to have changed.
    return from.generation.load(relaxed) == to.generation && to.kind - 1 < kind_count();
}

}  // namespace

bool read_resource(const resource_entry& from, open_resource& to) noexcept {
    constexpr unsigned tries = 4;
    for (unsigned i = 0; i < tries; ++i)
        if (read_once(from, to)) return true;
    return false;
}

bool glance_at(const resource_entry& from, resource_glance& to) noexcept {
    to.generation = from.generation.load(acquire);
    if (to.generation % 2 == 0) return false;
    to.where = from.word[resource_entry::where].load(acquire) & ~long_label;
    to.opened_tick = from.opened_tick.load(acquire);
    to.kind = kind_of(to.where);
    return from.generation.load(relaxed) == to.generation && to.kind - 1 < kind_count();
}

std::size_t resource_slabs() noexcept {
    return std::min(slabs_taken.load(acquire), reserved_slabs.load(relaxed));
}

const resource_entry* resource_slab(std::size_t index) noexcept {
    return owners[index].load(acquire) == nullptr ? nullptr : entries + index * slab_entries;
}

resource_totals count_resources(std::uint32_t kind) noexcept {
    resource_totals sum;
    // Closes first: then there is none whose open is not counted, too.
    std::uint64_t closed = stray_closed[kind - 1].load(acquire);
    for (const resource_node* node = nodes.load(acquire); node != nullptr; node = node->next)
        closed += node->kinds[kind - 1].closed.load(acquire);
    for (const resource_node* node = nodes.load(acquire); node != nullptr; node = node->next)
        sum.opened += node->kinds[kind - 1].opened.load(acquire);
    sum.live = sum.opened - std::min(closed, sum.opened);
    const auto peak = static_cast<std::uint64_t>(kind_at(kind).peak.load(relaxed));
    sum.peak = std::max(sum.live, peak);
    return sum;
}

int note_resource_stacks(bool wanted) noexcept {
    const int error = wanted ? reserve_stacks() : 0;
    // Release: who sees it sees the depot's memory.
    with_stacks.store(wanted && error == 0, release);
    return error;
}

}  // namespace corodump::sources

using namespace corodump::sources;  // NOLINT(google-build-using-namespace): the C entry points
                                    // below

extern "C" {

std::uint32_t corodump_resource_kind_v1(const char* name, std::size_t name_bytes, const char* type,
                                        std::size_t type_bytes, std::uint64_t max_age_ns) noexcept {
    return kind_of_names({name, name_bytes}, {type, type_bytes}, max_age_ns);
}

// The frame pointer is this function's own, so that the first address is that of the code which
// opens.
corodump_resource_entry_v1* corodump_resource_open_v1(std::uint32_t kind, const void* object,
                                                      const char* label, std::size_t label_bytes,
                                                      const void* site) noexcept {
    if (kind == 0) return nullptr;
    resource_node* const node = this_thread();
    corodump_resource_entry_v1* const made =
        node == nullptr ? nullptr
                        : open(*node, kind, object, {label, label_bytes}, site,
                               reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
    if (made == nullptr) [[unlikely]]
        kind_at(kind).refused.fetch_add(1, relaxed);
    return made;
}

void corodump_resource_close_v1(corodump_resource_entry_v1* closed) noexcept {
    if (closed == nullptr) return;
    resource_entry& entry = *entry_of(closed);
    resource_node* const node = this_thread();
    const std::uint32_t kind = kind_of(entry.word[resource_entry::where].load(relaxed));
    resource_entry* const rest = rest_of_label(entry);
    // Before anything of it is written by who gets it next.
    entry.generation.store(entry.generation.load(relaxed) + 1, release);
    if (rest != nullptr) give(node, *rest);
    count_closed(node, kind);
    give(node, entry);
}

void corodump_resource_label_v1(corodump_resource_entry_v1* of, const char* label,
                                std::size_t label_bytes) noexcept {
    resource_node* const node = of == nullptr ? nullptr : this_thread();
    if (node == nullptr) return;
    resource_entry& entry = *entry_of(of);
    const std::uint32_t generation = entry.generation.load(relaxed);
    // Closed for as long as the text changes: a dump that comes just now leaves it out.
    entry.generation.store(generation + 1, release);
    drop_rest_of_label(node, entry);
    auto& where = entry.word[resource_entry::where];
    where.store(where.load(relaxed) & ~long_label, release);
    store_label(*node, entry, {label, label_bytes});
    entry.generation.store(generation + 2, release);
}

void corodump_resource_count_v1(std::uint32_t kind, corodump_resource_counts_v1* counts) noexcept {
    *counts = {};
    if (kind == 0) return;
    const resource_totals found = count_resources(kind);
    *counts = {found.live, found.peak, found.opened, kind_at(kind).refused.load(relaxed)};
}
}
