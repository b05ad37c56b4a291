#include "agent/format/profile_writer.hpp"

#include <cstdint>

#include "agent/base/text.hpp"

namespace corodump::format {
namespace {

/// To the nanosecond: runs are short.
void seconds(json_writer& out, std::int64_t ns) noexcept {
    if (ns < 0) return out.null();
    constexpr std::uint64_t second = 1'000'000'000;
    char buffer[40];
    const auto all = static_cast<std::uint64_t>(ns);
    out.raw(base::text(buffer).decimal(all / second).append('.').decimal(all % second, 9).view());
}

void write_counts(json_writer& out, const model::profile_counts& counts) noexcept {
    out.member("calls").number(counts.calls);
    out.member("resumes").number(counts.resumes);
    out.member("running_seconds");
    seconds(out, counts.running_ns);
    out.member("cpu_seconds");
    seconds(out, counts.cpu_ns);
    out.member("suspended_seconds");
    seconds(out, counts.suspended_ns);
    out.member("longest_run_seconds");
    seconds(out, counts.longest_ns);
    out.member("live").number(counts.live);
}

void write_function(json_writer& out, place_writer& places,
                    const model::profile_function& function) noexcept {
    out.begin_object();
    out.commit(out.element(0));
    const bool in_library = places.write({.site = 0, .definition = function.definition});
    out.commit_element(out.reserve(0));
    if (in_library) out.member("library").boolean(true);
    write_counts(out, function.counts);
    out.end_object();
}

void write_chain(json_writer& out, const model::profile_chain& chain) noexcept {
    out.begin_object();
    out.member("function").number(chain.function);
    out.member("parent");
    chain.parent == model::no_index ? out.null() : out.number(chain.parent);
    if (chain.cut) out.member("cut").boolean(true);
    write_counts(out, chain.counts);
    out.end_object();
}

}  // namespace

void write_profile(json_writer& out, place_writer& places, const model::snapshot& all) noexcept {
    if (all.profile == nullptr) return;
    const model::profile& profile = *all.profile;
    out.line();
    out.member("profile").begin_object();
    out.member("session").number(profile.session);
    out.member("running").boolean(profile.running);
    out.member("clock").text(profile.clock);
    out.member("seconds").seconds_or_null(profile.seconds);
    out.member("dropped_resumes").number(profile.dropped_resumes);
    out.line();
    out.member("functions").begin_array();
    for (const model::profile_function& function : profile.functions) {
        if (out.failed()) return;
        out.line();
        write_function(out, places, function);
    }
    out.line();
    out.end_array();
    out.line();
    out.member("chains").begin_array();
    for (const model::profile_chain& chain : profile.chains) {
        if (out.failed()) return;
        out.line();
        write_chain(out, chain);
    }
    out.line();
    out.end_array();
    out.end_object();
}

}  // namespace corodump::format
