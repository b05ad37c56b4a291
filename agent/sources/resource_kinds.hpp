// The kinds of resources that the service has trackers for. One that was made stays, with all it
// has counted: tokens outlive their trackers, and a dump may come at any time.
//
// Threads: kind_of_names any; the rest too, without a lock. Signals: reading is safe. Blocks:
// kind_of_names, on a lock of its own. Errors: kind 0. Bounds: max_kinds; texts are cut.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace corodump::sources {

inline constexpr std::size_t max_kinds = 255;

struct alignas(64) resource_kind {
    // Set before the kind is published, and the same for ever; terminated.
    char name[64];
    char type[192];
    std::atomic<std::uint64_t> max_age_ns;  ///< 0: the agent's
    std::atomic<std::uint64_t> refused;
    // A line of its own: threads meet here, though not for each resource.
    alignas(64) std::atomic<std::int64_t> gathered;  ///< how many are open, as threads told so far
    std::atomic<std::int64_t> peak;                  ///< of it
};

/// Kinds are numbered from 1.
[[nodiscard]] std::uint32_t kind_of_names(std::string_view name, std::string_view type,
                                          std::uint64_t max_age_ns) noexcept;
[[nodiscard]] std::size_t kind_count() noexcept;
/// `kind` from 1 to kind_count().
[[nodiscard]] resource_kind& kind_at(std::uint32_t kind) noexcept;

/// For kinds without one of their own; 0: none.
void set_resource_max_age(std::uint64_t ns) noexcept;
/// After which one of this kind is leaked; 0: never.
[[nodiscard]] std::uint64_t max_age_of(const resource_kind& kind) noexcept;

}  // namespace corodump::sources
