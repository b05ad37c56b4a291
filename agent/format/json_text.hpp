// JSON's atoms as plain text: numbers, addresses, times, escaped strings.
//
// Called by json_writer and by the hot part of the dump writer, which asks for room once and then
// lays many atoms side by side. Every `put_*` writes at `to` and returns the end of what it wrote.
// To stay free of branches several of them store whole machine words: up to `slack_bytes` behind
// the returned end may be overwritten, so the caller keeps that much room.
//
// Threads: any. Signals: safe. Blocks: never. Errors: none.
// Bounds:  what each function's `*_room` says, plus `slack_bytes`.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace corodump::format {

static_assert(std::endian::native == std::endian::little, "digits are laid out as words");

/// How far behind its end a `put_*` may write.
inline constexpr std::size_t slack_bytes = 64;
/// Longer text is cut at a code point and ends in `…`; the result, unescaped, is never longer.
inline constexpr std::size_t max_text_bytes = 4096;
/// Room for any number, address or time of this file.
inline constexpr std::size_t number_room = 32;

/// Room for `put_escaped(text)`: the longest escape is `\u00XX`.
[[nodiscard]] constexpr std::size_t escaped_room(std::size_t text_bytes) noexcept {
    return 6 * (text_bytes < max_text_bytes ? text_bytes : max_text_bytes) + 8;
}

/// A constant, which must need no escaping.
template <std::size_t Size>
[[gnu::always_inline]] inline char* put(char* to, const char (&text)[Size]) noexcept {
    std::memcpy(to, text, Size - 1);
    return to + (Size - 1);
}

/// `text` in blocks: what lies up to `slack_bytes` behind its end must be readable.
[[gnu::always_inline]] inline char* put_padded(char* to, const char* text,
                                               std::size_t size) noexcept {
    for (std::size_t done = 0; done < size; done += 32) std::memcpy(to + done, text + done, 32);
    return to + size;
}

/// The eight decimal digits of `value`, first digit in the lowest byte, as 0 to 9.
/// Splits into 4, 2 and 1 digits, all lanes of a word at once; the multipliers are reciprocals
/// that are exact over their lane's range (the unit test tries every lane value).
[[nodiscard]] constexpr std::uint64_t eight_digits(std::uint32_t value) noexcept {
    const std::uint64_t fours = value / 10000 + (std::uint64_t{value % 10000} << 32);
    const std::uint64_t hundreds = ((fours * 10486) >> 20) & 0x0000007f0000007fU;
    const std::uint64_t twos = hundreds + ((fours - hundreds * 100) << 16);
    const std::uint64_t tens = ((twos * 103) >> 10) & 0x000f000f000f000fU;
    return tens + ((twos - tens * 10) << 8);
}

/// Any value, two digits at a time.
[[nodiscard]] char* put_long_decimal(char* to, std::uint64_t value) noexcept;

[[nodiscard]] inline char* put_decimal(char* to, std::uint64_t value) noexcept {
    if (value >= 100'000'000) return put_long_decimal(to, value);
    const std::uint64_t digits = eight_digits(static_cast<std::uint32_t>(value));
    // The last digit stays even where it is 0.
    const int leading_zeros = std::countr_zero(digits | (std::uint64_t{1} << 56)) / 8;
    const std::uint64_t text = (digits | 0x3030303030303030U) >> (8 * leading_zeros);
    std::memcpy(to, &text, sizeof text);
    return to + (8 - leading_zeros);
}

[[nodiscard]] inline char* put_signed(char* to, std::int64_t value) noexcept {
    *to = '-';
    const auto magnitude = static_cast<std::uint64_t>(value);
    return value < 0 ? put_decimal(to + 1, 0 - magnitude) : put_decimal(to, magnitude);
}

/// Seconds with three decimals, from milliseconds: 12345 becomes `12.345`.
[[nodiscard]] inline char* put_seconds(char* to, std::uint64_t milliseconds) noexcept {
    const auto decimals = static_cast<std::uint32_t>(milliseconds % 1000);
    const std::uint32_t tenths = (decimals * 41) >> 12;  // decimals / 100, exact below 1000
    const std::uint32_t rest = decimals - tenths * 100;
    const std::uint32_t hundredths = (rest * 103) >> 10;
    const std::uint32_t digits = tenths << 8 | hundredths << 16 | (rest - hundredths * 10) << 24;
    const std::uint32_t text = digits + 0x3030302eU;  // the lowest byte is the point
    to = put_decimal(to, milliseconds / 1000);
    std::memcpy(to, &text, sizeof text);
    return to + 4;
}

