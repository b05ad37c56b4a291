#include "agent/cli/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace corodump::cli {

namespace {

struct code_point {
    std::uint32_t value = 0;
    std::size_t size = 0;  ///< bytes; 0: invalid
};

/// One character of UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629).
code_point decode(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return {};
    std::uint32_t value = lead & (0xffU >> (size + 1));
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xc0U) != 0x80) return {};
        value = (value << 6U) | (byte(i) & 0x3fU);
    }
    constexpr std::array<std::uint32_t, 5> smallest = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = value >= 0xd800 && value <= 0xdfff;
    if (value < smallest[size] || surrogate || value > 0x10ffff) return {};
    return {value, size};
}

struct range {
    std::uint32_t first, last;
};

template <std::size_t Count>
bool in(const std::array<range, Count>& ranges, std::uint32_t c) {
    return std::any_of(ranges.begin(), ranges.end(),
                       [c](const range& r) { return c >= r.first && c <= r.last; });
}

/// Unicode's controls, format characters and separators, and the blanks that look like nothing.
constexpr std::array<range, 21> hidden = {
    {{0x00, 0x1f},      {0x7f, 0x9f},     {0xad, 0xad},     {0x34f, 0x34f},     {0x600, 0x605},
     {0x61c, 0x61c},    {0x6dd, 0x6dd},   {0x115f, 0x1160}, {0x17b4, 0x17b5},   {0x180b, 0x180f},
     {0x200b, 0x200f},  {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164},   {0xfe00, 0xfe0f},
     {0xfeff, 0xfeff},  {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a},
     {0xe0000, 0xe0fff}}};
constexpr std::array<range, 10> wide = {{{0x1100, 0x115f},
                                         {0x2e80, 0x303e},
                                         {0x3041, 0xa4cf},
                                         {0xac00, 0xd7a3},
                                         {0xf900, 0xfaff},
                                         {0xfe30, 0xfe6f},
                                         {0xff00, 0xff60},
                                         {0xffe0, 0xffe6},
                                         {0x1f300, 0x1faff},
                                         {0x20000, 0x3fffd}}};
constexpr std::array<range, 5> combining = {
    {{0x300, 0x36f}, {0x483, 0x489}, {0x1ab0, 0x1aff}, {0x20d0, 0x20ff}, {0xfe20, 0xfe2f}}};

std::size_t width_of(std::uint32_t c) {
    if (c < 0x300) return 1;
    return in(combining, c) ? 0 : in(wide, c) ? 2 : 1;
}

template <class... Values>
std::string formatted(const char* format, Values... values) {
    std::array<char, 64> out{};
    std::snprintf(out.data(), out.size(), format, values...);
    return out.data();
}

std::string escape_of(std::uint32_t c) {
    switch (c) {
        case '\n':
            return "\\n";
        case '\t':
            return "\\t";
        case '\r':
            return "\\r";
        default:
            return c < 0x80 ? formatted("\\x%02x", c) : formatted("\\u{%x}", c);
    }
}

std::string escaped(std::string_view raw, bool quotes) {
    std::string out;
    out.reserve(raw.size());
    while (!raw.empty()) {
        const code_point c = decode(raw);
        const std::size_t size = std::max<std::size_t>(c.size, 1);
        if (c.size == 0) {
            out += formatted("\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(raw[0])));
        } else if (in(hidden, c.value)) {
            out += escape_of(c.value);
        } else {
            if (quotes && (c.value == '"' || c.value == '\\')) out += '\\';
            out += raw.substr(0, size);
        }
        raw.remove_prefix(size);
    }
    return out;
}

/// Bytes of the longest start of `text` that fits into `width` columns.
std::size_t fitting(std::string_view text, std::size_t width) {
    std::size_t bytes = 0;
    std::size_t columns = 0;
    while (bytes < text.size()) {
        const code_point c = decode(text.substr(bytes));
        columns += c.size == 0 ? 1 : width_of(c.value);
        if (columns > width) break;
        bytes += std::max<std::size_t>(c.size, 1);
    }
    return bytes;
}

}  // namespace

