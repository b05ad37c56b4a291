// The verdicts of the rules as text, for tests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/analysis/rules.hpp"

namespace corodump::test {

struct written_verdict {
    std::string kind, severity, statement;
    std::vector<std::uint32_t> tasks;
    std::uint64_t task_count = 0;
    std::vector<std::string> evidence;
};

class written_verdicts final : public analysis::verdict_writer {
public:
    std::vector<written_verdict> all;

    /// The first of the kind; an empty one where there is none.
    [[nodiscard]] written_verdict of(std::string_view kind) const {
        for (const written_verdict& v : all)
            if (v.kind == kind) return v;
        return {};
    }
    [[nodiscard]] std::size_t count(std::string_view severity) const {
        std::size_t found = 0;
        for (const written_verdict& v : all) found += v.severity == severity ? 1 : 0;
        return found;
    }

private:
    void open(std::string_view kind, analysis::severity how) override {
        open_ = {std::string(kind), std::string(analysis::name_of(how)), {}, {}, 0, {}};
        to_ = &open_.statement;
    }
    void about(std::uint32_t task) override {
        open_.tasks.push_back(task);
        ++open_.task_count;
    }
    void about_in_all(std::uint64_t tasks) override { open_.task_count = tasks; }
    void evidence() override {
        open_.evidence.emplace_back();
        to_ = &open_.evidence.back();
    }
    void close() override { all.push_back(open_); }
    void put(std::string_view text) override { *to_ += text; }
    void put(analysis::task which) override { *to_ += "task " + std::to_string(which.number); }
    void put(analysis::place_of which) override {
        *to_ += "the place of " + std::to_string(which.number);
    }

    written_verdict open_;
    std::string* to_ = nullptr;
};

/// Judges, with room for what the rules need.
inline written_verdicts judged(const analysis::facts& of) {
    written_verdicts to;
    std::vector<analysis::held_resource> stuck(of.resources.size());
    analysis::judge(of, stuck, to);
    return to;
}

}  // namespace corodump::test
