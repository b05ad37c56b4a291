// What a dump says of open resources: how many of each kind, where they were opened, and those that
// are open for too long.
//
// Threads: one owner (the watchdog). Signals: unsafe. Blocks: never.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "agent/model/snapshot.hpp"

namespace corodump::model {

struct resource_kind {
    std::string_view name;
    std::string_view type;  ///< empty: none
    bool built_in = false;  ///< tasks, descriptors
    std::uint64_t live = 0;
    std::int64_t peak = -1;    ///< -1: unknown
    std::int64_t opened = -1;  ///< -1: unknown
    std::uint64_t refused = 0;
    std::int64_t oldest_ns = -1;   ///< -1: none is open, or unknown
    std::int64_t max_age_ns = -1;  ///< -1: no limit
    std::uint64_t over_limit = 0;
};

/// Open resources of one kind that were opened at one place.
struct resource_place {
    std::uint32_t kind = 0;  ///< into tracked_resources::kinds
    std::uint64_t site = 0;  ///< key for details::where
    std::uint64_t live = 0;
    std::uint64_t over_limit = 0;
    std::int64_t oldest_ns = 0;
};

/// Older than its kind's limit.
struct leaked_resource {
    std::uint32_t kind = 0;
    std::string_view label;    ///< empty: none
    std::uint64_t object = 0;  ///< 0: unknown
    std::int32_t descriptor = -1;
    std::int64_t age_ns = 0;
    std::uint64_t site = 0;        ///< 0: unknown
    std::uint64_t definition = 0;  ///< of a task, which has no site
    bool has_stack = false;
    std::span<const native_frame> stack;
    std::uint32_t frame = no_index;  ///< that opened it; of a task, its own
    std::int32_t thread = 0;         ///< 0: unknown
};

struct tracked_resources {
    std::span<const resource_kind> kinds;    ///< those of trackers first
    std::span<const resource_place> places;  ///< most open first
    std::uint64_t places_left_out = 0;       ///< resources at other places
    std::span<const leaked_resource> leaks;  ///< by kind, oldest first
    std::uint64_t leaks_left_out = 0;
};

}  // namespace corodump::model
