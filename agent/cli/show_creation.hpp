// Where one task comes from, for `corodump show --task`: who created it, who created that one, and
// the stack it was created on.
//
//   CREATED  by
//     7f12a4003040.5 "session 17"   orderd::session::run   session.cpp:41
//     7f12a4000400.3 "acceptor"     orderd::accept         server.cpp:17
//     on
//       orderd::session::spawn      orderd+2eb5
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: std::bad_alloc.
// Bounds: max_ancestors; without --all, 12 frames of the stack.
#pragma once

#include <cstddef>
#include <ostream>
#include <vector>

#include "agent/cli/show_names.hpp"
#include "agent/format/dump.hpp"

namespace corodump::cli {

class show_creation {
public:
    static constexpr std::size_t max_ancestors = 32;

    show_creation(const format::dump& all, show_names& names, std::ostream& out)
        : all_(all), names_(names), out_(out) {}

    /// Nothing where the dump does not know.
    void draw(const format::task& t);

private:
    void draw_ancestors(const format::task& t);
    void draw_ancestor(const format::task_id& id);
    void draw_stack(const format::task& t);

    const format::dump& all_;
    show_names& names_;
    std::ostream& out_;
};

}  // namespace corodump::cli
