#include "agent/sources/resource_kinds.hpp"

#include <pthread.h>

#include <cstring>

namespace corodump::sources {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;

// Static, zero until used: pages nobody touched cost nothing.
resource_kind kinds[max_kinds];
std::atomic<std::size_t> kinds_used{0};
std::atomic<std::uint64_t> general_max_age_ns{0};
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

template <std::size_t Size>
void store(char (&to)[Size], std::string_view text) noexcept {
    text = text.substr(0, Size - 1);
    if (!text.empty()) std::memcpy(to, text.data(), text.size());
}

/// Under the lock.
std::uint32_t find_or_make(std::string_view name, std::string_view type) noexcept {
    name = name.substr(0, sizeof kinds[0].name - 1);
    type = type.substr(0, sizeof kinds[0].type - 1);
    const std::size_t used = kinds_used.load(relaxed);
    for (std::size_t i = 0; i < used; ++i)
        if (name == kinds[i].name && type == kinds[i].type)
            return static_cast<std::uint32_t>(i + 1);
    if (used == max_kinds) return 0;
    store(kinds[used].name, name);
    store(kinds[used].type, type);
    // Release: pairs with kind_count's acquire; who sees the count sees the names.
    kinds_used.store(used + 1, std::memory_order_release);
    return static_cast<std::uint32_t>(used + 1);
}

}  // namespace

std::uint32_t kind_of_names(std::string_view name, std::string_view type,
                            std::uint64_t max_age_ns) noexcept {
    pthread_once(&once, prepare);
    lock();
    const std::uint32_t kind = find_or_make(name, type);
    if (kind != 0 && max_age_ns != 0) kind_at(kind).max_age_ns.store(max_age_ns, relaxed);
    unlock();
    return kind;
}

std::size_t kind_count() noexcept {
    return kinds_used.load(std::memory_order_acquire);
}

resource_kind& kind_at(std::uint32_t kind) noexcept {
    return kinds[kind - 1];
}

void set_resource_max_age(std::uint64_t ns) noexcept {
    general_max_age_ns.store(ns, relaxed);
}

std::uint64_t max_age_of(const resource_kind& kind) noexcept {
    const std::uint64_t own = kind.max_age_ns.load(relaxed);
    return own != 0 ? own : general_max_age_ns.load(relaxed);
}

}  // namespace corodump::sources
