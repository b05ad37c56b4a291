// What the verdicts are made of: the few facts of a dump that tell what is wrong, and nothing of where
// they come from. The agent fills them from a snapshot, the reader from a file; a test writes them down.
//
// Tasks are known by a number of the filler's: an index of its own, that it can name again.
//
// Threads, signals, blocking: plain data.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "agent/analysis/wait_cycle.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::analysis {

inline constexpr std::uint32_t no_task = 0xffffffffU;

/// Answers for single tasks.
class tasks_view : public waits_for {
public:
    /// How long the task has been suspended; negative: it is not, or it is not known.
    [[nodiscard]] virtual double rest_seconds(std::uint32_t task) const noexcept = 0;

protected:
    ~tasks_view() = default;
};

/// A lock, a pool, a semaphore: something tasks hold, and wait for.
struct resource {
    std::string_view kind, name;
    std::uint32_t held = 0, capacity = 0;
    std::span<const std::uint32_t> holders;  ///< each once; no_task: one that is no live task
    bool whole = false;                      ///< every holder is known and alive
    bool has_ended_holders = false;          ///< some were taken by tasks that have ended since
    std::uint64_t waiters = 0;
    double oldest_wait_seconds = 0;
};

enum class wait_sort : std::uint8_t { other, resource, input_output, timer };

/// One co_await in the service's own code, and the tasks suspended there.
struct site {
    model::location where;
    std::string_view awaitable;
    wait_sort sort = wait_sort::other;
    std::uint64_t tasks = 0;
    double oldest_seconds = 0, newest_seconds = 0;
    std::uint32_t example = no_task;
};

/// A task that stands where it should not.
struct standing {
    std::uint32_t task = no_task;
    double seconds = 0;
};

/// A task that waits for the end of several others, as its awaitable tells.
struct join {
    std::uint32_t task = no_task;
    std::uint32_t remaining = 0;   ///< children that have not ended, as the join counts them
    std::uint32_t total = 0;       ///< 0: not told
    std::uint32_t present = 0;     ///< children that there are
    std::uint32_t last = no_task;  ///< the one child, where there is one
    double seconds = 0;
};

/// Coroutines that await each other.
struct circle {
    std::uint32_t task = no_task;
    std::uint64_t frames = 0;
};

/// Tasks born at one place, against an earlier dump of the same process.
struct growth {
    model::location born;
    std::uint64_t before = 0, now = 0;
    std::uint64_t survivors = 0;  ///< of those before
    double seconds = 0;           ///< between the two
};

/// A thread that has been inside of one callback or coroutine for longer than its threshold.
struct busy_thread {
    std::string_view loop;  ///< empty: no loop is known
    std::int32_t tid = 0;
    std::uint32_t task = no_task;
    std::string_view coroutine;  ///< the function it resumes; empty: unknown
    std::string_view inside;     ///< the native function it is in; empty: unknown
    std::string_view syscall;    ///< empty: none
    bool runs = false;           ///< on a processor, not blocked
    double seconds = 0;
    std::uint64_t queued = 0;                 ///< callbacks behind it; 0: none, or not known
    std::span<const std::string_view> stack;  ///< functions, innermost first; may be cut
};

/// Stalls that are over, of those the agent remembers.
struct past_stalls {
    std::uint64_t count = 0;
    double longest_seconds = 0, seconds_ago = 0;  ///< since that one began
    std::string_view loop, coroutine;             ///< its; empty: unknown
    std::span<const std::string_view> stack;      ///< its
};

/// Failed tasks of one type whose failure nobody has seen.
struct unseen_failure {
    std::string_view type, message, function;
    std::uint64_t count = 0;
    double seconds_ago = 0;  ///< the last one
};

/// Resources of one kind that are too old, and were opened at one place.
struct overdue_place {
    model::location where;
    std::uint64_t count = 0;
    double oldest_seconds = 0;
    std::uint32_t task = no_task;  ///< one of those that opened them
};

/// What has been open for longer than was said to be right.
struct overdue {
    enum class sort : std::uint8_t { resources, tasks, descriptors };
    sort of = sort::resources;
    std::string_view kind;
    std::uint64_t live = 0, count = 0;  ///< `count`: over the limit
    double limit_seconds = 0, oldest_seconds = 0;
    std::span<const overdue_place> places;           ///< most first; of resources
    std::span<const std::uint32_t> tasks;            ///< of tasks: themselves, oldest first
    std::span<const std::string_view> descriptions;  ///< of descriptors: what they are
};

struct facts {
    const tasks_view* tasks = nullptr;
    std::uint64_t suspended = 0;  ///< tasks
    std::span<const resource> resources;
    std::span<const site> sites;
    std::span<const circle> circles;
    std::span<const standing> never_resumed;
    std::span<const standing> ready;  ///< suspended, though what they await says it is ready
    std::span<const join> joins;
    std::span<const growth> growths;
    std::span<const busy_thread> busy_threads;
    past_stalls stalls;
    std::span<const overdue> overdues;
    std::span<const unseen_failure> failures;
    // Of the lists of standing tasks, which are cut: how many there are.
    std::uint64_t never_resumed_count = 0, ready_count = 0;
};

}  // namespace corodump::analysis
