// From the chains to what a person reads first: the summary, groups of equal chains, verdicts.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never.
// Bounds: one pass over the tasks; 1,024 groups, 64 sites and objects, 1,024 resources.
#pragma once

#include <span>

#include "agent/analysis/count_table.hpp"
#include "agent/analysis/wait_cycle.hpp"
#include "agent/base/arena.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/snapshot/frame_details.hpp"

namespace corodump::snapshot {

class overview final : analysis::waits_for {
public:
    overview(base::arena& memory, model::snapshot& of, frame_details& details) noexcept;

    /// Fills summary, groups and verdicts. `cycle_heads`: where await cycles were cut open.
    void make(std::span<const std::uint32_t> cycle_heads) noexcept;

private:
    struct range {
        std::uint32_t oldest = model::no_index;
        std::uint32_t newest = model::no_index;
    };
    struct wait {
        std::uint32_t task;
        std::uint32_t resource;
    };

    void note(std::uint32_t root) noexcept;
    void note_site(std::uint32_t root, std::uint32_t leaf) noexcept;
    void note_object(std::uint32_t root, const model::frame& leaf) noexcept;
    void note_group(std::uint32_t root, std::uint32_t leaf) noexcept;
    void add_shared_objects(std::span<model::object_count> room, std::size_t used) noexcept;
    [[nodiscard]] std::uint64_t chain_hash(std::uint32_t root, std::uint32_t leaf) const noexcept;
    [[nodiscard]] std::uint32_t innermost_own(std::uint32_t root, std::uint32_t leaf) noexcept;
    void finish_summary() noexcept;
    void finish_groups() noexcept;
    void find_deadlocks() noexcept;
    void add_deadlock(std::span<const analysis::held_resource> resources) noexcept;
    void add_await_cycles(std::span<const std::uint32_t> heads) noexcept;
    [[nodiscard]] std::uint64_t frames_at_rest(std::uint32_t head) const noexcept;
    void add_verdict(const model::verdict& found) noexcept;
    [[nodiscard]] std::string_view task_name(std::uint32_t root, std::span<char> out) noexcept;
    [[nodiscard]] std::string_view deadlock_statement(
        std::span<const analysis::held_resource> resources, std::size_t holders,
        std::size_t waiters) noexcept;
    [[nodiscard]] std::uint32_t resource_of(std::uint32_t task) const noexcept override;

    base::arena& memory_;
    model::snapshot& snapshot_;
    frame_details& details_;
    analysis::count_table<std::uint32_t> sites_;
    analysis::count_table<const known_resource*> objects_;
    analysis::count_table<range> groups_;
    struct awaited {
        std::uint64_t object;
        std::uint32_t leaf;
    };
    std::span<awaited> awaited_;  ///< objects that are no resources
    std::size_t awaited_used_ = 0;
    std::span<model::verdict> verdicts_;
    std::size_t verdicts_used_ = 0;
    std::span<wait> waits_;  ///< tasks that wait for a described resource, by task
    std::size_t waits_used_ = 0;
};

}  // namespace corodump::snapshot
