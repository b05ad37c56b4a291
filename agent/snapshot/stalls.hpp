// The last stalls, each with its stack, in fixed memory; and the taking of that stack while the
// stall lasts.
//
//   stall_watch ─ sign ─> stall_ring::add ─> take_stack ─> [16 stalls x 64 frames] ─> loop_section
//
// Names are kept as text and modules by build id, since an image may be unmapped before the next
// dump.
//
// Threads: watchdog only, after prepare. Signals: unsafe. Blocks: take_stack, up to its deadline.
// Errors: a stall without a stack, and why. Bounds: max_stalls, max_stall_frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "agent/base/arena.hpp"
#include "agent/base/fixed_string.hpp"
#include "agent/snapshot/code_names.hpp"
#include "agent/sources/loops.hpp"
#include "agent/sources/running_task.hpp"
#include "agent/sources/stall_watch.hpp"

namespace corodump::snapshot {

inline constexpr std::size_t max_stalls = 16;
inline constexpr std::size_t max_stall_frames = 64;

struct stall_frame {
    std::uint64_t address = 0;
    std::uint64_t offset = 0;
    std::uint64_t image_start = 0;  ///< 0: in none
    bool live = false;
    bool inferred = false;
    base::fixed_string<40> build_id;
    base::fixed_string<183> function;
};

struct stall_record {
    sources::stall_sign sign;
    std::int64_t time_unix_ns = 0;
    std::int64_t duration_ns = 0;
    bool ongoing = false;
    base::fixed_string<sources::loop_entry::max_name> loop;
    std::uint64_t record = 0;  ///< of the coroutine; 0: none
    sources::running_task task;
    base::fixed_string<95> reason;
    std::uint32_t frame_count = 0;
    stall_frame frames[max_stall_frames];

    [[nodiscard]] std::span<const stall_frame> stack() const noexcept {
        return std::span(frames).first(frame_count);
    }
};

class stall_ring {
public:
    /// Maps the memory of all records; 0 or an errno.
    [[nodiscard]] int prepare() noexcept;
    /// In the place of the oldest; null before prepare(), and where this thread's stall is here
    /// already.
    [[nodiscard]] stall_record* add(const sources::stall_sign& sign, std::int64_t now_ns) noexcept;
    /// Looks which have ended.
    void update(std::int64_t now_ns) noexcept;
    /// Oldest first.
    [[nodiscard]] std::size_t size() const noexcept;
    [[nodiscard]] const stall_record& at(std::size_t index) const noexcept;
    [[nodiscard]] std::uint64_t seen() const noexcept { return added_; }
    void forget() noexcept { added_ = 0; }

private:
    [[nodiscard]] stall_record* ongoing_of(std::int32_t thread) noexcept;

    stall_record* records_ = nullptr;
    std::uint64_t added_ = 0;
};

/// Of `into.sign.thread`. What is taken lies in `into`; `memory` is only used.
void take_stack(base::arena& memory, code_names& code, std::int64_t deadline_ns,
                stall_record& into) noexcept;

}  // namespace corodump::snapshot
