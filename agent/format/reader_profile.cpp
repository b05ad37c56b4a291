// The part of dump_builder that reads what was profiled.
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

constexpr std::array<std::string_view, 3> profile_clocks = {"off", "wall", "cpu"};

}  // namespace

void dump_builder::read_profile(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    profile& out = dump_.profile;
    out.there = true;
    in.read("session", need::value, out.session);
    in.read("running", need::value, out.running);
    in.read_choice("clock", need::value, out.clock, profile_clocks);
    in.read("seconds", need::nullable, out.seconds);
    in.read("dropped_resumes", need::value, out.dropped_resumes);
    each_object(json, in.find_array("functions", need::value), where["functions"],
                [&](std::uint32_t at, const path& here) { read_profile_function(json, at, here); });
    each_object(json, in.find_array("chains", need::value), where["chains"],
                [&](std::uint32_t at, const path& here) { read_profile_chain(json, at, here); });
    in.finish();
}

void dump_builder::read_profile_counts(object_fields& in, profile_counts& out) {
    in.read("calls", need::value, out.calls);
    in.read("resumes", need::value, out.resumes);
    in.read("running_seconds", need::nullable, out.running);
    in.read("cpu_seconds", need::nullable, out.cpu);
    in.read("suspended_seconds", need::nullable, out.suspended);
    in.read("longest_run_seconds", need::nullable, out.longest_run);
    in.read("live", need::value, out.live);
    in.finish();
}

void dump_builder::read_profile_function(const tree& json, std::uint32_t at, const path& where) {
    object_fields in = fields(json, at, where);
    profile_function out;
    frame_shape shape;
    read_place(in, shape);
    read_library(in, true, shape);
    out.where = dump_.pool->intern(shape);
    read_profile_counts(in, out.counts);
    dump_.profile.functions.push_back(out);
}

/// What a chain refers to comes before it, so that whoever follows it comes to an end. One that
/// refers to nothing known stays, as one of its own: others count on its place.
void dump_builder::read_profile_chain(const tree& json, std::uint32_t at, const path& where) {
    object_fields in = fields(json, at, where);
    profile_chain out;
    std::optional<std::int64_t> parent;
    in.read("function", need::value, out.function);
    in.read("parent", need::nullable, parent);
    in.read("cut", need::optional, out.cut);
    read_profile_counts(in, out.counts);
    std::vector<profile_chain>& chains = dump_.profile.chains;
    if (parent && (*parent < 0 || *parent >= static_cast<std::int64_t>(chains.size())))
        log_.unusable(where["parent"], in.offset(), "is no chain that comes before this one");
    else if (parent)
        out.parent = static_cast<std::uint32_t>(*parent);
    if (out.function >= dump_.profile.functions.size()) {
        log_.unusable(where["function"], in.offset(), "is no function of the profile");
        if (dump_.profile.functions.empty())
            dump_.profile.functions.push_back({dump_.pool->intern(frame_shape{}), {}});
        out.function = 0;
    }
    chains.push_back(out);
}

}  // namespace corodump::format
