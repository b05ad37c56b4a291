#include "agent/sources/listeners.hpp"

#include <atomic>

#include "agent/sources/pool.hpp"

namespace corodump::sources {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constinit std::atomic<std::uint32_t> births{0}, ends{0}, runs{0};

bool has(const std::atomic<std::uint32_t>& listeners, listener who) noexcept {
    return (listeners.load(relaxed) & static_cast<std::uint32_t>(who)) != 0;
}

void set(std::atomic<std::uint32_t>& listeners, listener who, bool wanted) noexcept {
    const auto bit = static_cast<std::uint32_t>(who);
    if (wanted)
        listeners.fetch_or(bit);
    else
        listeners.fetch_and(~bit);
}

/// The switch says whether there is a listener, also where one comes while another goes: who clears
/// it looks again.
void set_switched(std::atomic<std::uint32_t>& listeners, std::uint32_t switch_bit, listener who,
                  bool wanted) noexcept {
    set(listeners, who, wanted);
    if (!wanted && listeners.load() == 0) corodump_switches_v1.fetch_and(~switch_bit);
    if (listeners.load() != 0) corodump_switches_v1.fetch_or(switch_bit);
}

}  // namespace

void listen_to_births(listener who, bool wanted) noexcept {
    set_switched(births, detail::switch_births, who, wanted);
}
void listen_to_ends(listener who, bool wanted) noexcept {
    set_switched(ends, detail::switch_ends, who, wanted);
}
void listen_to_runs(listener who, bool wanted) noexcept {
    set(runs, who, wanted);
    mark_threads();
}

// The owner of a state only stores to it, by what it has read before: its store may undo this one,
// but never the other way round, since this one is made on what was read only.
void mark_threads() noexcept {
    const bool heard = runs_are_heard();
    for (const thread_node* node = first_thread(); node != nullptr; node = node->next) {
        auto& running = const_cast<thread_node*>(node)->state.running;
        std::uintptr_t seen = running.load(relaxed);
        if (heard && (seen & 1U) == 0)
            running.compare_exchange_strong(seen, seen | 1U, relaxed);
        else if (!heard && seen == 1)
            running.compare_exchange_strong(seen, 0, relaxed);
    }
}

bool hears_births(listener who) noexcept {
    return has(births, who);
}
bool hears_ends(listener who) noexcept {
    return has(ends, who);
}
bool hears_runs(listener who) noexcept {
    return has(runs, who);
}
bool runs_are_heard() noexcept {
    return runs.load(relaxed) != 0;
}

}  // namespace corodump::sources
