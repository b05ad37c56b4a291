// A profile as a table for people: the functions that took most, and what they were doing.
//
//   PROFILE  wall clock, 12.3s, 2 functions, still running
//      RUNNING      %      A RUN    LONGEST  SUSPENDED    WAITING      CALLS    RESUMES  LIVE  FUNCTION
//        1.20s  83.1%     1.00ms     12.1ms      3m 4s      2m 9s        120      1,204    12  reload  server.cpp:42
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: std::bad_alloc.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>

#include "agent/cli/profile_tree.hpp"
#include "agent/cli/terminal.hpp"

namespace corodump::cli {

/// What functions are compared by, and what chains weigh.
enum class profile_measure : std::uint8_t { running, cpu, suspended, waiting, resumes };

[[nodiscard]] std::uint64_t amount_of(const profile_row& row, profile_measure by);
[[nodiscard]] std::string_view name_of(profile_measure by);

struct profile_table_options {
    profile_measure by = profile_measure::running;
    std::size_t rows = 0;  ///< 0: all
    bool colours = false;
    std::size_t name_width = 60;  ///< template arguments of longer names are left out; 0: none
};

/// Returns how many functions are not shown.
std::size_t write_profile_table(const profile_tree& profile, const profile_table_options& options,
                                std::ostream& out);

/// "1.234s", "12.3ms", "4.5us", "120ns".
[[nodiscard]] std::string human_time(std::int64_t ns);

}  // namespace corodump::cli
