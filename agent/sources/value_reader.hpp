// Reads values out of suspended frames as text: numbers, enums, pointers and strings, by the layout
// their headers named. No code of the value's runs.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never. Bounds: the caller's text buffer.
#pragma once

#include <cstddef>
#include <cstdint>

#include "agent/base/text.hpp"

namespace corodump::sources {

/// How a value is to be shown: JSON numbers and booleans are literal.
struct value_shape {
    std::uint8_t kind = 0;  ///< detail::value_kind
    std::uint8_t size_bytes = 0;
    std::uint32_t text_bytes = 0;  ///< for value_kind::text
};

enum class value_outcome : std::uint8_t { unreadable, text, literal };

inline constexpr std::size_t max_string_bytes = 1024;

/// Appends the value at `address`; of a string at most `limit` bytes (no more than
/// max_string_bytes), and how many more there are.
value_outcome read_value(value_shape shape, std::uint64_t address, std::size_t limit,
                         base::text& to) noexcept;

/// Appends the terminated string at `address`, at most `limit` bytes. False: not readable.
bool read_c_string(std::uint64_t address, std::size_t limit, base::text& to) noexcept;
/// Appends `bytes` bytes (at most `limit`, and how many more). False: not all could be read.
bool read_text(std::uint64_t address, std::size_t bytes, std::size_t limit,
               base::text& to) noexcept;

}  // namespace corodump::sources
