// From the chains to what a person reads first: the summary and groups of equal chains; and, in the same
// pass, what the verdicts are made of.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never.
// Bounds: one pass over the tasks; 1,024 groups, 64 sites and objects, 1,024 resources, 64 tasks of each
// sort of standing.
#pragma once

#include <span>

#include "agent/analysis/count_table.hpp"
#include "agent/analysis/facts.hpp"
#include "agent/base/arena.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/snapshot/frame_details.hpp"

namespace corodump::snapshot {

/// The first of the tasks that stand where they should not, and how many there are.
struct standing_list {
    static constexpr std::size_t room = 64;
    analysis::standing tasks[room];
    std::uint64_t count = 0;

    void add(std::uint32_t task, double seconds) noexcept {
        if (count < room) tasks[count] = {task, seconds};
        ++count;
    }
    [[nodiscard]] std::span<const analysis::standing> listed() const noexcept {
        return std::span(tasks).first(count < room ? count : room);
    }
};
struct standing_tasks {
    standing_list never_resumed;
    standing_list ready;
};

class overview {
public:
    struct wait {
        std::uint32_t task;
        std::uint32_t resource;
    };
    struct site_range {
        std::uint32_t example = model::no_index;  ///< a root
        std::uint32_t oldest = 0, newest = 0;     ///< ticks
    };

    overview(base::arena& memory, model::snapshot& of, frame_details& details) noexcept;

    /// Fills summary and groups.
    void make() noexcept;

    [[nodiscard]] std::uint64_t suspended() const noexcept { return suspended_; }
    /// Tasks that wait for a described resource, by task.
    [[nodiscard]] std::span<const wait> waits() const noexcept { return waits_.first(waits_used_); }
    [[nodiscard]] std::uint32_t resource_of(std::uint32_t task) const noexcept;
    /// As summary.by_await_site.
    [[nodiscard]] std::span<const analysis::counted<site_range>> sites() const noexcept {
        return listed_sites_;
    }
    [[nodiscard]] const standing_tasks& standing() const noexcept { return standing_; }
    [[nodiscard]] std::span<const analysis::join> joins() const noexcept {
        return std::span(joins_).first(joins_used_);
    }
    /// The innermost frame of a chain that is not a library's; the leaf itself where all are.
    [[nodiscard]] std::uint32_t innermost_own(std::uint32_t root,
                                              std::uint32_t leaf) const noexcept;

private:
    struct range {
        std::uint32_t oldest = model::no_index;
        std::uint32_t newest = model::no_index;
    };

    void note(std::uint32_t root) noexcept;
    void note_site(std::uint32_t root, std::uint32_t leaf) noexcept;
    void note_object(std::uint32_t root, const model::frame& leaf) noexcept;
    [[nodiscard]] double seconds(std::uint32_t ticks) const noexcept {
        return ticks * snapshot_.seconds_per_tick;
    }
    void note_group(std::uint32_t root, std::uint32_t leaf) noexcept;
    void add_shared_objects(std::span<model::object_count> room, std::size_t used) noexcept;
    [[nodiscard]] std::uint64_t chain_hash(std::uint32_t root, std::uint32_t leaf) const noexcept;
    void finish_summary() noexcept;
    void finish_groups() noexcept;
    void note_standing(std::uint32_t root, const model::frame& leaf) noexcept;
    void note_told(std::uint32_t root, const model::frame& leaf,
                   const sources::description_facts& told) noexcept;

    base::arena& memory_;
    model::snapshot& snapshot_;
    frame_details& details_;
    analysis::count_table<site_range> sites_;
    std::span<const analysis::counted<site_range>> listed_sites_;
    analysis::count_table<const known_resource*> objects_;
    analysis::count_table<range> groups_;
    struct awaited {
        std::uint64_t object;
        std::uint32_t leaf;
    };
    std::span<awaited> awaited_;  ///< objects that are no resources
    std::size_t awaited_used_ = 0;
    std::span<wait> waits_;
    std::size_t waits_used_ = 0;
    std::uint64_t suspended_ = 0;
    standing_tasks standing_;
    analysis::join joins_[standing_list::room];
    std::size_t joins_used_ = 0;
};

}  // namespace corodump::snapshot
