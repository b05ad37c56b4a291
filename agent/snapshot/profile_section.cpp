#include "agent/snapshot/profile_section.hpp"

#include <algorithm>

#include "agent/sources/profile_nodes.hpp"

namespace corodump::snapshot {
namespace {

constexpr std::uint32_t wanted = model::no_index;
constexpr std::size_t function_places = 2 * sources::max_nodes;

void add(model::profile_counts& to, const model::profile_counts& from) noexcept {
    const auto sum = [](std::int64_t& into, std::int64_t what) {
        if (what >= 0) into = std::max<std::int64_t>(into, 0) + what;
    };
    to.calls += from.calls;
    to.resumes += from.resumes;
    to.live += from.live;
    sum(to.running_ns, from.running_ns);
    sum(to.cpu_ns, from.cpu_ns);
    sum(to.suspended_ns, from.suspended_ns);
    to.longest_ns = std::max(to.longest_ns, from.longest_ns);
}

}  // namespace

const model::profile* profile_section::make() noexcept {
    view_ = sources::view_profile();
    if (view_.session == 0) return nullptr;
    const std::size_t nodes = sources::nodes_end();
    const auto made = memory_.allocate_span<model::profile>(1);
    sums_ = memory_.allocate_span<sources::profile_sum>(nodes);
    chain_of_ = memory_.allocate_span<std::uint32_t>(nodes);
    if (made.empty() || sums_.size() != nodes || chain_of_.size() != nodes) return nullptr;
    sources::read_profile(view_, sums_);
    add_live();
    mark_parents();
    if (!make_chains()) return nullptr;
    constexpr std::string_view clocks[] = {"off", "wall", "cpu"};
    made[0].session = sources::number_of_session(view_.session);
    made[0].running = view_.running;
    made[0].clock = clocks[static_cast<unsigned>(view_.clock)];
    made[0].seconds = view_.seconds;
    made[0].chains = chains_;
    made[0].functions = functions_.first(functions_used_);
    made[0].dropped_resumes = sums_[sources::no_node].resumes;
    return made.data();
}

/// A frame at its end waits for nobody but its destroyer.
void profile_section::add_live() noexcept {
    if (index_ == nullptr) return;
    for (std::uint32_t i = 0; i < frames_.size(); ++i) {
        sources::profile_of_frame found;
        if (!sources::find_profile(view_, index_->record_of(i), frames_[i].generation, found) ||
            found.node >= sums_.size())
            continue;
        ++sums_[found.node].live;
        if (frames_[i].state == model::task_state::pending)
            sums_[found.node].suspended += found.suspended;
    }
}

/// What has run, and all above it. A parent's number is not always below its child's.
void profile_section::mark_parents() noexcept {
    for (std::uint32_t node = sources::cut_node + 1; node < sums_.size(); ++node) {
        if (sums_[node].resumes == 0 && sums_[node].live == 0) continue;
        std::uint32_t at = node;
        for (unsigned depth = 0; depth <= sources::max_node_depth; ++depth) {
            if (at <= sources::cut_node || at >= sums_.size() || chain_of_[at] == wanted) break;
            if (sources::node_at(at).definition == 0) break;
            chain_of_[at] = wanted;
            at = sources::node_at(at).parent;
        }
    }
}

bool profile_section::make_chains() noexcept {
    const auto count = static_cast<std::size_t>(std::ranges::count(chain_of_, wanted));
    chains_ = memory_.allocate_span<model::profile_chain>(count);
    functions_ = memory_.allocate_span<model::profile_function>(count);
    function_index_ = memory_.allocate_span<std::uint32_t>(function_places);
    if (count == 0) return true;
    if (chains_.size() != count || functions_.size() != count || function_index_.empty())
        return false;
    std::uint32_t used = 0;
    // By depth, so that parents come first.
    for (std::uint32_t depth = 1; depth <= sources::max_node_depth && used < count; ++depth)
        for (std::uint32_t node = sources::cut_node + 1; node < sums_.size(); ++node) {
            if (chain_of_[node] != wanted) continue;
            const sources::profile_node is = sources::node_at(node);
            if (is.depth != depth) continue;
            model::profile_chain& to = chains_[used];
            to.function = function_of(is.definition);
            to.cut = is.parent == sources::cut_node;
            if (is.parent > sources::cut_node && is.parent < chain_of_.size() &&
                chain_of_[is.parent] != 0 && chain_of_[is.parent] != wanted)
                to.parent = chain_of_[is.parent] - 1;
            to.counts = counts_of(sums_[node]);
            chain_of_[node] = ++used;
        }
    chains_ = chains_.first(used);
    add_to_functions();
    return true;
}

/// Its index; made where there is none. There is room for one of each chain.
std::uint32_t profile_section::function_of(std::uint64_t definition) noexcept {
    std::uint32_t& place = place_of(definition);
    if (place == 0) {
        functions_[functions_used_].definition = definition;
        place = ++functions_used_;
    }
    return place - 1;
}

/// Where the function's index, plus 1, is or would be. More places than functions: there is one.
std::uint32_t& profile_section::place_of(std::uint64_t definition) noexcept {
    std::size_t at = definition * 0x9E3779B97F4A7C15ULL >> 32U & (function_places - 1);
    while (function_index_[at] != 0 && functions_[function_index_[at] - 1].definition != definition)
        at = (at + 1) & (function_places - 1);
    return function_index_[at];
}

model::profile_counts profile_section::counts_of(const sources::profile_sum& from) const noexcept {
    model::profile_counts to;
    to.calls = from.calls;
    to.resumes = from.resumes;
    to.live = from.live;
    if (view_.clock == sources::profile_clock::off) return to;
    const auto ns = [this](std::uint64_t steps) {
        return static_cast<std::int64_t>(static_cast<double>(steps) * view_.ns_per_step);
    };
    to.running_ns = ns(from.running);
    to.suspended_ns = ns(from.suspended);
    to.longest_ns = ns(from.longest);
    if (view_.clock == sources::profile_clock::cpu) to.cpu_ns = static_cast<std::int64_t>(from.cpu);
    return to;
}

/// What lives is counted anew for functions: also frames that have not run in this profile.
void profile_section::add_to_functions() noexcept {
    for (const model::profile_chain& chain : chains_)
        add(functions_[chain.function].counts, chain.counts);
    for (model::profile_function& one : functions_.first(functions_used_)) one.counts.live = 0;
    for (const model::frame& frame : frames_)
        if (const std::uint32_t found = place_of(frame.definition); found != 0)
            ++functions_[found - 1].counts.live;
}

}  // namespace corodump::snapshot
