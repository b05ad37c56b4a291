// Folds tasks with equal chains into groups, for `corodump show`.
//
// The file has groups of its own, but only of all tasks and at most 1,024; what is shown may be
// filtered, so the groups are made again from the tasks. That is cheap: equal chains of a dump have
// one address.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: std::bad_alloc.
// Bounds: one pointer per task; n log n.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "agent/cli/task_filter.hpp"
#include "agent/format/dump.hpp"

namespace corodump::cli {

struct task_group {
    std::vector<const format::task*> tasks;  ///< longest suspended first
    std::size_t verdict = 0;  ///< number of the first verdict that names one; 0: none
    std::size_t behind =
        0;  ///< number of the verdict whose tasks wait for the same object; 0: none

    [[nodiscard]] const format::task& oldest() const { return *tasks.front(); }
    [[nodiscard]] const format::task& newest() const { return *tasks.back(); }
};

/// An object that tasks of a group wait for.
struct waited_object {
    const format::task* example = nullptr;  ///< the task that has waited for it longest
    std::size_t count = 0;
};

/// Groups that a verdict names first, in the verdicts' order, then those that wait for the same
/// objects, then longest suspended first.
[[nodiscard]] std::vector<task_group> fold(const format::dump& all, task_filter& filter);

/// The objects of a group, most waited for first.
[[nodiscard]] std::vector<waited_object> objects_of(const task_group& group);

}  // namespace corodump::cli
