// Writes the loops of a dump and its last stalls.
//
//   "loops":[{"name":…,"kind":…,"threads":[…],"callbacks":{…},"queue_delay":…,"queued":…,
//             "current":…}, …],
//   "stalls_seen":…,"stalls":[{"loop":…,"thread":…,"time":…, … "frames":[{frame}, …]}, …]
//
// Threads: one owner. Signals: unsafe. Blocks: as long as the sink does.
// Errors:  unknown values become null.
// Bounds:  as the model says; the writer's buffer.
#pragma once

#include <cstdint>

#include "agent/format/chain_walk.hpp"
#include "agent/format/json_writer.hpp"
#include "agent/model/loops.hpp"

namespace corodump::format {

class loop_writer {
public:
    /// All of them outlive the writer.
    loop_writer(json_writer& out, chain_walk& walk, const model::snapshot& all) noexcept
        : out_(out), walk_(walk), all_(all) {}

    /// As members of an object that is open.
    void write(const model::loops& loops) noexcept;

private:
    void write_loop(const model::loop& loop) noexcept;
    void write_callbacks(const model::loop& loop) noexcept;
    void write_current(const model::loop_callback& current) noexcept;
    void write_stall(const model::stall& stall) noexcept;
    void write_task(std::uint32_t frame) noexcept;
    /// With six decimals: callbacks are short.
    void seconds(std::int64_t ns) noexcept;

    json_writer& out_;
    chain_walk& walk_;
    const model::snapshot& all_;
};

}  // namespace corodump::format
