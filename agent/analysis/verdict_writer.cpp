#include "agent/analysis/verdict_writer.hpp"

namespace corodump::analysis {

void verdict_writer::put_number(std::uint64_t number) {
    char digits[20];
    char* const end = digits + sizeof digits;
    char* at = end;
    do {
        *--at = static_cast<char>('0' + number % 10);
        number /= 10;
    } while (number != 0);
    put(std::string_view(at, static_cast<std::size_t>(end - at)));
}

/// Two figures are enough to act on: 0.25 s, 3.5 s, 42 s, 7 min, 3 h.
void verdict_writer::put(duration what) {
    const double seconds = what.seconds < 0 ? 0 : what.seconds;
    if (seconds >= 1e15) return put("for ever");
    if (seconds >= 7200) return say(static_cast<std::uint64_t>(seconds / 3600), " h");
    if (seconds >= 120) return say(static_cast<std::uint64_t>(seconds / 60), " min");
    if (seconds >= 10) return say(static_cast<std::uint64_t>(seconds), " s");
    const bool fine = seconds < 1;
    const auto parts = static_cast<std::uint64_t>(seconds * (fine ? 100 : 10) + 0.5);
    const std::uint64_t scale = fine ? 100 : 10;
    put_number(parts / scale);
    put(".");
    if (fine && parts % scale < 10) put("0");
    put_number(parts % scale);
    put(" s");
}

}  // namespace corodump::analysis
