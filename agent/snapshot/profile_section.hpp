// The profile for a dump: the counts of all threads added up by function and by await chain, and
// what the live coroutines have waited so far.
//
//   sources: nodes {parent, definition} + sums by node ──> chains[], parents first ──> functions[]
//
// Threads: watchdog only. Signals: unsafe. Blocks: never. Errors: none, where the arena is full.
// Bounds: max_nodes chains and as many functions; each live frame once.
#pragma once

#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/model/profile.hpp"
#include "agent/sources/frame_index.hpp"
#include "agent/sources/profile.hpp"

namespace corodump::snapshot {

class profile_section {
public:
    /// All of them outlive what is made; `index` may be null.
    profile_section(base::arena& memory, std::span<const model::frame> frames,
                    const sources::frame_index* index) noexcept
        : memory_(memory), frames_(frames), index_(index) {}

    /// Null: there never was a profile, or there is no memory for it.
    [[nodiscard]] const model::profile* make() noexcept;

private:
    void add_live() noexcept;
    void mark_parents() noexcept;
    [[nodiscard]] bool make_chains() noexcept;
    [[nodiscard]] std::uint32_t function_of(std::uint64_t definition) noexcept;
    [[nodiscard]] model::profile_counts counts_of(const sources::profile_sum& from) const noexcept;
    void add_to_functions() noexcept;
    [[nodiscard]] std::uint32_t& place_of(std::uint64_t definition) noexcept;

    base::arena& memory_;
    std::span<const model::frame> frames_;
    const sources::frame_index* index_;
    sources::profile_view view_;
    std::span<sources::profile_sum> sums_;  ///< by node
    std::span<std::uint32_t> chain_of_;     ///< by node: 0: none; its index + 1; `wanted`
    std::span<model::profile_chain> chains_;
    std::span<model::profile_function> functions_;
    std::span<std::uint32_t> function_index_;  ///< hash of definitions: index + 1
    std::uint32_t functions_used_ = 0;
};

}  // namespace corodump::snapshot
