// The part of dump_builder that reads open resources.
#include <cstdint>
#include <utility>

#include "agent/format/dump.hpp"
#include "agent/format/reader_elements.hpp"
#include "agent/format/reader_fields.hpp"
#include "agent/format/reader_tree.hpp"

namespace corodump::format {

void dump_builder::read_resource_kind(const tree& json, std::uint32_t at, const path& where) {
    object_fields in = fields(json, at, where);
    resource_kind out;
    in.read("kind", need::value, out.kind);
    in.read("type", need::nullable, out.type);
    in.read("built_in", need::optional, out.built_in);
    in.read("live", need::value, out.live);
    in.read("peak", need::nullable, out.peak);
    in.read("opened", need::nullable, out.opened);
    in.read("refused", need::value, out.refused);
    in.read("oldest_seconds", need::nullable, out.oldest_seconds);
    in.read("max_age_seconds", need::nullable, out.max_age_seconds);
    in.read("over_limit", need::value, out.over_limit);
    in.finish();
    if (in) dump_.resources.kinds.push_back(out);
}

void dump_builder::read_resource_place(const tree& json, std::uint32_t at, const path& where) {
    object_fields in = fields(json, at, where);
    resource_place out;
    frame_shape shape;
    in.read("kind", need::value, out.kind);
    read_place(in, shape);
    out.where = dump_.pool->intern(shape);
    in.read("live", need::value, out.live);
    in.read("oldest_seconds", need::nullable, out.oldest_seconds);
    in.read("over_limit", need::value, out.over_limit);
    in.finish();
    if (in) dump_.resources.places.push_back(out);
}

void dump_builder::read_leaked(const tree& json, std::uint32_t at, const path& where) {
    object_fields in = fields(json, at, where);
    leaked_resource out;
    in.read("kind", need::value, out.kind);
    in.read("label", need::nullable, out.label);
    in.read_address("object", need::nullable, out.object);
    in.read("descriptor", need::nullable, out.descriptor);
    in.read("age_seconds", need::nullable, out.age_seconds);
    if (const auto place = in.find_object("opened_at", need::nullable)) {
        object_fields opened = fields(json, *place, where["opened_at"]);
        frame_shape shape;
        read_place(opened, shape);
        opened.finish();
        out.opened_at = dump_.pool->intern(shape);
    }
    const auto stack = in.find_array("stack", need::nullable);
    out.has_stack = stack.has_value();
    read_native_frames(json, stack, where["stack"], out.stack);
    in.read("task", need::nullable, out.task);
    in.read("thread", need::nullable, out.thread);
    in.finish();
    if (in) dump_.resources.leaks.push_back(std::move(out));
}

void dump_builder::read_resources(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    each_object(json, in.find_array("kinds", need::value), where["kinds"],
                [&](std::uint32_t at, const path& here) { read_resource_kind(json, at, here); });
    each_object(json, in.find_array("places", need::value), where["places"],
                [&](std::uint32_t at, const path& here) { read_resource_place(json, at, here); });
    in.read("places_left_out", need::value, dump_.resources.places_left_out);
    each_object(json, in.find_array("leaks", need::value), where["leaks"],
                [&](std::uint32_t at, const path& here) { read_leaked(json, at, here); });
    in.read("leaks_left_out", need::value, dump_.resources.leaks_left_out);
    in.finish();
}

}  // namespace corodump::format
