#include "agent/format/json_text.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace corodump::format {
namespace {

constexpr std::array<char, 200> make_digit_pairs() noexcept {
    std::array<char, 200> pairs{};
    for (std::size_t pair = 0; pair < 100; ++pair) {
        pairs[2 * pair] = static_cast<char>('0' + pair / 10);
        pairs[2 * pair + 1] = static_cast<char>('0' + pair % 10);
    }
    return pairs;
}
constexpr std::array<char, 200> digit_pairs = make_digit_pairs();

/// As `text.substr(at)`, which brings in exceptions.
std::string_view tail(std::string_view text, std::size_t at) noexcept {
    return {text.data() + at, text.size() - at};
}

char* put_pair(char* to, std::uint64_t below_hundred) noexcept {
    std::memcpy(to, &digit_pairs[2 * below_hundred], 2);
    return to + 2;
}

/// A byte that may stand in a JSON string as it is and is a code point of its own.
constexpr bool is_plain(unsigned char byte) noexcept {
    return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

/// The high bit of the first byte that is not plain is set; those behind it may be, too.
/// The usual zero-in-word test: borrows run upwards only, so the lowest set bit is exact.
constexpr std::uint64_t special_bytes(std::uint64_t word) noexcept {
    constexpr std::uint64_t ones = 0x0101010101010101U;
    const std::uint64_t quote = word ^ (ones * '"');
    const std::uint64_t backslash = word ^ (ones * '\\');
    const std::uint64_t low = (word - ones * 0x20) & ~word;
    const std::uint64_t high = word | (word + ones);  // DEL carries into the high bit
    return (((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | low | high) &
           (ones * 0x80);
}

constexpr std::size_t first_special(std::uint64_t word) noexcept {
    return static_cast<std::size_t>(std::countr_zero(special_bytes(word))) / 8;
}

/// Copies one word; returns how many of its bytes are plain before the first that is not.
std::size_t copy_word(char* to, const char* from) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, from, sizeof word);
    std::memcpy(to, &word, sizeof word);
    return first_special(word);
}

#if defined(__SSE2__)
constexpr std::size_t block_bytes = 16;
/// As copy_word, over sixteen bytes; a signed comparison finds controls and bytes over 0x7f alike.
std::size_t copy_block(char* to, const char* from) noexcept {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), block);
    const __m128i quotes = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                        _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
    const __m128i controls = _mm_or_si128(_mm_cmplt_epi8(block, _mm_set1_epi8(0x20)),
                                          _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f)));
    const int special = _mm_movemask_epi8(_mm_or_si128(quotes, controls));
    return static_cast<std::size_t>(std::countr_zero(static_cast<unsigned>(special) | 0x10000U));
}
#else
constexpr std::size_t block_bytes = 8;
std::size_t copy_block(char* to, const char* from) noexcept {
    return copy_word(to, from);
}
#endif

/// As copy_plain, for 4 to 7 bytes: two halves that overlap make one word.
std::size_t copy_plain_half(char* to, std::string_view text) noexcept {
    const std::size_t second = text.size() - 4;
    std::uint32_t halves[2];
    std::memcpy(&halves[0], text.data(), 4);
    std::memcpy(&halves[1], text.data() + second, 4);
    std::memcpy(to, &halves[0], 4);
    std::memcpy(to + second, &halves[1], 4);
    const std::size_t plain = first_special(halves[0] | (std::uint64_t{halves[1]} << 32));
    return plain < 4 ? plain : second + (plain - 4);
}

std::size_t copy_plain_bytes(char* to, std::string_view text) noexcept {
    std::size_t done = 0;
    for (; done < text.size() && is_plain(static_cast<unsigned char>(text[done])); ++done)
        to[done] = text[done];
    return done;
}

/// Copies the plain bytes at the front of `text`, and returns how many they are. The last block is
/// laid over the one before, whose bytes are known to be plain: no rest goes byte by byte.
std::size_t copy_plain(char* to, std::string_view text) noexcept {
    const char* const from = text.data();
    const std::size_t size = text.size();
    std::size_t at = 0;
    if (size >= block_bytes) {
        for (const std::size_t last = size - block_bytes;; at = at < last ? at : last) {
            const std::size_t plain = copy_block(to + at, from + at);
            at += plain;
            if (plain < block_bytes || at == size) return at;
        }
    }
    if (size >= 8) {
        at = copy_word(to, from);
        return at < 8 ? at : size - 8 + copy_word(to + size - 8, from + size - 8);
    }
    return size >= 4 ? copy_plain_half(to, text) : copy_plain_bytes(to, text);
}

