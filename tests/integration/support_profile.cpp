#include "support_profile.hpp"

#include <nlohmann/json.hpp>

namespace support {
namespace {

using nlohmann::json;

double seconds(const json& value) {
    return value.is_null() ? 0 : value.get<double>();
}

profiled counts_of(const json& from) {
    return {from["calls"],
            from["resumes"],
            from["live"],
            seconds(from["running_seconds"]),
            seconds(from["cpu_seconds"]),
            seconds(from["suspended_seconds"]),
            seconds(from["longest_run_seconds"])};
}

void add(profiled& to, const profiled& from) {
    to.calls += from.calls;
    to.resumes += from.resumes;
    to.live += from.live;
    to.running += from.running;
    to.cpu += from.cpu;
    to.suspended += from.suspended;
    to.longest = std::max(to.longest, from.longest);
}

std::string name_in(const json& function) {
    return function["function"].is_null() ? "?" : function["function"].get<std::string>();
}

}  // namespace

profile profile_of(const dump& from) {
    const json all = json::parse(from.text);
    profile made;
    if (!all.contains("profile")) return made;
    const json& in = all["profile"];
    made.there = true;
    made.running = in["running"];
    made.clock = in["clock"];
    made.dropped = in["dropped_resumes"];
    for (const json& function : in["functions"])
        made.functions.push_back({{name_in(function)}, counts_of(function)});
    for (const json& chain : in["chains"]) {
        const json& function = in["functions"][chain["function"].get<std::size_t>()];
        std::vector<std::string> names;
        if (!chain["parent"].is_null())
            names = made.chains[chain["parent"].get<std::size_t>()].names;
        if (!function.contains("library")) names.push_back(name_in(function));
        made.chains.push_back({names, counts_of(chain)});
    }
    return made;
}

profiled profile::function(std::string_view name) const {
    profiled sum;
    for (const entry& one : functions)
        if (one.names.front() == name) add(sum, one.counts);
    return sum;
}

profiled profile::chain(const std::vector<std::string_view>& names) const {
    profiled sum;
    for (const entry& one : chains)
        if (std::equal(one.names.begin(), one.names.end(), names.begin(), names.end()))
            add(sum, one.counts);
    return sum;
}

std::string profile::text() const {
    std::string all;
    for (const entry& one : chains) {
        for (const std::string& name : one.names) all += name + ';';
        all += ' ' + std::to_string(one.counts.calls) + ' ' + std::to_string(one.counts.resumes) +
               '\n';
    }
    return all;
}

}  // namespace support
