// From the overview to the verdicts: gathers the facts that the rules of agent/analysis judge, and writes
// what they say into the snapshot.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never. Bounds: 32 verdicts of 64 tasks and 64 pieces
// of evidence, 1,024 bytes a statement, 512 a piece; beyond these they are cut.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "agent/analysis/rules.hpp"
#include "agent/base/arena.hpp"
#include "agent/base/text.hpp"
#include "agent/model/failures.hpp"
#include "agent/model/loops.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/snapshot/frame_details.hpp"
#include "agent/snapshot/growth_watch.hpp"
#include "agent/snapshot/overview.hpp"

namespace corodump::snapshot {

class diagnosis final : analysis::tasks_view, analysis::verdict_writer {
public:
    diagnosis(base::arena& memory, model::snapshot& of, frame_details& details,
              const overview& seen) noexcept;

    /// Fills snapshot::verdicts, most severe first. `cycle_heads`: where await cycles were cut open;
    /// `growths`: against an earlier dump.
    void make(std::span<const std::uint32_t> cycle_heads,
              std::span<const analysis::growth> growths) noexcept;

private:
    void gather_resources() noexcept;
    void gather_sites() noexcept;
    void gather_stalls() noexcept;
    void gather_stall(const model::stall& from, analysis::busy_thread& to) noexcept;
    void gather_past(const model::stall& from) noexcept;
    [[nodiscard]] std::span<const std::string_view> functions_of(
        std::span<const model::native_frame> frames) noexcept;
    void gather_failures() noexcept;
    void gather_circles(std::span<const std::uint32_t> heads) noexcept;
    [[nodiscard]] std::uint64_t frames_at_rest(std::uint32_t head) const noexcept;

    // analysis::tasks_view
    [[nodiscard]] double rest_seconds(std::uint32_t task) const noexcept override;
    [[nodiscard]] std::uint32_t resource_of(std::uint32_t task) const noexcept override;

    // analysis::verdict_writer
    void open(std::string_view kind, analysis::severity how) override;
    void about(std::uint32_t task) override;
    void about_in_all(std::uint64_t tasks) override;
    void evidence() override;
    void close() override;
    void put(std::string_view text) override;
    void put(analysis::task which) override;
    void put(analysis::place_of which) override;
    bool put_name(std::string_view name) noexcept;
    void end_piece() noexcept;
    void insert(const model::verdict& found) noexcept;

    base::arena& memory_;
    model::snapshot& snapshot_;
    frame_details& details_;
    const overview& seen_;
    analysis::facts facts_;

    std::span<model::verdict> verdicts_;
    std::size_t verdicts_used_ = 0;

    // The verdict that is being written.
    model::verdict open_;
    std::span<std::uint32_t> tasks_;
    std::span<std::string_view> evidence_;
    std::size_t tasks_used_ = 0, evidence_used_ = 0;
    bool in_evidence_ = false;
    char buffer_[1024];
    base::text piece_{buffer_};
};

}  // namespace corodump::snapshot
