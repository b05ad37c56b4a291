#include "agent/sources/context_lists.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

// A leak checker that is there takes what the blocks point at for reachable.
// NOLINTNEXTLINE(readability-identifier-naming): the sanitizer named it
extern "C" __attribute__((weak)) void __lsan_register_root_region(const void*, std::size_t);

namespace corodump::sources {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr std::size_t slab_bytes = std::size_t{64} * 1024;
constexpr std::array<std::uint32_t, 3> list_capacities{4, 16, max_bindings};

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_once_t once = PTHREAD_ONCE_INIT;

void lock() noexcept {
    pthread_mutex_lock(&mutex);
}
void unlock() noexcept {
    pthread_mutex_unlock(&mutex);
}
void prepare() noexcept {
    pthread_atfork(lock, unlock, unlock);
}

/// Blocks of one size and capacity.
struct block_source {
    std::size_t bytes;
    std::uint32_t capacity;
    block* free_blocks = nullptr;

    template <class Block>
    [[nodiscard]] Block* take() noexcept {
        pthread_once(&once, prepare);
        lock();
        if (free_blocks == nullptr) add_slab<Block>();
        block* const taken = free_blocks;
        if (taken != nullptr) free_blocks = taken->next_free;
        unlock();
        if (taken != nullptr) taken->references.store(1, std::memory_order_release);
        return static_cast<Block*>(taken);
    }
    void give(block* back) noexcept {
        lock();
        back->next_free = free_blocks;
        free_blocks = back;
        unlock();
    }

private:
    template <class Block>
    void add_slab() noexcept {
        void* const mapped =
            mmap(nullptr, slab_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED) return;
        if (__lsan_register_root_region != nullptr) __lsan_register_root_region(mapped, slab_bytes);
        for (std::size_t at = 0; at + bytes <= slab_bytes; at += bytes) {
            auto* const made = new (static_cast<char*>(mapped) + at) Block{};
            made->capacity = capacity;
            made->next_free = free_blocks;
            free_blocks = made;
        }
    }
};

constexpr std::size_t list_bytes(std::uint32_t capacity) noexcept {
    return sizeof(bound_list) + capacity * sizeof(bound_list::entry);
}
constinit block_source values{sizeof(bound_value), 0};
constinit block_source lists[] = {{list_bytes(list_capacities[0]), list_capacities[0]},
                                  {list_bytes(list_capacities[1]), list_capacities[1]},
                                  {list_bytes(list_capacities[2]), list_capacities[2]}};

block_source& lists_of(std::uint32_t capacity) noexcept {
    return *std::ranges::find_if(lists, [&](const auto& s) { return s.capacity >= capacity; });
}

void unshare(bound_value* one) noexcept {
    // acq_rel: what others did with the value happened before it is destroyed.
    if (one->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    one->destroy(one->value);
    values.give(one);
}

/// A new list, which nobody else has seen yet.
class list_builder {
public:
    explicit list_builder(std::uint32_t capacity) noexcept
        : made_(capacity > max_bindings ? nullptr : lists_of(capacity).take<bound_list>()) {}
    explicit operator bool() const noexcept { return made_ != nullptr; }

    void add(bound_value* value, std::uint64_t scope) noexcept {
        bound_list::entry& to = made_->entries()[used_++];
        to.value.store(value, relaxed);
        to.scope = scope;
    }
    void add_shared(const bound_list::entry& from, std::uint64_t scope) noexcept {
        bound_value* const value = from.value.load(relaxed);
        value->references.fetch_add(1, relaxed);
        add(value, scope);
    }
    [[nodiscard]] bound_list* done() noexcept {
        made_->count.store(used_, std::memory_order_release);
        return made_;
    }

private:
    bound_list* made_;
    std::uint32_t used_ = 0;
};

std::uint32_t count_of(const bound_list* one) noexcept {
    return one == nullptr ? 0 : one->count.load(relaxed);
}

/// The entry that a new binding takes the place of; count: none.
std::uint32_t place_for(const bound_list* in, const void* variable, std::uint64_t scope) noexcept {
    const std::uint32_t count = count_of(in);
    if (scope != 0) return count;
    for (std::uint32_t i = count; i-- > 0;)
        if (in->entries()[i].value.load(relaxed)->variable.load(relaxed) == variable) return i;
    return count;
}

std::string_view cut(const char* text, std::size_t bytes, std::size_t room) noexcept {
    if (text == nullptr) return {};
    if (bytes < room) return {text, bytes};
    bytes = room - 1;
    // Not within a character of UTF-8.
    while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80) --bytes;
    return {text, bytes};
}

}  // namespace

