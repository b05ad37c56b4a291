// The threads of a dump, and native stacks wherever `corodump show` prints them.
//
//   THREADS  2 of 12 run, or are inside of a task
//     4711 "worker"  in poll, inside of 7f12a4003040.5 "session 17"
//       poll                                     libc.so.6+fc26f
//       orderd::flush                            orderd+2eb5
//       orderd::session::run                     orderd+2b61
//
// Threads with equal stacks are shown once. Without --all only those that run, or are inside of a
// task; the others are counted.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: std::bad_alloc.
// Bounds: without --all, 12 frames of a stack and 10 stacks.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "agent/cli/show_names.hpp"
#include "agent/format/dump.hpp"

namespace corodump::cli {

class show_threads {
public:
    show_threads(const format::dump& all, show_names& names, std::ostream& out)
        : all_(all), names_(names), out_(out) {}

    void draw();
    /// Innermost first, each on a line that begins with `indent`.
    void draw_stack(const std::vector<format::native_frame>& frames, const std::string& indent);

private:
    using equals = std::vector<const format::thread*>;  ///< threads with one stack

    [[nodiscard]] std::vector<equals> fold() const;
    void draw_one(const equals& threads);
    [[nodiscard]] std::string what_it_does(const format::thread& t);
    [[nodiscard]] std::string caution(const format::thread& t) const;
    void draw_frame(const format::native_frame& frame, const std::string& indent);

    const format::dump& all_;
    show_names& names_;
    std::ostream& out_;
};

}  // namespace corodump::cli
