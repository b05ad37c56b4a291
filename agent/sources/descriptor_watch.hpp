// The process's file descriptors, and since when each has been open, as far as a look at them now
// and then can tell.
//
//   /proc/thread-self/fd ── a part at each tick ──> number: what it is (hash), first seen, pass
//
// What a descriptor is comes from the text of its link ("socket:[81234]", a path), not from fstat,
// which may hang on a file system that does not answer. A number whose text has changed from one
// pass to the next is another descriptor; closed and opened again as the same thing between two
// passes it is taken for one. Those there in the first pass are the process's own from the start.
//
// Passes come a second apart, or as far as a hundred times what the last one cost.
//
// Threads: watchdog only, prepare by who installs. Signals: unsafe. Blocks: never (/proc is read).
// Errors: where there is no descriptor left to look with, what the last pass saw stays. Bounds: max_descriptors, 1,024 at a tick.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace corodump::sources {

struct descriptor_totals {
    std::uint64_t live = 0, peak = 0, opened = 0;  ///< opened: since the first pass
    std::uint64_t unwatched = 0;                   ///< numbers beyond max_descriptors
};

class descriptor_watch {
public:
    static constexpr std::size_t max_descriptors = 65536;

    descriptor_watch() noexcept = default;
    descriptor_watch(const descriptor_watch&) = delete;
    descriptor_watch& operator=(const descriptor_watch&) = delete;

    /// Takes memory, once, and starts anew: the pass that follows at once is the first. 0 or an
    /// errno.
    [[nodiscard]] int begin(std::int64_t now_ns) noexcept;
    void end() noexcept { on_ = false; }
    [[nodiscard]] bool on() const noexcept { return on_; }

    /// At a tick: a part of a pass, where one is due.
    void look(std::int64_t now_ns) noexcept;
    /// A whole pass, now: for a dump.
    void look_at_all(std::int64_t now_ns) noexcept;

    [[nodiscard]] const descriptor_totals& totals() const noexcept { return totals_; }
    /// Since when it has been seen, CLOCK_MONOTONIC; -1: it was not there in the last pass.
    [[nodiscard]] std::int64_t first_seen_ns(std::size_t number) const noexcept;
    /// It was there in the first pass.
    [[nodiscard]] bool from_the_start(std::size_t number) const noexcept;
    /// Numbers from here on were not seen.
    [[nodiscard]] std::size_t end_of_numbers() const noexcept { return highest_; }
    /// What it is now, in `out`; empty: it is closed.
    [[nodiscard]] static std::string_view target_of(std::size_t number,
                                                    std::span<char> out) noexcept;

private:
    struct seen {
        std::uint64_t what;  ///< hash of its text
        std::int64_t first_ns;
        std::uint32_t pass;        ///< the last it was there in; 0: never
        std::uint32_t first_pass;  ///< 1: from the start
    };

    enum class progress : std::uint8_t { more, whole, failed };
    /// At most so many.
    [[nodiscard]] progress look_at(std::size_t most, std::int64_t now_ns) noexcept;
    void note(int directory, std::size_t number, std::int64_t now_ns) noexcept;
    void begin_pass() noexcept;
    void end_pass(progress how) noexcept;

    std::span<seen> table_;
    descriptor_totals totals_;
    std::uint32_t pass_ = 0;        ///< that goes on, or was last
    std::uint32_t last_whole_ = 0;  ///< pass
    std::int64_t position_ = 0;     ///< in the directory; 0: its beginning
    std::int64_t due_ns_ = 0;       ///< of the next pass
    std::int64_t cost_ns_ = 0;      ///< of this pass, so far
    std::uint64_t found_ = 0;       ///< in this pass
    std::uint64_t unwatched_ = 0;   ///< in this pass
    std::size_t highest_ = 0;       ///< number seen, and 1
    bool in_pass_ = false;
    bool on_ = false;
};

}  // namespace corodump::sources
