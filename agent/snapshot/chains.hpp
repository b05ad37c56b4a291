// Finds who awaits whom, in the frames themselves: the hot path keeps no links.
//
// Evidence, strongest first, for "P awaits C":
//   known   an adapter says where C's promise holds its caller's address
//   down    P's awaiter holds C's address (most tasks: the awaiter is a coroutine_handle); where C
//           names another that holds it as well, that one
//   up      a word of C's promise is P's address, P is suspended, and nothing speaks against it:
//           a caller's handle stays in the promise after C has ended or yielded
//   join    a word of C's promise points into P's awaiter (the counter of a when_all), or one of its
//           arguments at that awaiter, with nothing else in common (a callback); a word of
//           C's promise or arguments points at what P's awaiter points at inside P (a scope); or a
//           word of C's promise points at what P's awaiter points at on the heap, and P's address
//           is found there
//   entry   C was started by a library with a completion handler that leads to P's task
// A frame with several children joins them: each child then heads a task of its own.
//
// Only suspended frames are read, and each only believed if its record did not change meanwhile.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never.
// Bounds: 64 words of a promise, 32 of an awaiter, 64 of a handler, 24 of its state; cycles are
// cut, counted.
#pragma once

#include <cstdint>
#include <iterator>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/snapshot/code_names.hpp"
#include "agent/sources/frame_index.hpp"
#include "agent/sources/type_facts.hpp"

namespace corodump::snapshot {

struct chain_counts {
    static constexpr std::size_t max_cycles = 64;
    std::uint64_t cycles = 0;
    /// The frames at which the first of them were cut open: each heads a chain that leads back to
    /// it.
    std::uint32_t cycle_heads[max_cycles] = {};
    std::uint64_t unreadable = 0;
    std::uint64_t cut = 0;
    std::uint64_t late = 0;  ///< frames that were not read: the deadline had passed
    std::uint64_t roots = 0;
};

class chain_builder {
public:
    chain_builder(std::span<model::frame> frames, const sources::frame_index& index,
                  sources::type_facts& types, const model::limits& limits) noexcept
        : frames_(frames),
          index_(index),
          types_(types),
          max_depth_(limits.depth),
          deadline_ns_(limits.reading_deadline_ns) {}

    /// Fills state, activity, definition, site, parent, first_child, next_sibling and root.
    chain_counts build() noexcept;

    /// How many leaves seem to await a coroutine that is not tracked: their awaiter names something
    /// that begins with the two code addresses of a coroutine frame. Looks at 128 leaves.
    [[nodiscard]] std::uint64_t count_untracked(code_names& code, base::arena& scratch) noexcept;

private:
    [[nodiscard]] static bool is_coroutine(std::uint64_t address, code_names& code,
                                           base::arena& scratch) noexcept;
    [[nodiscard]] bool deadline_passed() const noexcept;
    void leave_alone(std::uint32_t first) noexcept;
    void read(std::uint32_t index) noexcept;
    void settle(model::frame& f, std::uint64_t tag_word) noexcept;
    void note_children(std::uint32_t parent) noexcept;
    void note_callers(std::uint32_t child, const sources::promise_facts& facts,
                      std::span<const std::uint64_t> head) noexcept;
    void check_down(std::uint32_t child) noexcept;
    void decide(std::uint32_t child) noexcept;
    [[nodiscard]] std::uint32_t only_caller(std::uint32_t child) noexcept;
    [[nodiscard]] bool may_be_above(std::uint32_t parent, std::uint32_t child) noexcept;
    [[nodiscard]] bool holds(std::uint32_t parent, std::uint32_t child) noexcept;
    [[nodiscard]] bool refers_to(std::uint32_t parent, std::uint32_t child) noexcept;
    [[nodiscard]] bool wait_alike(std::uint32_t a, std::uint32_t b) noexcept;
    [[nodiscard]] bool awaits_word(std::uint32_t frame, std::uint64_t word) noexcept;
    [[nodiscard]] std::uint32_t kind_of(const model::frame& f) noexcept;
    [[nodiscard]] bool in_awaiter(std::uint32_t frame, std::size_t at) const noexcept;
    [[nodiscard]] std::uint32_t behind_heap(std::uint64_t word, std::uint32_t child) noexcept;
    [[nodiscard]] std::uint32_t joined_by(std::uint32_t child,
                                          std::span<const std::uint64_t> head) noexcept;
    void follow_entries() noexcept;
    bool follow_entry(std::uint32_t child) noexcept;
    [[nodiscard]] std::uint32_t entry_behind(std::uint64_t word, std::uint32_t child,
                                             bool by_state) noexcept;
    void cut_cycles() noexcept;
    void link() noexcept;
    void count_chains() noexcept;
    [[nodiscard]] std::span<const std::uint64_t> awaiter_words(const model::frame& f,
                                                               std::uint64_t& begin) noexcept;
    [[nodiscard]] bool is_entry(std::uint32_t index) noexcept;
    [[nodiscard]] std::uint32_t leaf_from(std::uint32_t root) const noexcept;

    /// Where `word` stands once it was found to lead nowhere.
    [[nodiscard]] std::uint64_t& dead_end(std::uint64_t word) noexcept {
        return dead_ends_[word / 16 % std::size(dead_ends_)];
    }

    std::span<model::frame> frames_;
    const sources::frame_index& index_;
    sources::type_facts& types_;
    const unsigned max_depth_;
    const std::int64_t deadline_ns_;
    chain_counts counts_;
    bool may_be_joined_ = false;        ///< some promise type has a handler that may join
    std::uint32_t looks_ = 0;           ///< at the heap
    std::uint64_t dead_ends_[64] = {};  ///< heap addresses that lead to no frame
    std::uint64_t awaiter_buffer_[32];
};

}  // namespace corodump::snapshot
