#include "agent/cli/profile_exports.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "agent/cli/version.hpp"

namespace corodump::cli {
namespace {

constexpr std::size_t none = profile_node::none;

/// What a dump says is valid UTF-8: its reader has seen to that.
std::string json_text(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string escaped = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\')
            escaped += {'\\', c};
        else if (byte >= ' ')
            escaped += c;
        else
            escaped += {'\\', 'u', '0', '0', digits[byte >> 4U], digits[byte & 15U]};
    }
    return escaped + '"';
}

/// In folded stacks ';' parts frames and a space the count.
std::string folded_name(std::string_view name) {
    std::string clean;
    for (std::size_t i = 0; i < name.size(); ++i) {
        const auto c = static_cast<unsigned char>(name[i]);
        const bool blank = c <= ' ' || c == 0x7f;
        if (!blank)
            clean += c == ';' ? ':' : name[i];
        else if (!clean.empty() && clean.back() != ',' && clean.back() != '_')
            clean += '_';
    }
    return clean.empty() ? std::string("(unknown)") : clean;
}

/// One line, of what is before the end.
std::string one_line(std::string_view text) {
    std::string clean(text);
    std::ranges::replace_if(clean, [](char c) { return static_cast<unsigned char>(c) < ' '; }, '_');
    return clean;
}

const profile_function& function_of(const profile_tree& profile, const profile_node& node) {
    return profile.functions()[node.function];
}

/// From the outermost to the node; `(...)` where what awaited them is not known.
std::vector<std::size_t> path_to(const profile_tree& profile, std::size_t node) {
    std::vector<std::size_t> path;
    for (std::size_t at = node; at != none; at = profile.nodes()[at].parent) path.push_back(at);
    std::ranges::reverse(path);
    return path;
}

/// What each node and all below it took. Children stand behind their parents.
std::vector<profile_row> inclusive(const profile_tree& profile) {
    std::vector<profile_row> sums;
    for (const profile_node& node : profile.nodes()) sums.push_back(node.own);
    for (std::size_t i = sums.size(); i > 0; --i)
        if (const std::size_t parent = profile.nodes()[i - 1].parent; parent != none)
            sums[parent] += sums[i - 1];
    return sums;
}

void put_times(std::ostream& out, const profile_tree& profile, const profile_row& row) {
    const auto put = [&](const char* name, bool measured, std::int64_t ns) {
        out << ",\"" << name << "\":";
        measured ? out << ns : out << "null";
    };
    out << "\"calls\":" << row.calls << ",\"resumes\":" << row.resumes << ",\"live\":" << row.live;
    put("running_ns", profile.times(), row.running_ns);
    put("cpu_ns", profile.processor_time(), row.cpu_ns);
    put("suspended_ns", profile.times(), row.suspended_ns);
    put("waiting_ns", profile.times(), row.waiting_ns);
    put("longest_run_ns", profile.times(), row.longest_ns);
}

void put_place(std::ostream& out, const profile_function& function) {
    const format::frame_shape& where = *function.where;
    if (where.file) out << ",\"file\":" << json_text(where.file.view());
    if (where.line != 0) out << ",\"line\":" << where.line;
}

/// One of speedscope's profiles: a sample for each chain, as heavy as its innermost frame's own
/// time.
void put_samples(std::ostream& out, const profile_tree& profile, profile_measure by) {
    std::uint64_t whole = 0;
    std::string weights;
    bool first = true;
    const bool times = by != profile_measure::resumes;
    out << R"({"type":"sampled","name":)" << json_text(name_of(by)) << R"(,"unit":")"
        << (times ? "nanoseconds" : "none") << R"(","samples":[)";
    for (std::size_t i = 0; i < profile.nodes().size(); ++i) {
        const std::uint64_t weight = amount_of(profile.nodes()[i].own, by);
        if (weight == 0) continue;
        out << (first ? "\n[" : ",\n[");
        std::string_view comma;
        for (const std::size_t at : path_to(profile, i)) {
            out << std::exchange(comma, ",") << profile.nodes()[at].function;
        }
        out << ']';
        weights += (first ? "" : ",") + std::to_string(weight);
        whole += weight;
        first = false;
    }
    out << "],\n\"weights\":[" << weights << R"(],"startValue":0,"endValue":)" << whole << '}';
}

/// How often a node's function stands in its chain, up to itself.
std::vector<unsigned> recursion(const profile_tree& profile) {
    std::vector<unsigned> levels;
    for (std::size_t i = 0; i < profile.nodes().size(); ++i) {
        const std::vector<std::size_t> path = path_to(profile, i);
        levels.push_back(static_cast<unsigned>(std::ranges::count_if(path, [&](std::size_t at) {
            return profile.nodes()[at].function == profile.nodes()[i].function;
        })));
    }
    return levels;
}

class callgrind_writer {
public:
    callgrind_writer(const profile_tree& profile, std::ostream& out)
        : profile_(profile), out_(out), levels_(recursion(profile)), all_(inclusive(profile)) {}

    void write(const std::string& name);

private:
    /// A function at a level of recursion.
    using key = std::pair<std::size_t, unsigned>;
    struct entry {
        profile_row own;
        std::map<key, profile_row> callees;
    };

    void costs(const profile_row& row) const {
        if (!profile_.times()) {
            out_ << row.resumes << '\n';
            return;
        }
        out_ << row.running_ns;
        if (profile_.processor_time()) out_ << ' ' << row.cpu_ns;
        out_ << ' ' << row.waiting_ns << ' ' << row.resumes << '\n';
    }
    void function(const char* file_tag, const char* name_tag, const key& of) const {
        const profile_function& is = profile_.functions()[of.first];
        out_ << file_tag << '='
             << (is.where->file ? one_line(is.where->file.view()) : std::string("???")) << '\n'
             << name_tag << '=' << one_line(name_of(is));
        if (of.second > 1) out_ << '\'' << of.second;
        out_ << '\n';
    }
    [[nodiscard]] std::uint32_t line(const key& of) const {
        return profile_.functions()[of.first].where->line;
    }
    [[nodiscard]] key key_of(std::size_t node) const {
        return {profile_.nodes()[node].function, levels_[node]};
    }

