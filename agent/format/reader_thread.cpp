// The part of dump_builder that reads threads and their native stacks.
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/format/dump.hpp"
#include "agent/format/reader_elements.hpp"
#include "agent/format/reader_fields.hpp"
#include "agent/format/reader_tree.hpp"

namespace corodump::format {

namespace {

constexpr std::array<std::string_view, 3> stack_sources = {"none", "no_signal", "signal"};
constexpr std::array<std::string_view, 4> stack_qualities = {"exact", "live", "inferred",
                                                             "partial"};

}  // namespace

void dump_builder::read_native_frames(const tree& json, std::optional<std::uint32_t> array,
                                      const path& where, std::vector<native_frame>& out) {
    each_object(json, array, where, [&](std::uint32_t at, const path& here) {
        object_fields in = fields(json, at, here);
        native_frame frame;
        in.read("function", need::nullable, frame.function);
        in.read("module", need::nullable, frame.module);
        in.read("build_id", need::nullable, frame.build_id);
        in.read_address("offset", need::nullable, frame.offset);
        in.read_address("address", need::nullable, frame.address);
        in.read("live", need::optional, frame.live);
        in.read("inferred", need::optional, frame.inferred);
        in.finish();
        out.push_back(frame);
    });
}

void dump_builder::read_stack(object_fields& in, const tree& json, thread& out) {
    const auto at = in.find_object("stack", need::value);
    if (!at) return;
    object_fields stack = fields(json, *at, in.where()["stack"]);
    stack.read_choice("source", need::value, out.stack_source, stack_sources);
    stack.read_choice("quality", need::value, out.stack_quality, stack_qualities);
    const bool partial = out.stack_quality == "partial";
    stack.read("reason", partial ? need::value : need::optional, out.stack_reason);
    stack.finish();
}

void dump_builder::read_thread(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    thread out;
    in.read("tid", need::nullable, out.tid);
    in.read("name", need::nullable, out.name);
    in.read("state", need::nullable, out.state);
    in.read("syscall", need::nullable, out.syscall);
    in.read("syscall_number", need::nullable, out.syscall_number);
    in.read("wait_channel", need::nullable, out.wait_channel);
    read_stack(in, json, out);
    in.read("task", need::nullable, out.task);
    in.read_ids("outer_tasks", need::optional, true, out.outer_tasks);
    read_native_frames(json, in.find_array("frames", need::value), in.where()["frames"],
                       out.frames);
    in.finish();
    if (in) dump_.threads.push_back(std::move(out));
}

}  // namespace corodump::format
