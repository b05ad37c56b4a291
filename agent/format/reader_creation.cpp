// The part of dump_builder that reads how tasks were created.
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "agent/format/dump.hpp"
#include "agent/format/reader_elements.hpp"
#include "agent/format/reader_fields.hpp"
#include "agent/format/reader_tree.hpp"

namespace corodump::format {

namespace {

constexpr std::array<std::string_view, 3> creation_modes = {"creators", "sampled", "all"};

}  // namespace

void dump_builder::read_creation_stack(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    creation_stack out;
    in.read("id", need::value, out.id);
    in.read("count", need::value, out.count);
    read_native_frames(json, in.find_array("frames", need::value), in.where()["frames"],
                       out.frames);
    in.finish();
    if (in) dump_.creation_stacks.push_back(std::move(out));
}

void dump_builder::read_creation(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    creation_info& out = dump_.creation;
    in.read_choice("mode", need::value, out.mode, creation_modes);
    in.read("budget_percent", need::nullable, out.budget_percent);
    in.read("births", need::value, out.births);
    in.read("missed", need::value, out.missed);
    const need of_stacks = out.mode == "creators" ? need::optional : need::value;
    in.read("depth", of_stacks, out.depth);
    in.read("stacks_taken", of_stacks, out.stacks_taken);
    in.read("short_stacks", of_stacks, out.short_stacks);
    in.read("distinct_stacks", of_stacks, out.distinct_stacks);
    in.read("stack_bytes", of_stacks, out.stack_bytes);
    in.read("stacks_left_out", of_stacks, out.stacks_left_out);
    in.finish();
}

}  // namespace corodump::format