/// Whether `put_duration` can write it: neither NaN nor over 30,000 years, up to where
/// milliseconds are exact in a double.
[[nodiscard]] constexpr bool is_duration(double seconds) noexcept {
    return seconds > -1e12 && seconds < 1e12;
}

/// To the nearest whole number; half goes up. Not `llround`, which is a call into libm.
[[nodiscard]] constexpr std::uint64_t rounded(double positive) noexcept {
    const auto whole = static_cast<std::uint64_t>(positive);
    return positive - static_cast<double>(whole) < 0.5 ? whole : whole + 1;
}

/// Seconds with three decimals, rounded; `is_duration` holds.
[[nodiscard]] inline char* put_duration(char* to, double seconds) noexcept {
    *to = '-';
    const double magnitude = seconds < 0 ? -seconds : seconds;
    return put_seconds(to + (seconds < 0 ? 1 : 0), rounded(magnitude * 1000));
}

/// The eight nibbles of `value` as lower-case ASCII, highest first in memory.
[[nodiscard]] constexpr std::uint64_t eight_nibbles(std::uint32_t value) noexcept {
    std::uint64_t word = (std::uint64_t{value & 0xffffU} << 32) | (value >> 16);
    word = ((word & 0x000000ff000000ffU) << 16) | ((word >> 8) & 0x000000ff000000ffU);
    word = ((word & 0x000f000f000f000fU) << 8) | ((word >> 4) & 0x000f000f000f000fU);
    const std::uint64_t letters = ((word + 0x0606060606060606U) >> 4) & 0x0101010101010101U;
    return word + 0x3030303030303030U + letters * ('a' - '0' - 10);
}

/// The sixteen nibbles of `value` as text.
inline void put_nibbles(char* to, std::uint64_t value) noexcept {
#if defined(__SSE2__)
    const __m128i bytes = _mm_cvtsi64_si128(static_cast<long long>(__builtin_bswap64(value)));
    const __m128i nibbles =
        _mm_and_si128(_mm_unpacklo_epi8(_mm_srli_epi64(bytes, 4), bytes), _mm_set1_epi8(0x0f));
    const __m128i letters = _mm_cmpgt_epi8(nibbles, _mm_set1_epi8(9));
    const __m128i text = _mm_add_epi8(_mm_add_epi8(nibbles, _mm_set1_epi8('0')),
                                      _mm_and_si128(letters, _mm_set1_epi8('a' - '0' - 10)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), text);
#else
    const std::uint64_t high = eight_nibbles(static_cast<std::uint32_t>(value >> 32));
    const std::uint64_t low = eight_nibbles(static_cast<std::uint32_t>(value));
    std::memcpy(to, &high, sizeof high);
    std::memcpy(to + sizeof high, &low, sizeof low);
#endif
}

/// Lower-case hexadecimal without prefix or leading zeros.
[[nodiscard]] inline char* put_hex(char* to, std::uint64_t value) noexcept {
    const int digits = (67 - std::countl_zero(value | 1)) / 4;
    put_nibbles(to, value << (4 * (16 - digits)));
    return to + digits;
}

/// `text` as the inside of a JSON string, valid UTF-8 whatever its bytes are: each byte that is
/// not part of a well-formed sequence (Unicode, table 3-7) becomes U+FFFD, controls (C0, DEL, C1)
/// are escaped, and what is longer than `max_text_bytes` is cut.
[[nodiscard]] char* put_escaped(char* to, std::string_view text) noexcept;

/// A time in UTC as RFC 3339 with milliseconds, without quotes.
[[nodiscard]] char* put_rfc3339(char* to, std::int64_t unix_ns) noexcept;

/// True for text that is a whole JSON number or boolean and that a reader's double can hold.
[[nodiscard]] bool is_json_literal(std::string_view text) noexcept;

}  // namespace corodump::format
