#include "agent/runtime/failure_log.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <corodump/detail/abi.hpp>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"
#include "agent/base/safe_copy.hpp"
#include "agent/base/text.hpp"
#include "agent/snapshot/failures.hpp"
#include "agent/sources/failures.hpp"

namespace corodump::runtime {
namespace {

constexpr std::uint64_t lines_a_second = 10;
constexpr std::int64_t second_ns = 1'000'000'000;

// The watchdog's alone.
std::int64_t window_began_ns = 0;
std::uint64_t lines_in_window = 0;
const base::redaction* patterns = nullptr;

bool hides(const void* /*context*/, std::string_view name) noexcept {
    return patterns->matches(name);
}

std::string_view text_of(const char* from, std::size_t room) noexcept {
    return {from, strnlen(from, room)};
}

/// "orders.cpp:17", without directories.
void append_place(base::text& line, std::uint64_t site) noexcept {
    detail::site_data place{};
    char file[512];
    if (site == 0 || (site & model::code_key) != 0 || !base::safe_read(place, site)) return;
    const std::size_t bytes =
        base::safe_copy(file, reinterpret_cast<std::uint64_t>(place.file), sizeof file);
    const std::string_view path = text_of(file, bytes);
    if (path.empty() || path.size() == bytes) return;
    line.append(" near ").append(path.substr(path.rfind('/') + 1)).append(':').decimal(place.line);
}

void tell(const sources::failure_facts& what) noexcept {
    char buffer[960];
    char type[512];
    char message[640];
    base::text line(buffer);
    line.append("a task failed, and nobody got its exception: task ");
    line.hex(what.task_address).append('.').decimal(what.task_generation);
    if (what.name[0] != '\0')
        line.append(" \"").append(text_of(what.name, sizeof what.name)).append('"');
    append_place(line, what.chain_length == 0 ? 0 : what.chain[0].site);
    line.append(": ").append(
        snapshot::exception_type_name(text_of(what.type, sizeof what.type), type));
    if (what.has_message != 0)
        line.append(": ").append(snapshot::redact_message(
            text_of(what.message, sizeof what.message), {hides, nullptr}, message));
    base::log_at_tick(base::log_level::error, line.view());
    ++lines_in_window;
}

}  // namespace

void log_lost_failures(const base::redaction& redact) noexcept {
    patterns = &redact;
    const std::int64_t now = base::monotonic_ns();
    if (now - window_began_ns >= second_ns) {
        window_began_ns = now;
        lines_in_window = 0;
    }
    sources::tell_lost_failures(tell, lines_a_second - std::min(lines_in_window, lines_a_second));
}

}  // namespace corodump::runtime
