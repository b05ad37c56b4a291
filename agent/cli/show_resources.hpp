// What is open for too long, and how much of each kind there is.
//
//   RESOURCES  12 are open for longer than they should be
//     12 of "connection"  over 5m; the oldest 2h 3m
//       10  the oldest 2h 3m  pool::acquire  pool.cpp:42
//            "10.0.0.7:443", "10.0.0.9:443" and 8 more; opened by 7f12a4003040.5 "session 17"
//       2   the oldest 6m     …
//     kind                     live       peak     opened     oldest
//     "connection"            1,300      1,310     91,204      2h 3m
//
// Leaks are folded by the place they were opened at; without a limit that is exceeded, kinds are
// all there is to show.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: std::bad_alloc.
// Bounds: without --all, 5 places of a kind, 3 labels of a place, 8 kinds.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "agent/cli/show_names.hpp"
#include "agent/cli/show_threads.hpp"
#include "agent/format/dump.hpp"

namespace corodump::cli {

class show_resources {
public:
    show_resources(const format::dump& all, show_names& names, std::ostream& out)
        : all_(all), names_(names), out_(out) {}

    void draw();

private:
    /// Leaks of one kind, opened at one place on one stack.
    struct fold {
        const format::leaked_resource* oldest = nullptr;
        std::vector<const format::leaked_resource*> all;
    };
    void draw_leaks(const format::resource_kind& kind);
    [[nodiscard]] std::vector<fold> folds_of(const format::resource_kind& kind) const;
    void draw_fold(const fold& one, std::size_t width);
    void draw_openers(const fold& one);
    void draw_kinds();
    [[nodiscard]] std::string labels_of(const fold& one) const;

    const format::dump& all_;
    show_names& names_;
    std::ostream& out_;
};

}  // namespace corodump::cli
