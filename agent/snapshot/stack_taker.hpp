// Takes one thread's stack, and unwinds it at once, so that one copy's memory serves them all.
//
//   blocked:  its processor time ─> sp, pc ─> copy ─> unwind ─> the same still? else once more
//   signal:   the slot's registers and copy ─> unwind
//
// The order for a blocked thread is that of a seqlock: if it has not run between the two looks, all
// that was read belongs together, whatever was read beyond the copy included.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never. Errors: a stack that ends early.
// Bounds: max_native_frames; max_attempts for a thread that keeps waking; max_refreshes of the map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/snapshot/code_names.hpp"
#include "agent/sources/frame_index.hpp"
#include "agent/sources/stack_copy.hpp"
#include "agent/sources/stack_slots.hpp"
#include "agent/sources/thread_files.hpp"
#include "agent/sources/thread_states.hpp"
#include "agent/symbols/module_map.hpp"
#include "agent/symbols/unwind_tables.hpp"
#include "agent/symbols/unwinder.hpp"

namespace corodump::snapshot {

inline constexpr std::size_t max_native_frames = 1024;

struct taken_stack {
    std::span<const symbols::native_frame> frames;
    std::span<const std::uint32_t> inside;  ///< frames of coroutines, innermost first
    symbols::unwind_end end = symbols::unwind_end::no_cfi;
    bool live = false;
    bool inferred = false;
    std::uint8_t map = 0;  ///< for stack_taker::image_of
};

class stack_taker {
public:
    enum class outcome : std::uint8_t { taken, runs, gone };

    stack_taker(base::arena& memory, code_names& code, const sources::thread_files& files,
                const sources::frame_index* index) noexcept;

    /// `call`: what it is blocked in.
    [[nodiscard]] outcome without_signal(std::int32_t tid, taken_stack& into,
                                         sources::thread_call& call) noexcept;
    void from_slot(std::int32_t tid, const sources::stack_slot& slot, taken_stack& into) noexcept;
    /// The image that held the address when the stack was taken; null: none.
    [[nodiscard]] const symbols::module_info* image_of(const taken_stack& of,
                                                       std::uint64_t address) const noexcept;

    [[nodiscard]] std::int64_t copying_ns() const noexcept { return copying_ns_; }
    [[nodiscard]] std::int64_t unwinding_ns() const noexcept { return unwinding_ns_; }

private:
    static constexpr unsigned max_attempts = 4;
    static constexpr unsigned max_refreshes = 8;

    struct attempt {
        symbols::unwound stack;
        std::uint8_t map = 0;
        std::size_t inside = 0;
    };
    [[nodiscard]] attempt unwind(const symbols::cpu_state& from) noexcept;
    [[nodiscard]] bool leads_into_the_unknown(const symbols::unwound& stack) const noexcept;
    [[nodiscard]] bool refresh() noexcept;
    void use_images() noexcept;
    [[nodiscard]] std::size_t find_coroutines(const detail::thread_state* thread,
                                              std::uintptr_t running) noexcept;
    void keep(const attempt& from, bool stood_still, taken_stack& into) noexcept;

    base::arena& memory_;
    code_names& code_;
    const sources::thread_files& files_;
    const sources::frame_index* index_;
    sources::thread_states states_;
    sources::stack_copy stack_;
    symbols::unwind_tables* tables_ = nullptr;
    std::span<std::byte> room_;
    std::span<symbols::native_frame> frames_;
    std::uint32_t inside_[sources::thread_states::max_inside];
    symbols::module_map maps_[max_refreshes + 1];
    std::uint8_t map_ = 0;
    std::int64_t copying_ns_ = 0;
    std::int64_t unwinding_ns_ = 0;
};

}  // namespace corodump::snapshot