    const profile_tree& profile_;
    std::ostream& out_;
    std::vector<unsigned> levels_;
    std::vector<profile_row> all_;
};

void callgrind_writer::write(const std::string& name) {
    std::map<key, entry> entries;
    for (std::size_t i = 0; i < profile_.nodes().size(); ++i) {
        entry& to = entries[key_of(i)];
        to.own += profile_.nodes()[i].own;
        for (const std::size_t child : profile_.nodes()[i].children) {
            profile_row& callee = to.callees[key_of(child)];
            const std::uint64_t calls = callee.calls + profile_.nodes()[child].own.calls;
            callee += all_[child];
            callee.calls = calls;
        }
    }
    out_ << "# callgrind format\nversion: 1\ncreator: corodump " << CORODUMP_VERSION
         << "\ncmd: " << one_line(name) << "\npositions: line\n";
    if (profile_.times())
        out_ << "event: Running : Time inside of coroutines (ns)\n"
             << (profile_.processor_time() ? "event: Cpu : Processor time (ns)\n" : "")
             << "event: Waiting : Time suspended (ns)\nevent: Resumes : Resumes\n"
             << (profile_.processor_time() ? "events: Running Cpu Waiting Resumes\n"
                                           : "events: Running Waiting Resumes\n");
    else
        out_ << "event: Resumes : Resumes\nevents: Resumes\n";
    profile_row whole;
    for (const profile_node& node : profile_.nodes()) whole += node.own;
    out_ << "summary: ";
    costs(whole);
    for (const auto& [of, what] : entries) {
        out_ << '\n';
        function("fl", "fn", of);
        out_ << line(of) << ' ';
        costs(what.own);
        for (const auto& [callee, took] : what.callees) {
            function("cfi", "cfn", callee);
            out_ << "calls=" << took.calls << ' ' << line(callee) << '\n' << line(of) << ' ';
            costs(took);
        }
    }
    out_ << "\ntotals: ";
    costs(whole);
}

}  // namespace

void write_profile_json(const profile_tree& profile, std::ostream& out) {
    out << "{\"clock\":" << json_text(profile.clock()) << ",\"seconds\":" << profile.seconds()
        << ",\"running\":" << (profile.running() ? "true" : "false")
        << ",\"dropped_resumes\":" << profile.dropped_resumes() << ",\n\"functions\":[";
    const char* comma = "\n";
    for (const profile_function& function : profile.functions()) {
        out << std::exchange(comma, ",\n") << "{\"function\":" << json_text(name_of(function));
        put_place(out, function);
        out << ',';
        put_times(out, profile, function.own);
        out << '}';
    }
    out << "],\n\"chains\":[";
    comma = "\n";
    const std::vector<profile_row> all = inclusive(profile);
    for (std::size_t i = 0; i < profile.nodes().size(); ++i) {
        const profile_node& node = profile.nodes()[i];
        out << std::exchange(comma, ",\n") << "{\"function\":" << node.function << ",\"parent\":";
        node.parent == none ? out << "null" : out << node.parent;
        out << ",\"cut\":" << (node.cut ? "true" : "false") << ",\"own\":{";
        put_times(out, profile, node.own);
        out << "},\"with_children\":{";
        put_times(out, profile, all[i]);
        out << "}}";
    }
    out << "]}\n";
}

void write_profile_folded(const profile_tree& profile, profile_measure by, std::ostream& out) {
    for (std::size_t i = 0; i < profile.nodes().size(); ++i) {
        std::uint64_t amount = amount_of(profile.nodes()[i].own, by);
        if (by != profile_measure::resumes) amount = (amount + 500) / 1000;
        if (amount == 0) continue;
        std::string_view semicolon;
        for (const std::size_t at : path_to(profile, i)) {
            const profile_node& node = profile.nodes()[at];
            out << std::exchange(semicolon, ";");
            if (node.cut) out << "(...);";
            out << folded_name(name_of(function_of(profile, node)));
        }
        out << ' ' << amount << '\n';
    }
}

void write_profile_speedscope(const profile_tree& profile, const std::string& name,
                              std::ostream& out) {
    out << R"({"$schema":"https://www.speedscope.app/file-format-schema.json",)"
        << R"("exporter":"corodump )" << CORODUMP_VERSION << R"(","name":)" << json_text(name)
        << R"(,"activeProfileIndex":0,"shared":{"frames":[)";
    const char* comma = "\n";
    for (const profile_function& function : profile.functions()) {
        out << std::exchange(comma, ",\n") << "{\"name\":" << json_text(name_of(function));
        put_place(out, function);
        out << '}';
    }
    out << "]},\n\"profiles\":[";
    std::vector<profile_measure> measures;
    if (profile.times()) measures.push_back(profile_measure::running);
    if (profile.processor_time()) measures.push_back(profile_measure::cpu);
    if (profile.times()) measures.push_back(profile_measure::waiting);
    measures.push_back(profile_measure::resumes);
    comma = "\n";
    for (const profile_measure by : measures) {
        out << std::exchange(comma, ",\n");
        put_samples(out, profile, by);
    }
    out << "]}\n";
}

void write_profile_callgrind(const profile_tree& profile, const std::string& name,
                             std::ostream& out) {
    callgrind_writer(profile, out).write(name);
}

}  // namespace corodump::cli
