#include "agent/cli/profile_tree.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>

namespace corodump::cli {
namespace {

std::int64_t ns(const std::optional<double>& seconds) {
    return seconds ? std::llround(*seconds * 1e9) : 0;
}

profile_row row_of(const format::profile_counts& from) {
    profile_row row;
    row.calls = from.calls;
    row.resumes = from.resumes;
    row.live = from.live;
    row.running_ns = ns(from.running);
    row.cpu_ns = ns(from.cpu);
    row.suspended_ns = ns(from.suspended);
    row.longest_ns = ns(from.longest_run);
    return row;
}

/// What is there now and was not before. Nothing that is counted becomes less, but what is
/// suspended at a dump counts with it, and is counted as of another moment later.
profile_row difference(const profile_row& now, const profile_row& then) {
    profile_row made = now;
    made.calls -= std::min(now.calls, then.calls);
    made.resumes -= std::min(now.resumes, then.resumes);
    made.running_ns = std::max<std::int64_t>(now.running_ns - then.running_ns, 0);
    made.cpu_ns = std::max<std::int64_t>(now.cpu_ns - then.cpu_ns, 0);
    made.suspended_ns = std::max<std::int64_t>(now.suspended_ns - then.suspended_ns, 0);
    return made;
}

bool same_place(const format::frame_shape& a, const format::frame_shape& b) {
    return a.function.view() == b.function.view() && a.file.view() == b.file.view() &&
           a.line == b.line;
}

}  // namespace

profile_row& profile_row::operator+=(const profile_row& other) {
    calls += other.calls;
    resumes += other.resumes;
    live += other.live;
    running_ns += other.running_ns;
    cpu_ns += other.cpu_ns;
    suspended_ns += other.suspended_ns;
    waiting_ns += other.waiting_ns;
    longest_ns = std::max(longest_ns, other.longest_ns);
    return *this;
}

profile_tree::profile_tree(const format::dump& all)
    : clock_(all.profile.clock.view()),
      session_(all.profile.session),
      seconds_(all.profile.seconds.value_or(0)),
      running_(all.profile.running),
      dropped_(all.profile.dropped_resumes) {
    std::map<const format::frame_shape*, std::size_t> function_at;
    std::map<std::tuple<std::size_t, std::size_t, bool>, std::size_t> node_at;
    std::vector<std::size_t> function_of(all.profile.functions.size());
    for (std::size_t i = 0; i < all.profile.functions.size(); ++i) {
        const format::profile_function& from = all.profile.functions[i];
        const auto [found, is_new] = function_at.try_emplace(from.where, functions_.size());
        if (is_new) functions_.push_back({from.where, {}});
        function_of[i] = found->second;
        functions_[found->second].own += row_of(from.counts);
    }
    std::vector<std::size_t> node_of(all.profile.chains.size());
    for (std::size_t i = 0; i < all.profile.chains.size(); ++i) {
        const format::profile_chain& from = all.profile.chains[i];
        const std::size_t function = function_of[from.function];
        const std::size_t parent = from.parent ? node_of[*from.parent] : profile_node::none;
        const auto [found, is_new] =
            node_at.try_emplace(std::tuple(parent, function, from.cut), nodes_.size());
        if (is_new) {
            nodes_.push_back({function, parent, from.cut, {}, {}});
            if (parent != profile_node::none) nodes_[parent].children.push_back(found->second);
        }
        node_of[i] = found->second;
        nodes_[found->second].own += row_of(from.counts);
    }
    find_waiting();
}

void profile_tree::find_waiting() {
    for (profile_function& function : functions_) function.own.waiting_ns = 0;
    for (profile_node& node : nodes_) {
        std::int64_t waiting = node.own.suspended_ns;
        for (const std::size_t child : node.children)
            waiting -= nodes_[child].own.running_ns + nodes_[child].own.suspended_ns;
        node.own.waiting_ns = std::max<std::int64_t>(waiting, 0);
        functions_[node.function].own.waiting_ns += node.own.waiting_ns;
    }
}

bool profile_tree::subtract(const profile_tree& older) {
    if (older.session_ != session_ || older.clock_ != clock_ || older.seconds_ > seconds_)
        return false;
    for (profile_function& function : functions_) {
        const auto then = std::ranges::find_if(older.functions_, [&](const profile_function& one) {
            return same_place(*one.where, *function.where);
        });
        if (then != older.functions_.end()) function.own = difference(function.own, then->own);
    }
    // A node of the older tree for each of this one; parents come first in both.
    std::vector<std::size_t> then_of(nodes_.size(), profile_node::none);
    std::vector<std::size_t> then_roots;
    for (std::size_t t = 0; t < older.nodes_.size(); ++t)
        if (older.nodes_[t].parent == profile_node::none) then_roots.push_back(t);
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        const profile_node& node = nodes_[i];
        const bool root = node.parent == profile_node::none;
        const std::size_t above = root ? profile_node::none : then_of[node.parent];
        if (!root && above == profile_node::none) continue;
        for (const std::size_t t : root ? then_roots : older.nodes_[above].children) {
            const profile_node& then = older.nodes_[t];
            if (then.cut != node.cut || !same_place(*older.functions_[then.function].where,
                                                    *functions_[node.function].where))
                continue;
            then_of[i] = t;
            nodes_[i].own = difference(node.own, then.own);
            break;
        }
    }
    find_waiting();
    seconds_ -= older.seconds_;
    dropped_ -= std::min(dropped_, older.dropped_);
    return true;
}

profile_row profile_tree::total() const {
    profile_row sum;
    for (const profile_function& function : functions_) sum += function.own;
    return sum;
}

std::string name_of(const profile_function& function) {
    return function.where->function ? std::string(function.where->function.view())
                                    : std::string("(unknown function)");
}

}  // namespace corodump::cli
