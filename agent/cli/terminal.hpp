// Text for a terminal: colours where they are wanted, and nothing that a dump says gets to the
// terminal unescaped.
//
// A dump holds strings of a process that may be under attack: names of peers, values of locals. A
// terminal obeys what it prints, so whatever could move the cursor, set a title, hide text or turn
// its direction is shown as an escape: `\x1b`, `\u{202e}`.
//
// Threads: any. Signals: unsafe. Blocks: never. Errors: std::bad_alloc. Bounds: linear in the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace corodump::cli {

/// `raw` with control characters (C0, DEL, C1), invalid UTF-8, line separators, invisible and
/// direction-changing characters escaped. What comes out is valid UTF-8 on one line.
[[nodiscard]] std::string printable(std::string_view raw);
/// As above, in double quotes, with quotes inside escaped.
[[nodiscard]] std::string quoted(std::string_view raw);

/// Columns that printable text takes: two for East Asian wide characters, none for combining ones.
[[nodiscard]] std::size_t display_width(std::string_view text);
/// Lines of at most `width` columns, broken at spaces where there are any. At least one line.
[[nodiscard]] std::vector<std::string> wrapped(std::string_view text, std::size_t width);
/// The end replaced by `…` where the text is wider than `width`.
[[nodiscard]] std::string cut_to(std::string_view text, std::size_t width);
[[nodiscard]] std::string padded(std::string_view text, std::size_t width);

enum class paint : std::uint8_t { plain, strong, dim, alarm, warning, place, object };

/// Puts paint on text, or leaves it as it is.
class painter {
public:
    explicit painter(bool colours) : colours_(colours) {}
    [[nodiscard]] std::string operator()(paint how, std::string_view text) const;

private:
    bool colours_;
};

/// `descriptor` is a terminal that understands colours, and NO_COLOR does not forbid them.
[[nodiscard]] bool wants_colours(int descriptor);
/// Columns of the terminal, or 100 where there is none; kept between 60 and 200.
[[nodiscard]] std::size_t terminal_width(int descriptor);

/// "3d 4h", "12m 15s", "3.2s", "40ms".
[[nodiscard]] std::string human_duration(double seconds);
/// 1234567 as "1,234,567".
[[nodiscard]] std::string human_count(std::uint64_t count);
/// "1 task", "3 tasks".
[[nodiscard]] std::string counted(std::uint64_t count, std::string_view thing);

}  // namespace corodump::cli