template <std::size_t Bytes>
void shared_text<Bytes>::set(std::string_view text) noexcept {
    for (std::size_t i = 0; i < words_.size(); ++i) {
        std::uint64_t word = 0;
        const std::size_t at = i * sizeof word;
        if (at < text.size())
            std::memcpy(&word, text.data() + at, std::min(sizeof word, text.size() - at));
        words_[i].store(word, relaxed);
    }
}

template <std::size_t Bytes>
std::string_view shared_text<Bytes>::read(std::span<char, Bytes> into) const noexcept {
    for (std::size_t i = 0; i < words_.size(); ++i) {
        const std::uint64_t word = words_[i].load(relaxed);
        std::memcpy(&into[i * sizeof word], &word, sizeof word);
    }
    into[Bytes - 1] = '\0';
    return {into.data(), strnlen(into.data(), Bytes)};
}

template class shared_text<32>;
template class shared_text<96>;

bound_value* make_value(const detail::context_value& what) noexcept {
    auto* const made = values.take<bound_value>();
    if (made == nullptr) {
        what.destroy(what.value);
        return nullptr;
    }
    const std::string_view text = cut(what.text, what.text_bytes, 96);
    made->variable.store(what.variable, relaxed);
    made->kind.store(static_cast<std::uint32_t>(what.kind) |
                         (text.size() < what.text_bytes ? bound_value::cut_text : 0),
                     relaxed);
    made->value = what.value;
    made->destroy = what.destroy;
    made->name.set(cut(what.name, what.name_bytes, 32));
    made->text.set(text);
    return made;
}

bound_list* with_bound(const bound_list* of, bool inherited, bound_value* value,
                       std::uint64_t scope) noexcept {
    const std::uint32_t count = count_of(of);
    const std::uint32_t place = place_for(of, value->variable.load(relaxed), scope);
    list_builder made(count + (place == count ? 1 : 0));
    if (!made) {
        unshare(value);
        return nullptr;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        const bound_list::entry& from = of->entries()[i];
        if (i == place)
            made.add(value, inherited ? 0 : from.scope);
        else if (!inherited || !is_hidden(*of, i))
            made.add_shared(from, inherited ? 0 : from.scope);
    }
    if (place == count) made.add(value, scope);
    return made.done();
}

bound_list* without_scope(bound_list* of, std::uint64_t scope) noexcept {
    const std::uint32_t count = count_of(of);
    std::uint32_t place = 0;
    while (place < count && of->entries()[place].scope != scope) ++place;
    if (place == count) return share(of);
    if (count == 1) return nullptr;
    list_builder made(count - 1);
    if (!made) return share(of);
    for (std::uint32_t i = 0; i < count; ++i)
        if (i != place) made.add_shared(of->entries()[i], of->entries()[i].scope);
    return made.done();
}

const bound_value* find_bound(const bound_list* in, const void* variable) noexcept {
    for (std::uint32_t i = count_of(in); i-- > 0;) {
        const bound_value* const value = in->entries()[i].value.load(relaxed);
        if (value->variable.load(relaxed) == variable) return value;
    }
    return nullptr;
}

bool is_hidden(const bound_list& in, std::uint32_t at) noexcept {
    const void* const variable = in.entries()[at].value.load(relaxed)->variable.load(relaxed);
    for (std::uint32_t i = at + 1; i < count_of(&in); ++i)
        if (in.entries()[i].value.load(relaxed)->variable.load(relaxed) == variable) return true;
    return false;
}

bound_list* try_share(bound_list* one) noexcept {
    if (one == nullptr) return nullptr;
    std::uint32_t seen = one->references.load(relaxed);
    while (seen != 0)
        if (one->references.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire))
            return one;
    return nullptr;
}

void unshare(bound_list* one) noexcept {
    if (one == nullptr || one->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    const std::uint32_t count = count_of(one);
    for (std::uint32_t i = 0; i < count; ++i) unshare(one->entries()[i].value.load(relaxed));
    lists_of(one->capacity).give(one);
}

}  // namespace corodump::sources
