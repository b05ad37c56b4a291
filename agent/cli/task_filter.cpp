#include "agent/cli/task_filter.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "agent/cli/terminal.hpp"

namespace corodump::cli {

task_filter::task_filter(std::optional<std::string> state,
                         const std::optional<std::string>& pattern)
    : state_(std::move(state)) {
    if (!pattern) return;
    auto compiled = std::make_unique<regex_t>();
    const int error = ::regcomp(compiled.get(), pattern->c_str(), REG_EXTENDED | REG_NOSUB);
    if (error != 0) {
        std::array<char, 128> reason{};
        ::regerror(error, compiled.get(), reason.data(), reason.size());
        throw usage_error("--match: " + quoted(*pattern) +
                          " is no regular expression: " + reason.data());
    }
    regex_.reset(compiled.release());
}

bool task_filter::finds_in(std::string_view subject) const {
    regmatch_t bounds{};  // a string of a dump may hold a NUL, so its length is passed
    bounds.rm_eo = static_cast<regoff_t>(subject.size());
    return ::regexec(regex_.get(), subject.data(), 1, &bounds, REG_STARTEND) == 0;
}

bool task_filter::matches(format::text what) {
    if (!what) return false;
    const auto [at, fresh] = known_.try_emplace(what.identity(), false);
    if (fresh) at->second = finds_in(what.view());
    return at->second;
}

bool task_filter::has_matching_label(const format::task& t) const {
    if (!t.extra) return false;
    return std::ranges::any_of(t.extra->labels, [this](const format::label& l) {
        return finds_in(std::string(l.name.view()).append("=").append(l.value.view()));
    });
}

bool task_filter::matches(const format::frame_shape& frame) {
    return matches(frame.function) || matches(frame.file);
}

bool task_filter::matches(const format::chain_shape& chain) {
    if (const auto known = known_.find(&chain); known != known_.end()) return known->second;
    const bool any = std::any_of(chain.frames.begin(), chain.frames.end(),
                                 [this](const format::frame_shape* f) { return matches(*f); });
    known_.emplace(&chain, any);
    return any;
}

bool task_filter::admits(const format::task& t) {
    // Users think of "suspended" and "running" as states too, so --state takes both lists.
    if (state_ && t.state != *state_ && t.activity != *state_) return false;
    if (!regex_) return true;
    return matches(*t.chain) || matches(t.awaits.awaitable) || matches(t.name) ||
           has_matching_label(t);
}

}  // namespace corodump::cli
