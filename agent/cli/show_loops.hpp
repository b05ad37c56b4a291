// The loops of a dump that are in trouble, and where they were blocked.
//
//   LOOPS  1 of 3 is blocked, late, or was
//     loop "main"  in a callback for 62 ms, thread 4711, resuming 7f12a4003040.5 "session 17"
//       1,204 callbacks, 210 us on average, 1.2 s at most; 3 over 50 ms; 12 ms late, 1.3 s at most
//
//   STALLS  the last 2 of 17
//     12:04:31.203  loop "main"  1.2 s, thread 4711, in orderd::reload "session 17"
//       clock_nanosleep                          libc.so.6+d3315
//       orderd::reload                           orderd+2eb5
//
// Healthy loops are shown with --all only; they are counted.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: std::bad_alloc.
// Bounds: without --all, 3 stalls, newest first; 12 frames of a stack.
#pragma once

#include <ostream>
#include <string>

#include "agent/cli/show_names.hpp"
#include "agent/cli/show_threads.hpp"
#include "agent/format/dump.hpp"

namespace corodump::cli {

class show_loops {
public:
    show_loops(const format::dump& all, show_names& names, std::ostream& out)
        : all_(all), names_(names), out_(out) {}

    void draw();

private:
    void draw_loops();
    void draw_loop(const format::loop& l);
    void draw_stalls();
    void draw_stall(const format::stall& s, show_threads& stacks);

    const format::dump& all_;
    show_names& names_;
    std::ostream& out_;
};

}  // namespace corodump::cli
