#include "agent/runtime/stall_monitor.hpp"

#include <algorithm>
#include <string_view>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"
#include "agent/base/text.hpp"

namespace corodump::runtime {
namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr std::uint32_t shown_frames = 6;

void append_stack(base::text& line, const snapshot::stall_record& of) noexcept {
    std::uint32_t shown = 0;
    for (const snapshot::stall_frame& frame : of.stack()) {
        if (shown == shown_frames) break;
        if (frame.function.empty()) continue;
        line.append(shown++ == 0 ? " in " : " < ").append(frame.function.view().substr(0, 96));
    }
    if (shown == 0 && !of.reason.empty()) line.append("; no stack: ").append(of.reason.view());
}

}  // namespace

int stall_monitor::prepare(dumper& dumps) noexcept {
    const int error = stalls_.prepare();
    prepared_ = error == 0;
    dumps.show_stalls(stalls_);
    return error;
}

void stall_monitor::begin(const base::config& config) noexcept {
    const auto threshold_ns = static_cast<std::int64_t>(config.stall_threshold_ms) * ns_per_ms;
    sources::set_default_threshold(static_cast<std::uint64_t>(threshold_ns));
    watch_.begin(threshold_ns);
    dumps_wanted_ = config.dump_on_stall;
    dump_pause_ns_ = static_cast<std::int64_t>(config.stall_dump_interval_ms) * ns_per_ms;
    next_dump_ns_ = next_line_ns_ = next_capture_ns_ = 0;
    untold_ = 0;
}

bool stall_monitor::tick(dumper& dumps) noexcept {
    if (!prepared_) return false;
    const std::int64_t now_ns = base::monotonic_ns();
    stalls_.update(now_ns);
    sources::stall_sign fresh[max_captures];
    const std::size_t count = watch_.look(now_ns, fresh);
    bool any = false;
    for (std::size_t i = 0; i < count; ++i) any = take(fresh[i], now_ns, dumps) || any;
    return any && dump_is_due(now_ns);
}

bool stall_monitor::take(const sources::stall_sign& sign, std::int64_t now_ns,
                         dumper& dumps) noexcept {
    snapshot::stall_record* const made = stalls_.add(sign, now_ns);
    if (made == nullptr) return false;
    // A service of which every thread stalls all the time must not pay for that with a processor.
    if (now_ns >= next_capture_ns_) {
        next_capture_ns_ = now_ns + capture_pause_ns;
        captures_left_ = max_captures;
    }
    if (captures_left_ > 0) {
        --captures_left_;
        const std::int64_t began_ns = base::monotonic_ns();
        dumps.take_stack(began_ns + max_capture_ns, *made);
        // The names of a large program take long to look up: no more than a tenth of the time.
        const std::int64_t ended_ns = base::monotonic_ns();
        if (const std::int64_t pause_ns = 10 * (ended_ns - began_ns); pause_ns > capture_pause_ns) {
            captures_left_ = 0;
            next_capture_ns_ = ended_ns + pause_ns;
        }
    } else {
        made->reason.assign("too many stalls at once");
    }
    tell(*made, now_ns);
    return true;
}

void stall_monitor::tell(const snapshot::stall_record& of, std::int64_t now_ns) noexcept {
    if (now_ns < next_line_ns_) {
        ++untold_;
        return;
    }
    next_line_ns_ = now_ns + line_pause_ns;
    char buffer[960];
    base::text line(buffer);
    if (of.loop.empty())
        line.append("a coroutine has not suspended for ");
    else
        line.append("loop \"").append(of.loop.view()).append("\" is blocked for ");
    line.decimal(static_cast<std::uint64_t>(std::max<std::int64_t>(of.duration_ns, 0) / ns_per_ms));
    line.append(" ms: thread ").decimal_signed(of.sign.thread);
    append_stack(line, of);
    if (!of.task.function.empty()) line.append(", resuming ").append(of.task.function.view());
    if (!of.task.name.empty()) line.append(" \"").append(of.task.name.view()).append('"');
    if (untold_ != 0) line.append(" (").decimal(untold_).append(" more since the last line)");
    untold_ = 0;
    base::log(base::log_level::warning, line.view());
}

bool stall_monitor::dump_is_due(std::int64_t now_ns) noexcept {
    if (!dumps_wanted_ || now_ns < next_dump_ns_) return false;
    next_dump_ns_ = now_ns + dump_pause_ns_;
    return true;
}

void stall_monitor::update() noexcept {
    if (prepared_) stalls_.update(base::monotonic_ns());
}

void stall_monitor::forget() noexcept {
    stalls_.forget();
    next_dump_ns_ = next_line_ns_ = next_capture_ns_ = 0;
    untold_ = 0;
}

}  // namespace corodump::runtime
