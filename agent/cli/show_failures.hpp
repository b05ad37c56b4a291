// The part of `corodump show` that tells of exceptions that left coroutines, and of tasks that
// ended.
//
// Equal failures (type, message, place) are one row; those that nobody got to see come first. Shown
// only when there is something to say: failures, or tasks that were cancelled or failed.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: std::bad_alloc.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "agent/cli/show_names.hpp"
#include "agent/cli/show_threads.hpp"
#include "agent/format/dump.hpp"

namespace corodump::cli {

class show_failures {
public:
    show_failures(const format::dump& all, show_names& names, std::ostream& out)
        : all_(all), names_(names), out_(out) {}

    void draw();
    /// What became of a task that is not there any more; empty: nothing is known.
    [[nodiscard]] std::string fate_of(const std::string& id);

private:
    struct row {
        const format::failure* newest = nullptr;
        std::size_t count = 0;
    };
    [[nodiscard]] std::vector<row> fold() const;
    void draw_row(const row& one);
    void draw_stack(const format::failure& of);
    void draw_finished();
    [[nodiscard]] std::string ended(const format::finished_task& task);

    const format::dump& all_;
    show_names& names_;
    std::ostream& out_;
};

}  // namespace corodump::cli