std::string printable(std::string_view raw) {
    return escaped(raw, false);
}

std::string quoted(std::string_view raw) {
    return '"' + escaped(raw, true) + '"';
}

std::size_t display_width(std::string_view text) {
    std::size_t columns = 0;
    while (!text.empty()) {
        const code_point c = decode(text);
        columns += c.size == 0 ? 1 : width_of(c.value);
        text.remove_prefix(std::max<std::size_t>(c.size, 1));
    }
    return columns;
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
    std::vector<std::string> lines;
    width = std::max<std::size_t>(width, 2);
    while (display_width(text) > width) {
        const std::size_t fits = fitting(text, width);
        const std::size_t space = text.substr(0, fits + 1).rfind(' ');
        const bool at_space = space != std::string_view::npos && space != 0;
        lines.emplace_back(text.substr(0, at_space ? space : fits));
        text.remove_prefix(at_space ? space + 1 : fits);
    }
    lines.emplace_back(text);
    return lines;
}

std::string cut_to(std::string_view text, std::size_t width) {
    if (display_width(text) <= width) return std::string(text);
    return std::string(text.substr(0, fitting(text, width - 1))) + "…";
}

std::string padded(std::string_view text, std::size_t width) {
    const std::size_t columns = display_width(text);
    return std::string(text) + std::string(columns < width ? width - columns : 0, ' ');
}

std::string painter::operator()(paint how, std::string_view text) const {
    constexpr std::array<std::string_view, 7> codes = {"", "1", "2", "1;31", "1;33", "36", "1;35"};
    if (!colours_ || how == paint::plain || text.empty()) return std::string(text);
    const std::string_view code = codes[static_cast<std::size_t>(how)];
    return "\x1b[" + std::string(code) + 'm' + std::string(text) + "\x1b[0m";
}

bool wants_colours(int descriptor) {
    const char* const forbidden = std::getenv("NO_COLOR");
    const char* const terminal = std::getenv("TERM");
    if (forbidden != nullptr && *forbidden != '\0') return false;
    return ::isatty(descriptor) == 1 &&
           (terminal == nullptr || std::string_view(terminal) != "dumb");
}

std::size_t terminal_width(int descriptor) {
    constexpr std::size_t narrowest = 60;
    constexpr std::size_t widest = 200;
    winsize size{};
    if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 100;
    return std::clamp<std::size_t>(size.ws_col, narrowest, widest);
}

std::string human_duration(double seconds) {
    if (!std::isfinite(seconds)) return "unknown";
    if (seconds < 0) return '-' + human_duration(-seconds);
    if (seconds < 0.9995) return formatted("%.0fms", seconds * 1000);
    if (seconds < 9.95) return formatted("%.1fs", seconds);
    if (seconds > 1e14) return formatted("%gs", seconds);
    const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
    if (whole < 60) return std::to_string(whole) + 's';
    const std::uint64_t minutes = whole / 60;
    if (minutes < 60)
        return formatted("%dm %02ds", static_cast<int>(minutes), static_cast<int>(whole % 60));
    const std::uint64_t hours = minutes / 60;
    if (hours < 24)
        return formatted("%dh %02dm", static_cast<int>(hours), static_cast<int>(minutes % 60));
    return human_count(hours / 24) + "d " + std::to_string(hours % 24) + 'h';
}

std::string human_count(std::uint64_t count) {
    std::string digits = std::to_string(count);
    for (std::size_t at = digits.size(); at > 3;) {
        at -= 3;
        digits.insert(at, ",");
    }
    return digits;
}

std::string counted(std::uint64_t count, std::string_view thing) {
    return human_count(count) + ' ' + std::string(thing) + (count == 1 ? "" : "s");
}

}  // namespace corodump::cli
