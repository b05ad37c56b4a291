// Which tasks `corodump show` is to show: --state and --match.
//
// --match is a POSIX extended regular expression. The C library's matcher is used because
// std::regex recurses once per character: a long string of a hostile dump would overflow the stack.
// A string that many tasks share is matched once.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: usage_error from the constructor.
// Bounds: one regexec per distinct string, and one per label.
#pragma once

#include <regex.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>

#include "agent/format/dump.hpp"

namespace corodump::cli {

struct usage_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class task_filter {
public:
    task_filter(std::optional<std::string> state, const std::optional<std::string>& pattern);

    [[nodiscard]] bool active() const { return state_ || regex_; }
    [[nodiscard]] bool admits(const format::task& t);

private:
    struct free_regex {
        void operator()(regex_t* r) const {
            ::regfree(r);
            delete r;
        }
    };
    [[nodiscard]] bool finds_in(std::string_view subject) const;
    /// As NAME=VALUE.
    [[nodiscard]] bool has_matching_label(const format::task& t) const;
    [[nodiscard]] bool matches(format::text what);
    [[nodiscard]] bool matches(const format::frame_shape& frame);
    [[nodiscard]] bool matches(const format::chain_shape& chain);

    std::optional<std::string> state_;
    std::unique_ptr<regex_t, free_regex> regex_;
    std::unordered_map<const void*, bool> known_;  ///< by text identity or chain address
};

}  // namespace corodump::cli
