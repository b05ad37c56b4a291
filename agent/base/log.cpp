#include "agent/base/log.hpp"

#include <unistd.h>

#if CORODUMP_WITH_SPDLOG
// Debian's spdlog is built on an external fmt. Header-only, so that neither becomes a dependency of
// the service's and no symbol of theirs is exported. The build may define these for the whole
// target.
#ifndef SPDLOG_FMT_EXTERNAL
#define SPDLOG_FMT_EXTERNAL
#endif
#ifndef FMT_HEADER_ONLY
#define FMT_HEADER_ONLY
#endif
#include <spdlog/logger.h>
#include <spdlog/sinks/sink.h>
#endif

#include <atomic>
#include <memory>

#include "agent/base/clock.hpp"
#include "agent/base/text.hpp"

namespace corodump::base {
namespace {

// Lines dropped and not told. Added to and taken from by whichever threads log; only a count.
std::atomic<std::uint64_t> dropped{0};

// One message is one line, and no command to a terminal: a path or an option could hold anything.
void append_printable(text& line, std::string_view message) noexcept {
    for (const char c : message) {
        const auto byte = static_cast<unsigned char>(c);
        line.append(byte < 0x20 || byte == 0x7f ? ' ' : c);
    }
}

// Laid out here and not by spdlog, whose formatters call localtime or gmtime, which take the time
// zone lock. No lock and no state but the counter, so a fork in the middle leaves nothing behind.
void write_line(std::string_view level, std::string_view message) noexcept {
    char buffer[1024];
    text line(std::span<char>(buffer, sizeof buffer - 1));
    append_rfc3339(line, realtime_ns());
    line.append(" corodump ").append(level).append(": ");
    const std::uint64_t lost = dropped.exchange(0, std::memory_order_relaxed);
    if (lost != 0) line.append("(").decimal(lost).append(" log lines were dropped) ");
    append_printable(line, message);
    buffer[line.size()] = '\n';
    if (!write_unblocked(STDERR_FILENO, {buffer, line.size() + 1})) {
        dropped.fetch_add(lost + 1, std::memory_order_relaxed);
    }
}

#if CORODUMP_WITH_SPDLOG

std::string_view name_of(spdlog::level::level_enum level) noexcept {
    switch (level) {
        case spdlog::level::warn:
            return "warning";
        case spdlog::level::err:
            return "error";
        default:
            return "info";
    }
}

class stderr_sink final : public spdlog::sinks::sink {
public:
    void log(const spdlog::details::log_msg& message) override {
        write_line(name_of(message.level), {message.payload.data(), message.payload.size()});
    }
    void flush() override {}
    void set_pattern(const std::string& /*pattern*/) override {}
    void set_formatter(std::unique_ptr<spdlog::formatter> /*formatter*/) override {}
};

// Never destroyed: a thread may log while the process exits.
spdlog::logger* logger() noexcept {
    static spdlog::logger* const made = []() -> spdlog::logger* {
        try {
            return new spdlog::logger("corodump", std::make_shared<stderr_sink>());
        } catch (...) {
            return nullptr;  // out of memory at the start: the service runs on without our lines
        }
    }();
    return made;
}

#endif

}  // namespace

#if CORODUMP_WITH_SPDLOG

void prepare_log() noexcept {
    static_cast<void>(logger());
}

void log(log_level level, std::string_view message) noexcept {
    static constexpr spdlog::level::level_enum levels[] = {spdlog::level::info, spdlog::level::warn,
                                                           spdlog::level::err};
    spdlog::logger* const to = logger();
    if (to == nullptr) {
        dropped.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    try {
        to->log(levels[static_cast<unsigned>(level)],
                spdlog::string_view_t(message.data(), message.size()));
    } catch (...) {
        dropped.fetch_add(1, std::memory_order_relaxed);
    }
}

#else

void prepare_log() noexcept {}

void log(log_level level, std::string_view message) noexcept {
    static constexpr std::string_view names[] = {"info", "warning", "error"};
    write_line(names[static_cast<unsigned>(level)], message);
}

#endif

void log_at_tick(log_level level, std::string_view message) noexcept {
    static constexpr std::string_view names[] = {"info", "warning", "error"};
    write_line(names[static_cast<unsigned>(level)], message);
}

std::uint64_t dropped_log_lines() noexcept {
    return dropped.load(std::memory_order_relaxed);
}

}  // namespace corodump::base
