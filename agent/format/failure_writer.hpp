// Writes the sections of what failed and what has ended:
//
//   "failures":[{"time":…,"task":…,"name":…[,"labels":{…}],"type":…,"message":…,"location":{place},
//     "await_chain":[{place[,"library":true]},…],"created":{"location":{place},"by":null},
//     "thrown_at":…,"observed":…},…],
//   "finished":[{"task":…,"name":…,"function":…,"file":…,"line":…,"outcome":…,"ended":…,
//     "duration_seconds":…,"cancelled_by":…},…],
//   "failure_counts":{…}
//
// Threads: one owner. Signals: unsafe. Blocks: as the sink and the details do.
// Errors:  unknown values become null. Bounds: as the model says.
#pragma once

#include "agent/format/json_writer.hpp"
#include "agent/format/place_writer.hpp"
#include "agent/model/failures.hpp"

namespace corodump::format {

class failure_writer {
public:
    /// All of them outlive the writer.
    failure_writer(json_writer& out, place_writer& places, const model::snapshot& all) noexcept
        : out_(out), places_(places), all_(all) {}

    /// Nothing where the snapshot has no such section.
    void write() noexcept;

private:
    void write_failure(const model::failure& one) noexcept;
    void write_labels(const model::failure& one) noexcept;
    void write_chain(const model::failure& one) noexcept;
    void write_finished(const model::finished_task& one) noexcept;
    bool write_place(std::uint64_t site, std::uint64_t definition) noexcept;
    [[nodiscard]] static std::uint64_t known_definition(const model::failure& one) noexcept;
    void write_id(std::uint64_t address, std::uint32_t generation) noexcept;
    void write_time(std::int64_t unix_ns) noexcept;

    json_writer& out_;
    place_writer& places_;
    const model::snapshot& all_;
};

}  // namespace corodump::format