/// The allowed range of the second byte, and the length, by the first (Unicode, table 3-7).
struct sequence_rule {
    std::size_t length;
    unsigned char second_low, second_high;
};
constexpr sequence_rule rule_of(unsigned char lead) noexcept {
    if (lead < 0x80) return {1, 0, 0};
    if (lead < 0xc2) return {0, 0, 0};
    if (lead < 0xe0) return {2, 0x80, 0xbf};
    if (lead == 0xe0) return {3, 0xa0, 0xbf};
    if (lead == 0xed) return {3, 0x80, 0x9f};
    if (lead < 0xf0) return {3, 0x80, 0xbf};
    if (lead == 0xf0) return {4, 0x90, 0xbf};
    if (lead < 0xf4) return {4, 0x80, 0xbf};
    if (lead == 0xf4) return {4, 0x80, 0x8f};
    return {0, 0, 0};
}

/// Bytes of the well-formed code point at the front of `text` (not empty); 0 where there is none.
std::size_t sequence_length(std::string_view text) noexcept {
    const sequence_rule rule = rule_of(static_cast<unsigned char>(text[0]));
    if (rule.length <= 1) return rule.length;
    if (text.size() < rule.length) return 0;
    const auto second = static_cast<unsigned char>(text[1]);
    if (second < rule.second_low || second > rule.second_high) return 0;
    for (std::size_t at = 2; at < rule.length; ++at)
        if ((static_cast<unsigned char>(text[at]) & 0xc0) != 0x80) return 0;
    return rule.length;
}

constexpr char replacement[] = "\xef\xbf\xbd";
constexpr char ellipsis[] = "\xe2\x80\xa6";

/// How much of `text` is written; smaller than its size where it must be cut.
std::size_t length_to_keep(std::string_view text) noexcept {
    if (text.size() <= max_text_bytes / 3) return text.size();  // even if all becomes U+FFFD
    std::size_t at = 0;
    std::size_t kept = 0;
    for (std::size_t decoded = 0; at < text.size();) {
        const std::size_t length = sequence_length(tail(text, at));
        decoded += length == 0 ? 3 : length;
        if (decoded > max_text_bytes) return kept;
        at += length == 0 ? 1 : length;
        if (decoded <= max_text_bytes - 3) kept = at;
    }
    return text.size();
}

char* put_control(char* to, unsigned char code) noexcept {
    constexpr std::string_view letters = "btn?fr";  // from 0x08; 0x0b has none
    if (code >= 0x08 && code <= 0x0d && code != 0x0b) {
        to[0] = '\\';
        to[1] = letters[code - 0x08U];
        return to + 2;
    }
    to = put(to, "\\u00");
    const std::uint64_t nibbles = eight_nibbles(code);
    const auto last_two = static_cast<std::uint16_t>(nibbles >> 48);
    std::memcpy(to, &last_two, 2);
    return to + 2;
}

/// One code point that is not plain. `length` as sequence_length says.
char* put_special(char* to, const char* from, std::size_t length) noexcept {
    const auto lead = static_cast<unsigned char>(*from);
    if (length == 0) return put(to, replacement);
    if (length == 1 && (lead < 0x20 || lead == 0x7f)) return put_control(to, lead);
    if (length == 1) {
        if (!is_plain(lead)) *to++ = '\\';
        *to = *from;
        return to + 1;
    }
    const auto second = static_cast<unsigned char>(from[1]);
    if (lead == 0xc2 && second < 0xa0) return put_control(to, second);
    std::memcpy(to, from, length);
    return to + length;
}

struct civil_date {
    std::int64_t year;
    std::int64_t month, day;
};

