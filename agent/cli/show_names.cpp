#include "agent/cli/show_names.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace corodump::cli {

namespace {

constexpr std::size_t longest_name = 56;  ///< columns of a function's name before it is shortened
constexpr std::size_t longest_task_name = 40;
constexpr std::string_view gone_task = "a task that is gone";

/// Where the argument list that opens at `open` ends; npos where it does not. `operator<` and `->`
/// open and close nothing.
std::size_t matching_bracket(std::string_view name, std::size_t open) {
    std::size_t depth = 0;
    for (std::size_t i = open; i < name.size(); ++i) {
        if (name[i] == '<') {
            ++depth;
        } else if (name[i] == '>' && (i == 0 || name[i - 1] != '-') && --depth == 0) {
            return i;
        }
    }
    return std::string_view::npos;
}

std::vector<std::string_view> source_files(const format::dump& all) {
    std::set<const format::chain_shape*> chains;
    for (const format::task& t : all.tasks) chains.insert(t.chain);
    std::set<std::string_view> files;
    for (const format::chain_shape* chain : chains) {
        for (const format::frame_shape* frame : chain->frames) {
            if (!frame->library && frame->file) files.insert(frame->file.view());
        }
    }
    return {files.begin(), files.end()};
}

}  // namespace

std::string left_out::told() const {
    const std::pair<std::uint64_t, std::string_view> parts[] = {
        {groups, "more group"},
        {member_tasks, "task inside a group"},
        {library_frames, "library frame"},
        {repeated_frames, "repeated frame"},
        {threads, "thread"},
        {loops, "loop"},
        {stalls, "earlier stall"},
        {profiled, "profiled function"},
        {native_frames, "native frame"},
        {rows, "row or id"},
        {shortened_names, "long name's part"}};
    std::string told;
    for (const auto& [count, what] : parts) {
        if (count == 0) continue;
        if (!told.empty()) told += ", ";
        if (what == "task inside a group") {
            told += counted(count, "task") + " inside groups";
        } else if (what == "row or id") {
            told += counted(count, "row") + " of lists";
        } else if (what == "long name's part") {
            told += "parts of " + counted(count, "long name");
        } else {
            told += counted(count, what);
            if (what == "more group") told += " of " + counted(group_tasks, "task");
        }
    }
    return told;
}

std::string without_template_arguments(std::string_view name, std::size_t width) {
    if (display_width(name) <= width) return std::string(name);
    std::string shorter;
    for (std::size_t at = 0; at < name.size();) {
        const bool is_operator = shorter.ends_with("operator") || shorter.ends_with("operator<");
        const std::size_t end =
            name[at] == '<' && !is_operator ? matching_bracket(name, at) : std::string_view::npos;
        if (end == std::string_view::npos) {
            shorter += name[at++];
        } else {
            shorter += end == at + 1 ? "<>" : "<…>";
            at = end + 1;
        }
    }
    return cut_to(shorter, width);
}

std::string_view library_of(std::string_view function) {
    const std::size_t end = function.find_first_of("<( ");
    const std::string_view plain = function.substr(0, end);
    const std::size_t first = plain.find("::");
    if (first == std::string_view::npos || first == 0) return {};
    const std::size_t second = plain.find("::", first + 2);
    // "std::async" is of std; "boost::asio::async_read" of boost::asio.
    return plain.substr(0, second == std::string_view::npos ? first : second);
}

std::string common_directory(const std::vector<std::string_view>& files) {
    if (files.empty()) return {};
    std::string_view common = files.front();
    for (const std::string_view file : files) {
        if (!file.starts_with('/')) return {};
        const auto differs = std::mismatch(common.begin(), common.end(), file.begin(), file.end());
        common = common.substr(0, static_cast<std::size_t>(differs.first - common.begin()));
    }
    const std::size_t slash = common.rfind('/');
    if (slash == std::string_view::npos || slash == 0) return {};
    return std::string(common.substr(0, slash + 1));
}

show_names::show_names(const format::dump& all, const view_options& options)
    : options_(options),
      colour_(options.colours),
      index_(all),
      source_directory_(common_directory(source_files(all))) {}

std::string show_names::shortened(format::text name, std::size_t width) {
    if (!name) return "(unknown)";
    std::string whole = printable(name.view());
    if (options_.all) return whole;
    std::string shorter = without_template_arguments(whole, width);
    if (shorter != whole) ++hidden_.shortened_names;
    return shorter;
}

std::string show_names::function(format::text name) {
    return shortened(name, longest_name);
}

std::string show_names::type(format::text name) {
    return shortened(name, options_.width - 30);
}

std::string show_names::place(const format::frame_shape& frame) const {
    if (!frame.file) return {};
    std::string_view file = frame.file.view();
    if (!source_directory_.empty() && file.starts_with(source_directory_)) {
        file.remove_prefix(source_directory_.size());
    }
    std::string place = printable(file);
    if (frame.line != 0) place += ':' + std::to_string(frame.line);
    return place;
}

/// In quotes, and empty for a task without a name.
std::string show_names::task_name(const format::task_id& id) {
    const format::task* known = index_.find(id);
    if (known == nullptr || !known->name) return {};
    const std::string whole = printable(known->name.view());
    const std::string name = options_.all ? whole : cut_to(whole, longest_task_name);
    if (name != whole) ++hidden_.shortened_names;
    return '"' + name + '"';
}

std::string show_names::task(const format::task_id& id) {
    if (!id) return std::string(gone_task);
    const std::string name = task_name(id);
    return to_string(id) + (name.empty() ? "" : ' ' + colour_(paint::strong, name));
}

std::size_t show_names::task_width(const format::task_id& id) const {
    const format::task* known = index_.find(id);
    const bool named = known != nullptr && known->name;
    const std::size_t name = named ? display_width(printable(known->name.view())) + 3 : 0;
    const std::size_t most = options_.all ? name : std::min(name, longest_task_name + 3);
    return (id ? to_string(id).size() : gone_task.size()) + most;
}

std::string show_names::tasks(const std::vector<format::task_id>& ids, std::size_t room,
                              std::uint64_t total) {
    constexpr std::size_t room_for_rest = 18;  // " and 1,000,000 more"
    total = std::max<std::uint64_t>(total, ids.size());
    std::string result;
    std::size_t shown = 0;
    std::size_t used = 0;
    for (const format::task_id& id : ids) {
        used += task_width(id) + 2;
        const std::size_t limit = shown + 1 == total ? room : room - std::min(room, room_for_rest);
        if (shown > 0 && used > limit && !options_.all) break;
        result += (shown == 0 ? "" : ", ") + task(id);
        ++shown;
    }
    if (total > shown) {
        result += (shown == 0 ? "" : " and ") + human_count(total - shown) + " more";
        hidden_.rows += ids.size() - shown;
    }
    return result;
}

std::string show_names::object(format::text kind, format::text name) const {
    std::string result = kind ? printable(kind.view()) : "object";
    if (name) result += ' ' + quoted(name.view());
    return result;
}

}  // namespace corodump::cli
