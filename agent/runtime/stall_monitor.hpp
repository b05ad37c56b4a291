// What the watchdog does about stalls at its tick: looks, takes the stack of what is new, tells of
// it in one line, and says when a dump is wanted.
//
// Threads: prepare and begin by who installs, before the watchdog runs; tick by the watchdog.
// Signals: unsafe. Blocks: tick up to max_capture_ns for each stack, max_captures of them.
// Errors: stalls without stacks; lines that are left out are counted in the next one.
// Bounds: one line a second; max_captures stacks in a look, one look with stacks in
// capture_pause_ns, or in ten times what it took; one dump in the configured interval.
#pragma once

#include <cstdint>

#include "agent/base/config.hpp"
#include "agent/runtime/dumper.hpp"
#include "agent/snapshot/stalls.hpp"
#include "agent/sources/stall_watch.hpp"

namespace corodump::runtime {

class stall_monitor {
public:
    static constexpr std::int64_t max_capture_ns = 40'000'000;
    static constexpr std::int64_t capture_pause_ns = 250'000'000;
    static constexpr std::int64_t line_pause_ns = 1'000'000'000;
    static constexpr std::size_t max_captures = 4;

    /// Maps the memory. Without it, stalls are not looked for.
    [[nodiscard]] int prepare(dumper& dumps) noexcept;
    void begin(const base::config& config) noexcept;
    /// True where a dump is wanted.
    [[nodiscard]] bool tick(dumper& dumps) noexcept;
    /// Before a dump: which of the stalls have ended.
    void update() noexcept;
    /// In a forked child: those were the parent's.
    void forget() noexcept;

private:
    [[nodiscard]] bool take(const sources::stall_sign& sign, std::int64_t now_ns,
                            dumper& dumps) noexcept;
    void tell(const snapshot::stall_record& of, std::int64_t now_ns) noexcept;
    [[nodiscard]] bool dump_is_due(std::int64_t now_ns) noexcept;

    sources::stall_watch watch_;
    snapshot::stall_ring stalls_;
    bool prepared_ = false;
    bool dumps_wanted_ = false;
    std::int64_t dump_pause_ns_ = 0;
    std::int64_t next_dump_ns_ = 0;
    std::int64_t next_line_ns_ = 0;
    std::int64_t next_capture_ns_ = 0;
    std::uint64_t captures_left_ = max_captures;
    std::uint64_t untold_ = 0;
};

}  // namespace corodump::runtime
