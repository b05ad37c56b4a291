// Writes the open resources of a dump. Nothing where none are tracked.
//
//   "tracked_resources":{"kinds":[{"kind":…,"type":…, …}, …],"places":[{"kind":…, …}, …],
//    "places_left_out":…,"leaks":[{"kind":…,"label":…, … "opened_at":{…},"task":…}, …],
//    "leaks_left_out":…}
//
// Threads: one owner. Signals: unsafe. Blocks: as long as the sink and `details` do.
// Errors:  unknown values become null.
// Bounds:  as the model says; what would take the file over its limit is left out, counted.
#pragma once

#include <cstdint>

#include "agent/format/chain_walk.hpp"
#include "agent/format/json_writer.hpp"
#include "agent/format/place_writer.hpp"
#include "agent/model/resources.hpp"

namespace corodump::format {

/// Bytes that the writer takes, roughly.
[[nodiscard]] std::uint64_t room_for_resources(const model::snapshot& all) noexcept;

class resource_writer {
public:
    /// All of them outlive the writer.
    resource_writer(json_writer& out, place_writer& places, chain_walk& walk,
                    const model::snapshot& all) noexcept
        : out_(out), places_(places), walk_(walk), all_(all) {}

    /// One member, of an object that is open. `room_behind`: bytes that are to follow.
    void write(std::uint64_t room_behind) noexcept;

private:
    void write_kind(const model::resource_kind& kind) noexcept;
    void write_place(const model::resource_place& place) noexcept;
    void write_leak(const model::leaked_resource& leak) noexcept;
    void write_opened_at(const model::leaked_resource& leak) noexcept;
    void place(std::uint64_t site, std::uint64_t definition) noexcept;
    void write_task(std::uint32_t frame) noexcept;
    void seconds(std::int64_t ns) noexcept;

    json_writer& out_;
    place_writer& places_;
    chain_walk& walk_;
    const model::snapshot& all_;
};

}  // namespace corodump::format
