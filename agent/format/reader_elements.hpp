// Turns the elements of a dump into structs: the reader's one description of format 1.
//
// The functions follow docs/format.md from top to bottom, member by member in its order.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: as problem_log's mode says.
// Bounds: as format/dump.hpp and format/reader_tree.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/format/dump.hpp"
#include "agent/format/reader_fields.hpp"
#include "agent/format/reader_tree.hpp"

namespace corodump::format {

// Closed lists and bounds of format 1.
inline constexpr std::array<std::string_view, 4> states = {"pending", "done", "failed",
                                                           "cancelled"};
inline constexpr std::array<std::string_view, 4> activities = {"not_started", "suspended",
                                                               "running", "unknown"};
inline constexpr std::size_t max_listed = 64;  ///< ids, evidence and summary rows, by the format

class dump_builder final : public element_consumer {
public:
    dump_builder(problem_log& log, dump& into) : log_(log), dump_(into) {}

    wish begin_member(std::string_view key, std::uint64_t offset) override;
    void begin_elements(std::string_view key) override;
    void member(std::string_view key, const tree& value) override;
    void element(std::string_view key, std::uint64_t index, const tree& value) override;

    /// The file has ended at `offset`: tells of members that never came.
    void finish(std::uint64_t offset);

private:
    static constexpr std::array<std::string_view, 21> members = {
        "format",   "format_version", "dump",     "process",           "verdicts", "summary",
        "groups",   "tasks",          "left_out", "creation_stacks",   "creation", "threads",
        "loops",    "stalls_seen",    "stalls",   "tracked_resources", "profile",  "failures",
        "finished", "failure_counts", "modules"};
    /// Some were added to format 1, and some are there only with something in them.
    static constexpr std::array<std::string_view, 12> optional_members = {
        "left_out", "creation_stacks", "creation",          "threads",
        "loops",    "stalls",          "stalls_seen",       "failures",
        "finished", "failure_counts",  "tracked_resources", "profile"};

    [[nodiscard]] object_fields fields(const tree& json, std::uint32_t at, const path& where) {
        return {log_, *dump_.pool, json, at, where};
    }
    template <class Each>
    void each_object(const tree& json, std::optional<std::uint32_t> array, const path& where,
                     const Each& each);

    void read_format(const tree& json, const path& where);
    void read_version(const tree& json, const path& where);
    void read_dump(const tree& json, const path& where);
    void read_trigger(object_fields& in, const tree& json);
    void read_counts(object_fields& in, const tree& json);
    void read_process(const tree& json, const path& where);
    void read_verdict(const tree& json, const path& where);
    void read_summary(const tree& json, const path& where);
    void read_left_out(const tree& json, const path& where);
    void read_tally(object_fields& in, const tree& json, std::string_view name,
                    std::vector<std::pair<text, std::uint64_t>>& out);
    void read_await_site(const tree& json, std::uint32_t at, const path& where);
    void read_object_count(const tree& json, std::uint32_t at, const path& where);
    void read_group(const tree& json, const path& where);
    void read_task(const tree& json, const path& where);
    void absent_when_empty(const tree& json, std::uint32_t at, const path& where);
    void read_labels(object_fields& in, const tree& json, task& out);
    void read_created(object_fields& in, const tree& json, task& out);
    void read_children(object_fields& in, task& out);
    void read_chain(object_fields& in, const tree& json, task& out);
    void read_frame(const tree& json, std::uint32_t at, const path& where, task& out);
    void read_locals(object_fields& in, const tree& json, task& out);
    void read_local(const tree& json, std::uint32_t at, const path& where, std::vector<local>& out);
    void read_leaf(const tree& json, std::uint32_t at, const path& where, task& out);
    void read_native_stack(object_fields& in, const tree& json, task& out);
    void read_native_frames(const tree& json, std::optional<std::uint32_t> array, const path& where,
                            std::vector<native_frame>& out);
    void read_creation_stack(const tree& json, const path& where);
    void read_creation(const tree& json, const path& where);
    void read_thread(const tree& json, const path& where);
    void read_loop(const tree& json, const path& where);
    void read_callbacks(object_fields& in, const tree& json, loop& out);
    void read_stall(const tree& json, const path& where);
    void read_stack(object_fields& in, const tree& json, thread& out);
    void read_resources(const tree& json, const path& where);
    void read_resource_kind(const tree& json, std::uint32_t at, const path& where);
    void read_resource_place(const tree& json, std::uint32_t at, const path& where);
    void read_leaked(const tree& json, std::uint32_t at, const path& where);
    void read_profile(const tree& json, const path& where);
    void read_profile_counts(object_fields& in, profile_counts& out);
    void read_profile_function(const tree& json, std::uint32_t at, const path& where);
    void read_profile_chain(const tree& json, std::uint32_t at, const path& where);
    void read_failure(const tree& json, const path& where);
    void read_failure_chain(object_fields& in, const tree& json, failure& out);
    [[nodiscard]] const frame_shape* read_location(object_fields& in, const tree& json);
    void read_failure_created(object_fields& in, const tree& json, failure& out);
    void read_finished(const tree& json, const path& where);
    void read_failure_counts(const tree& json, const path& where);
    void read_module(const tree& json, const path& where);
    void read_place(object_fields& in, frame_shape& out);
    void read_library(object_fields& in, bool only_true, frame_shape& out);

    problem_log& log_;
    dump& dump_;
    std::array<bool, members.size()> seen_{};
    std::size_t last_seen_ = 0;
    std::vector<const frame_shape*> shapes_;  ///< of the chain being read
};

template <class Each>
void dump_builder::each_object(const tree& json, std::optional<std::uint32_t> array,
                               const path& where, const Each& each) {
    if (!array) return;
    object_fields::for_each(
        json, *array, [&](std::uint32_t at, std::uint64_t index) { each(at, where.at(index)); });
}

}  // namespace corodump::format
