// The part of dump_builder that reads what failed and what has ended.
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/format/dump.hpp"
#include "agent/format/reader_elements.hpp"
#include "agent/format/reader_fields.hpp"
#include "agent/format/reader_tree.hpp"

namespace corodump::format {

namespace {

constexpr std::array<std::string_view, 3> outcomes = {"done", "failed", "cancelled"};

}  // namespace

/// The member `location`, a place.
const frame_shape* dump_builder::read_location(object_fields& in, const tree& json) {
    frame_shape shape;
    if (const auto at = in.find_object("location", need::value)) {
        object_fields place = fields(json, *at, in.where()["location"]);
        read_place(place, shape);
        place.finish();
    }
    return dump_.pool->intern(shape);
}

void dump_builder::read_failure_chain(object_fields& in, const tree& json, failure& out) {
    shapes_.clear();
    each_object(json, in.find_array("await_chain", need::value), in.where()["await_chain"],
                [&](std::uint32_t at, const path& here) {
                    object_fields frame = fields(json, at, here);
                    frame_shape shape;
                    read_place(frame, shape);
                    read_library(frame, true, shape);
                    frame.finish();
                    shapes_.push_back(dump_.pool->intern(shape));
                });
    out.chain = dump_.pool->intern(shapes_);
}

void dump_builder::read_failure_created(object_fields& in, const tree& json, failure& out) {
    const auto at = in.find_object("created", need::value);
    if (!at) return;
    object_fields created = fields(json, *at, in.where()["created"]);
    out.created_at = read_location(created, json);
    created.read("by", need::nullable, out.created_by);
    created.finish();
}

void dump_builder::read_failure(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    failure out;
    in.read_time("time", need::value, out.time);
    in.read("task", need::nullable, out.task);
    in.read("name", need::nullable, out.name);
    if (const auto labels = in.find_object("labels", need::optional)) {
        object_fields::for_each(json, *labels, [&](std::uint32_t at, std::uint64_t) {
            out.labels.push_back({dump_.pool->intern(json.key_of(json[at])),
                                  dump_.pool->intern(json.text_of(json[at]))});
        });
    }
    in.read("type", need::nullable, out.type);
    in.read("message", need::nullable, out.message);
    out.location = read_location(in, json);
    read_failure_chain(in, json, out);
    read_failure_created(in, json, out);
    const auto stack = in.find_array("thrown_at", need::nullable);
    out.has_stack = stack.has_value();
    read_native_frames(json, stack, in.where()["thrown_at"], out.thrown_at);
    in.read("observed", need::value, out.observed);
    in.finish();
    if (in) dump_.failures.push_back(std::move(out));
}

void dump_builder::read_finished(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    finished_task out;
    in.read("task", need::nullable, out.task);
    in.read("name", need::nullable, out.name);
    frame_shape shape;
    read_place(in, shape);
    out.definition = dump_.pool->intern(shape);
    in.read_choice("outcome", need::value, out.outcome, outcomes);
    in.read_time("ended", need::nullable, out.ended);
    in.read("duration_seconds", need::nullable, out.duration_seconds);
    in.read("cancelled_by", need::nullable, out.cancelled_by);
    in.finish();
    if (in) dump_.finished.push_back(out);
}

void dump_builder::read_failure_counts(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    failure_counts& out = dump_.failure_counts;
    in.read("failures", need::value, out.failures);
    in.read("failures_dropped", need::value, out.failures_dropped);
    in.read("finished", need::value, out.finished);
    in.read("finished_dropped", need::value, out.finished_dropped);
    in.finish();
}

}  // namespace corodump::format
