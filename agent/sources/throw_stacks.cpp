#include "agent/sources/throw_stacks.hpp"

#include <algorithm>
#include <atomic>

#include "agent/base/safe_copy.hpp"
#include "agent/sources/layout.hpp"

namespace corodump::sources {
namespace {

constexpr std::uint32_t max_stacks = 4096;  // a power of two
constexpr unsigned max_probes = 32;
constexpr std::size_t window_words = 512;
constexpr unsigned max_windows = 8;
constexpr unsigned id_bits = 16;

struct kept_stack {
    std::atomic<std::uint64_t> hash;  ///< 0: free; written last
    std::atomic<std::uint32_t> taken;
    std::uint32_t depth;
    std::uint64_t frames[max_throw_frames];
};

// Static, zero until used.
kept_stack stacks[max_stacks];
std::atomic<std::uint64_t> thrown[1024];  ///< exception's address << 16 | id
std::atomic<std::uint64_t> dropped{0};
std::atomic<bool> wanted{true};

std::atomic<std::uint64_t>& place_of_throw(const void* exception) noexcept {
    const auto address = reinterpret_cast<std::uint64_t>(exception);
    return thrown[(address >> 4U) * 0x9e3779b97f4a7c15U >> 54U];
}

/// A copy of some of the stack, so that a chain that leads astray meets no fault.
class stack_window {
public:
    bool read_pair(std::uint64_t at, std::uint64_t& next, std::uint64_t& address) noexcept {
        if (at < begin_ || at + 16 > begin_ + 8 * count_) {
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
    std::uint64_t begin_ = 1;
    std::size_t count_ = 0;
    unsigned windows_ = 0;
};

std::size_t walk(const void* frame_pointer, std::uint64_t (&into)[max_throw_frames]) noexcept {
    stack_window stack;
    std::size_t depth = 0;
    auto at = reinterpret_cast<std::uint64_t>(frame_pointer);
    std::uint64_t next = 0;
    std::uint64_t address = 0;
    while (depth < max_throw_frames && at % 8 == 0 && stack.read_pair(at, next, address)) {
        if (address < 4096) break;
        into[depth++] = address;
        if (next <= at) break;
        at = next;
    }
    return depth;
}

std::uint32_t keep(std::span<const std::uint64_t> frames) noexcept {
    std::uint64_t hash = frames.size();
    for (const std::uint64_t frame : frames) hash = (hash ^ frame) * 0x9e3779b97f4a7c15U;
    hash |= 1U;
    for (unsigned i = 0; i < max_probes; ++i) {
        const auto place = static_cast<std::uint32_t>(((hash >> 40U) + i) % max_stacks);
        kept_stack& at = stacks[place];
        const std::uint64_t there = at.hash.load(std::memory_order_acquire);
        if (there == hash && std::ranges::equal(frames, std::span(at.frames).first(at.depth)))
            return place + 1;
        std::uint32_t expected = 0;
        if (there != 0 || !at.taken.compare_exchange_strong(expected, 1)) continue;
        at.depth = static_cast<std::uint32_t>(frames.size());
        std::ranges::copy(frames, at.frames);
        at.hash.store(hash, std::memory_order_release);  // partner: the load above, and readers
        return place + 1;
    }
    dropped.fetch_add(1, std::memory_order_relaxed);
    return 0;
}

}  // namespace

void note_throws(bool on) noexcept {
    wanted.store(on, std::memory_order_relaxed);
}

std::uint32_t note_stack(const void* frame_pointer) noexcept {
    std::uint64_t frames[max_throw_frames];
    const std::size_t depth = walk(frame_pointer, frames);
    return depth == 0 ? 0 : keep({frames, depth});
}

std::span<const std::uint64_t> frames_of_throw(std::uint32_t id) noexcept {
    if (id == 0 || id > max_stacks || stacks[id - 1].hash.load(std::memory_order_acquire) == 0)
        return {};
    return std::span(stacks[id - 1].frames).first(stacks[id - 1].depth);
}

std::uint32_t stack_of_throw(const void* exception) noexcept {
    const std::uint64_t word = place_of_throw(exception).load(std::memory_order_relaxed);
    const bool same =
        exception != nullptr &&
        word >> id_bits == reinterpret_cast<std::uint64_t>(exception) << id_bits >> id_bits;
    return same ? static_cast<std::uint32_t>(word & ((1U << id_bits) - 1U)) : 0;
}

std::uint64_t throw_stacks_dropped() noexcept {
    return dropped.load(std::memory_order_relaxed);
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