/// Gregorian date of a day counted from 1970-01-01. Years begin in March here, so that the leap
/// day is the last; 400 of them are an era of 146,097 days.
constexpr civil_date date_of(std::int64_t unix_day) noexcept {
    const std::int64_t day = unix_day + 719'468;
    const std::int64_t era = (day >= 0 ? day : day - 146'096) / 146'097;
    const std::int64_t in_era = day - era * 146'097;
    const std::int64_t year = (in_era - in_era / 1460 + in_era / 36'524 - in_era / 146'096) / 365;
    const std::int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    const std::int64_t month = (5 * in_year + 2) / 153;
    return {.year = era * 400 + year + (month >= 10 ? 1 : 0),
            .month = month < 10 ? month + 3 : month - 9,
            .day = in_year - (153 * month + 2) / 5 + 1};
}
static_assert(date_of(0).year == 1970 && date_of(0).month == 1 && date_of(0).day == 1);

std::size_t count_digits(std::string_view text, std::size_t at) noexcept {
    std::size_t end = at;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    return end - at;
}

/// The exponent at `at`, which is moved behind it; false where there is a malformed or huge one.
bool read_exponent(std::string_view text, std::size_t& at, int& exponent) noexcept {
    if (at == text.size() || (text[at] != 'e' && text[at] != 'E')) return true;
    ++at;
    const bool negative = at < text.size() && text[at] == '-';
    if (negative || (at < text.size() && text[at] == '+')) ++at;
    const std::size_t digits = count_digits(text, at);
    if (digits == 0 || digits > 4) return false;
    for (const char digit : std::string_view(text.data() + at, digits))
        exponent = 10 * exponent + (digit - '0');
    if (negative) exponent = -exponent;
    at += digits;
    return true;
}

}  // namespace

char* put_long_decimal(char* to, std::uint64_t value) noexcept {
    std::array<char, 20> text;
    std::size_t at = text.size();
    for (; value >= 100; value /= 100) put_pair(&text[at -= 2], value % 100);
    if (value >= 10) {
        put_pair(&text[at -= 2], value);
    } else {
        text[--at] = static_cast<char>('0' + value);
    }
    std::memcpy(to, &text[at], text.size() - at);
    return to + (text.size() - at);
}

char* put_escaped(char* to, std::string_view text) noexcept {
    const std::size_t keep = length_to_keep(text);
    const std::string_view kept(text.data(), keep);
    for (std::size_t at = 0;;) {
        const std::size_t plain = copy_plain(to, tail(kept, at));
        to += plain;
        at += plain;
        if (at == keep) break;
        const std::size_t length = sequence_length(tail(kept, at));
        to = put_special(to, kept.data() + at, length);
        at += length == 0 ? 1 : length;
    }
    return keep == text.size() ? to : put(to, ellipsis);
}

char* put_rfc3339(char* to, std::int64_t unix_ns) noexcept {
    constexpr std::int64_t ms_per_day = 86'400'000;
    const std::int64_t ms = unix_ns / 1'000'000 - (unix_ns % 1'000'000 < 0 ? 1 : 0);
    const std::int64_t days = ms / ms_per_day - (ms % ms_per_day < 0 ? 1 : 0);
    const auto in_day = static_cast<std::uint64_t>(ms - days * ms_per_day);
    const civil_date date = date_of(days);
    const auto year = static_cast<std::uint64_t>(date.year);
    to = put_pair(put_pair(to, year / 100), year % 100);
    *to++ = '-';
    to = put_pair(to, static_cast<std::uint64_t>(date.month));
    *to++ = '-';
    to = put_pair(to, static_cast<std::uint64_t>(date.day));
    *to++ = 'T';
    to = put_pair(to, in_day / 3'600'000);
    *to++ = ':';
    to = put_pair(to, in_day / 60'000 % 60);
    *to++ = ':';
    to = put_pair(to, in_day / 1000 % 60);
    *to++ = '.';
    *to++ = static_cast<char>('0' + in_day / 100 % 10);
    to = put_pair(to, in_day % 100);
    *to++ = 'Z';
    return to;
}

bool is_json_literal(std::string_view text) noexcept {
    if (text == "true" || text == "false") return true;
    std::size_t at = !text.empty() && text[0] == '-' ? 1 : 0;
    const std::size_t whole = count_digits(text, at);
    if (whole == 0 || whole > 64 || (whole > 1 && text[at] == '0')) return false;
    at += whole;
    if (at < text.size() && text[at] == '.') {
        const std::size_t decimals = count_digits(text, ++at);
        if (decimals == 0) return false;
        at += decimals;
    }
    int exponent = 0;
    if (!read_exponent(text, at, exponent) || at != text.size()) return false;
    return static_cast<int>(whole) + exponent <= 308;  // 1e308 is the last power of ten in range
}

}  // namespace corodump::format
