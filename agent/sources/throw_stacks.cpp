#include "agent/sources/throw_stacks.hpp"

#include <atomic>

#include "agent/base/safe_copy.hpp"
#include "agent/sources/layout.hpp"
#include "agent/sources/stack_depot.hpp"
#include "agent/sources/stack_walk.hpp"

namespace corodump::sources {
namespace {

constexpr std::size_t window_words = 512;
constexpr unsigned max_windows = 8;
constexpr unsigned id_bits = 16;

// Static, zero until used: an exception may be thrown before there is an agent.
alignas(stack_depot::unit_bytes) char room[stack_depot::unit_bytes << (id_bits - 1)];
constinit stack_depot depot(room);
std::atomic<std::uint64_t> thrown[1024];  ///< exception's address << 16 | id
std::atomic<bool> wanted{true};

std::atomic<std::uint64_t>& place_of_throw(const void* exception) noexcept {
    const auto address = reinterpret_cast<std::uint64_t>(exception);
    return thrown[(address >> 4U) * 0x9e3779b97f4a7c15U >> 54U];
}

/// A copy of some of the stack, so that a chain that leads astray meets no fault. walk_stack() is
/// faster, but has to know where the stack ends: what throws may be a fiber, or a signal handler.
class stack_window {
public:
    bool read_pair(std::uint64_t at, std::uint64_t& next, std::uint64_t& address) noexcept {
        // No sum, which a wild address would overflow.
        if (at < begin_ || count_ < 2 || at - begin_ > 8 * (count_ - 2)) {
            if (++windows_ > max_windows) return false;
            begin_ = at;
            count_ = base::safe_copy(words_, at, sizeof words_) / 8;
            if (count_ < 2) return false;
        }
        next = words_[(at - begin_) / 8];
        address = words_[(at - begin_) / 8 + 1];
        return true;
    }

private:
    std::uint64_t words_[window_words];
    std::uint64_t begin_ = 0;
    std::size_t count_ = 0;
    unsigned windows_ = 0;
};

walked walk(const void* frame_pointer, std::span<std::uintptr_t> into) noexcept {
    stack_window stack;
    walked found;
    auto at = reinterpret_cast<std::uint64_t>(frame_pointer);
    std::uint64_t next = 0;
    std::uint64_t address = 0;
    while (found.depth < into.size() && at % 8 == 0 && stack.read_pair(at, next, address)) {
        if (address < 4096) break;
        found.add(address, into);
        if (next <= at) break;
        at = next;
    }
    return found;
}

}  // namespace

void note_throws(bool on) noexcept {
    wanted.store(on, std::memory_order_relaxed);
}

std::uint32_t note_stack(const void* frame_pointer) noexcept {
    std::uintptr_t frames[max_throw_frames];
    const walked found = walk(frame_pointer, frames);
    return depot.keep(std::span(frames).first(found.depth), found.hash);
}

std::span<const std::uint64_t> frames_of_throw(std::uint32_t id) noexcept {
    return depot.stack_of(id);
}

std::uint32_t stack_of_throw(const void* exception) noexcept {
    const std::uint64_t word = place_of_throw(exception).load(std::memory_order_relaxed);
    const bool same =
        exception != nullptr &&
        word >> id_bits == reinterpret_cast<std::uint64_t>(exception) << id_bits >> id_bits;
    return same ? static_cast<std::uint32_t>(word & ((1U << id_bits) - 1U)) : 0;
}

std::uint64_t throw_stacks_dropped() noexcept {
    return depot.refused();
}

}  // namespace corodump::sources

extern "C" void corodump_thrown_v1(const void* exception, const void* frame_pointer) noexcept {
    namespace sources = corodump::sources;
    if (!sources::wanted.load(std::memory_order_relaxed)) return;
    const std::uint32_t id = sources::note_stack(frame_pointer);
    sources::place_of_throw(exception).store(
        reinterpret_cast<std::uint64_t>(exception) << sources::id_bits | id,
        std::memory_order_relaxed);
}
