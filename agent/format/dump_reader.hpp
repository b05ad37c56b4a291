// Reads a dump of format 1 (docs/format.md) into plain structs. The `corodump` command calls it.
//
// The file is taken as hostile: it may be truncated, fuzzed, nested without end or gigabytes long.
// What comes out is either a dump or one sentence with the offset of the byte it is about. Unknown
// members are passed over; a newer format_version is read for what is known of it.
//
// Threads: any, each with its own source. Signals: unsafe. Blocks: as the source does.
// Errors: in the result, never thrown. Bounds: memory in proportion to the file (format/dump.hpp),
// one element of at most 64 MiB besides, depth 64, `max_bytes` of input.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "agent/format/dump.hpp"
#include "agent/format/reader_fields.hpp"
#include "agent/format/reader_source.hpp"

namespace corodump::format {

inline constexpr std::int64_t newest_known_version = 1;
inline constexpr std::uint64_t default_max_bytes = 4ULL << 30U;

struct read_options {
    std::uint64_t max_bytes = default_max_bytes;
};

struct read_result {
    format::dump dump;  ///< what was read; whole only without an error
    std::optional<problem> error;
};

/// For showing: ends at the first value that cannot be used.
[[nodiscard]] read_result read_dump(byte_source& source, const read_options& options = {});

struct check_result {
    std::vector<problem> problems;  ///< in the order of the file, then those between its parts
    bool more = false;              ///< the list is full
    bool unreadable = false;        ///< the source failed: nothing is said of the file
    std::uint64_t tasks = 0;
};

/// For validating: every departure from the contract of format 1, cross references included.
[[nodiscard]] check_result check_dump(byte_source& source, const read_options& options = {});

}  // namespace corodump::format
