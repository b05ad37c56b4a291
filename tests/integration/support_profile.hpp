// The profile of a dump, as tests ask for it: by a function's name, or a chain of names.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support_dump.hpp"

namespace support {

struct profiled {
    std::int64_t calls = 0, resumes = 0, live = 0;
    double running = 0, cpu = 0, suspended = 0, longest = 0;  ///< seconds
};

struct profile {
    bool there = false;
    bool running = false;
    std::string clock;
    std::int64_t dropped = 0;

    /// All zero where it has not run.
    [[nodiscard]] profiled function(std::string_view name) const;
    /// Of the innermost, where all that awaited it, library frames left aside, are these.
    [[nodiscard]] profiled chain(const std::vector<std::string_view>& names) const;
    /// All chains, one line each: what a failed expectation prints.
    [[nodiscard]] std::string text() const;

    struct entry {
        std::vector<std::string> names;  ///< outermost first; of a function only its own
        profiled counts;
    };
    std::vector<entry> functions, chains;
};

[[nodiscard]] profile profile_of(const dump& from);

}  // namespace support
