// The verdict "deadlock": tasks that hold resources wait for resources which only tasks like them
// hold. Pure: it knows resources and tasks by number.
//
// A resource is stuck when every one of its holders is known, there is at least one, and each waits
// for a stuck resource. The largest set of which that is true is found by taking all resources as
// stuck and striking out, until nothing changes, those with a holder that can still go on. (For
// single-unit resources this is a cycle of the wait-for graph, for several units a knot; Holt,
// "Some Deadlock Properties of Computer Systems", Computing Surveys 4, 1972.)
//
// Threads: any. Signals: safe. Blocks: never. Bounds: O(resources * holders) a round, at most as
// many rounds as resources.
#pragma once

#include <cstdint>
#include <span>

namespace corodump::analysis {

inline constexpr std::uint32_t no_resource = 0xffffffffU;

struct held_resource {
    std::span<const std::uint32_t> holders;  ///< tasks
    bool whole = false;                      ///< every holder is known and alive
    bool stuck = false;                      ///< out
};

/// Tells what a task waits for: the number of a resource, or no_resource.
class waits_for {
public:
    [[nodiscard]] virtual std::uint32_t resource_of(std::uint32_t task) const noexcept = 0;

protected:
    ~waits_for() = default;
};

/// Marks the stuck resources; returns how many there are.
std::size_t find_stuck(std::span<held_resource> resources, const waits_for& waits) noexcept;

}  // namespace corodump::analysis
