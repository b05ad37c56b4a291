// The sections of what `corodump show` prints, in the order of the questions of whoever is on call:
// what is it, what is wrong, which object, how much, and then each group.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: std::bad_alloc, usage_error.
// Bounds: without --all at most 10 groups and 5 rows per table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/cli/show_creation.hpp"
#include "agent/cli/show_failures.hpp"
#include "agent/cli/show_loops.hpp"
#include "agent/cli/show_names.hpp"
#include "agent/cli/show_resources.hpp"
#include "agent/cli/show_threads.hpp"
#include "agent/cli/task_groups.hpp"
#include "agent/format/dump.hpp"

namespace corodump::cli {

class show_report {
public:
    show_report(const format::dump& all, const view_options& options, std::ostream& out)
        : all_(all), names_(all, options), colour_(options.colours), out_(out) {}

    void header();
    void cautions();
    void verdicts();
    void objects();
    void summary();
    void groups(const std::vector<task_group>& groups);
    void failures() { show_failures(all_, names_, out_).draw(); }
    [[nodiscard]] std::string fate_of(const std::string& id) {
        return show_failures(all_, names_, out_).fate_of(id);
    }
    void threads() { show_threads(all_, names_, out_).draw(); }
    void loops() { show_loops(all_, names_, out_).draw(); }
    void resources() { show_resources(all_, names_, out_).draw(); }
    /// The functions that took most.
    void profile();
    void one_task(const format::task& t);
    void footer();

private:
    void title(std::string_view text, std::string_view remark = {});
    void verdict(const format::verdict& v, std::size_t number);
    void object(const format::object_count& o);
    void holders(const format::object_count& o);
    [[nodiscard]] std::string awaitable_at(std::uint64_t object);
    [[nodiscard]] std::string waiting_for(const format::object_count& o);
    void tally(std::string_view name,
               const std::vector<std::pair<format::text, std::uint64_t>>& counts);
    void sites();
    void group(const task_group& g, std::size_t number);
    void group_tasks(const task_group& g);
    void task_facts(const format::task& t);
    void bullet(std::string_view text, std::size_t indent);
    [[nodiscard]] std::string still(const format::task& t) const;

    const format::dump& all_;
    show_names names_;
    painter colour_;
    std::ostream& out_;
};

}  // namespace corodump::cli
