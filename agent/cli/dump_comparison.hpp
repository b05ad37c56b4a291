// What changed between two dumps of one process: `corodump show FILE --against OLDER`.
//
//   AGAINST  an older dump, 60 s before
//     1,204 tasks then, 1,900 now: 12 ended, 708 are new, 1,100 have not been resumed since
//     born at                                   then     now  still there
//     watch_session  memory_growth.cpp:18         96     648           96
//     more of these are open: "connection" 96 then, 648 now (552 more; 560 were opened)
//
// The verdict on tasks that only become more is that of the agent (agent/analysis): it needs nothing but
// the two files.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: std::bad_alloc.
// Bounds: one entry for each place of birth, one look at each task.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "agent/cli/show_names.hpp"
#include "agent/format/dump.hpp"

namespace corodump::cli {

class dump_comparison {
public:
    /// Open resources of one kind.
    struct kind_count {
        std::string kind;
        std::uint64_t before = 0, now = 0, opened = 0;  ///< opened: between the two
    };

    struct birthplace {
        std::string function, file;
        std::uint32_t line = 0;
        std::uint64_t before = 0, now = 0;
        std::uint64_t survivors = 0;  ///< of those before
    };

    /// Both must outlive it.
    dump_comparison(const format::dump& older, const format::dump& newer);

    /// False: the dumps are of different processes, or the older one is the newer. Nothing else is
    /// known then.
    [[nodiscard]] bool comparable() const noexcept { return seconds_ >= 0; }
    [[nodiscard]] double seconds() const noexcept { return seconds_; }
    [[nodiscard]] std::uint64_t ended() const noexcept { return ended_; }
    [[nodiscard]] std::uint64_t created() const noexcept { return created_; }
    [[nodiscard]] std::uint64_t unmoved() const noexcept { return unmoved_; }
    /// Those that became most first.
    [[nodiscard]] const std::vector<birthplace>& places() const noexcept { return places_; }
    /// Kinds of which there are more now, those that became most first.
    [[nodiscard]] const std::vector<kind_count>& more() const noexcept { return more_; }
    /// Each a sentence.
    [[nodiscard]] std::vector<std::string> verdicts() const;

private:
    const format::dump& older_;
    const format::dump& newer_;
    double seconds_ = -1;
    std::uint64_t ended_ = 0, created_ = 0, unmoved_ = 0;
    std::vector<birthplace> places_;
    std::vector<kind_count> more_;

    void compare_kinds();
};

void show_comparison(const dump_comparison& what, const format::dump& older,
                     const format::dump& newer, const view_options& options, std::ostream& out);

}  // namespace corodump::cli
