// Open resources for a dump: the kinds and what they count, the places that most were opened at,
// and those that are older than their kind's limit, oldest first.
//
//   slabs ──> each entry: generation, tick, where ──> kinds_, places_, oldest of those too old
//                                                        └─> read once more, whole: leaks
//
// The 16 bytes that tell a resource's age and place are looked at of all; the rest only of those
// that are shown, and only if they are still open then.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never, but on the file system of the images for
// stacks. Errors: less of it, where the arena is full. Bounds: max_leaks of trackers, and as many
// as max_built_in_leaks of tasks and of descriptors; max_places; the dump's deadline.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/analysis/count_table.hpp"
#include "agent/base/arena.hpp"
#include "agent/model/resources.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/snapshot/code_names.hpp"
#include "agent/snapshot/frame_details.hpp"
#include "agent/sources/descriptor_watch.hpp"
#include "agent/sources/frame_index.hpp"
#include "agent/sources/resources.hpp"

namespace corodump::snapshot {

struct resource_options {
    const sources::descriptor_watch* descriptors = nullptr;        ///< null, or not on: not watched
    std::uint64_t task_max_age_ms = 0, descriptor_max_age_ms = 0;  ///< 0: no limit
    redaction redact;
};

/// The oldest of those that are offered, in fixed memory: a heap with the youngest of them on top.
class oldest_list {
public:
    struct item {
        std::int64_t age_ns = 0;
        std::uint64_t what = 0;  ///< an entry's address, a frame, a descriptor
        std::uint32_t generation = 0;
        [[nodiscard]] bool older_than(const item& other) const noexcept {
            return age_ns != other.age_ns ? age_ns > other.age_ns : what < other.what;
        }
    };
    explicit oldest_list(std::span<item> room) noexcept : room_(room) {}
    void offer(const item& one) noexcept;
    /// Oldest first; nothing is offered afterwards.
    [[nodiscard]] std::span<const item> sorted() noexcept;
    [[nodiscard]] std::uint64_t left_out() const noexcept { return offered_ - used_; }

private:
    std::span<item> room_;
    std::size_t used_ = 0;
    std::uint64_t offered_ = 0;
};

class resource_section {
public:
    static constexpr std::size_t max_leaks = 1024;
    static constexpr std::size_t max_built_in_leaks = 256;
    static constexpr std::size_t max_places = 512;

    /// All of them outlive what is made; `index` may be null.
    resource_section(base::arena& memory, code_names& code, const model::snapshot& all,
                     const sources::frame_index* index, const resource_options& options) noexcept
        : memory_(memory), code_(code), all_(all), index_(index), options_(options) {}

    /// Null: nothing is tracked.
    [[nodiscard]] const model::tracked_resources* make() noexcept;
    /// The deadline had passed before all entries were looked at.
    [[nodiscard]] bool late() const noexcept { return late_; }

private:
    struct place_value {
        std::uint32_t kind = 0;
        std::uint64_t over_limit = 0;
        std::int64_t oldest_ns = 0;
    };
    using place_table = analysis::count_table<place_value>;

    [[nodiscard]] bool watches_descriptors() const noexcept {
        return options_.descriptors != nullptr && options_.descriptors->on();
    }
    void describe_kinds() noexcept;
    void look_at_entries(place_table& places, oldest_list& leaks) noexcept;
    void look_at(const sources::resource_entry& entry, place_table& places,
                 oldest_list& leaks) noexcept;
    void look_at_tasks(oldest_list& leaks) noexcept;
    void look_at_descriptors(oldest_list& leaks) noexcept;
    /// Whether it is over its kind's limit.
    static bool count_age(model::resource_kind& kind, std::int64_t age_ns) noexcept;
    void describe_places(place_table& places) noexcept;
    void describe_leaks(std::span<const oldest_list::item> entries,
                        std::span<const oldest_list::item> tasks,
                        std::span<const oldest_list::item> descriptors) noexcept;
    [[nodiscard]] bool describe(const oldest_list::item& from, model::leaked_resource& to,
                                std::uint32_t& stack) noexcept;
    [[nodiscard]] std::uint64_t own_definition(std::uint32_t root) const noexcept;
    void describe_task(const oldest_list::item& from, model::leaked_resource& to) noexcept;
    void describe_descriptor(const oldest_list::item& from, model::leaked_resource& to) noexcept;
    void name_stacks(std::span<model::leaked_resource> leaks,
                     std::span<const std::uint32_t> ids) noexcept;
    [[nodiscard]] std::string_view shown(std::string_view label, std::string_view kind) noexcept;
    [[nodiscard]] std::int64_t age_of(std::uint32_t tick) const noexcept;

    base::arena& memory_;
    code_names& code_;
    const model::snapshot& all_;
    const sources::frame_index* index_;
    resource_options options_;
    model::tracked_resources* made_ = nullptr;
    std::span<model::resource_kind> kinds_;
    std::uint32_t task_kind_ = 0, descriptor_kind_ = 0;
    std::span<std::uint32_t> stack_ids_;
    bool late_ = false;
};

}  // namespace corodump::snapshot
