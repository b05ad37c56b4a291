#include "agent/format/loop_writer.hpp"

#include "agent/base/text.hpp"
#include "agent/format/json_text.hpp"
#include "agent/format/task_writer.hpp"
#include "agent/format/thread_writer.hpp"

namespace corodump::format {

void loop_writer::write(const model::loops& loops) noexcept {
    out_.line();
    out_.member("loops").begin_array();
    for (const model::loop& loop : loops.all) {
        if (out_.failed()) return;
        out_.line();
        write_loop(loop);
    }
    out_.line();
    out_.end_array();
    out_.line();
    out_.member("stalls_seen").number(loops.stalls_seen);
    out_.line();
    out_.member("stalls").begin_array();
    for (const model::stall& stall : loops.stalls) {
        if (out_.failed()) return;
        out_.line();
        write_stall(stall);
    }
    out_.line();
    out_.end_array();
}

void loop_writer::write_loop(const model::loop& loop) noexcept {
    out_.begin_object();
    out_.member("name").text(loop.name);
    out_.member("kind").text(loop.kind);
    out_.member("threads").begin_array();
    for (const std::int32_t thread : loop.threads) out_.number_or_null(thread);
    out_.end_array();
    write_callbacks(loop);
    out_.member("queue_delay");
    if (loop.last_delay_ns < 0) {
        out_.null();
    } else {
        out_.begin_object();
        out_.member("last_seconds");
        seconds(loop.last_delay_ns);
        out_.member("max_seconds");
        seconds(loop.longest_delay_ns);
        out_.end_object();
    }
    out_.member("queued").number_or_null(loop.queued);
    out_.member("current");
    write_current(loop.current);
    out_.end_object();
}

void loop_writer::write_callbacks(const model::loop& loop) noexcept {
    out_.member("callbacks").begin_object();
    out_.member("count").number(loop.callbacks);
    out_.member("average_seconds");
    seconds(loop.callbacks == 0 ? -1 : static_cast<std::int64_t>(loop.total_ns / loop.callbacks));
    out_.member("max_seconds");
    seconds(static_cast<std::int64_t>(loop.longest_ns));
    out_.member("over_threshold").number(loop.over_threshold);
    out_.member("threshold_seconds");
    seconds(loop.threshold_ns == 0 ? -1 : static_cast<std::int64_t>(loop.threshold_ns));
    out_.member("histogram").begin_array();
    for (const model::loop_bucket& bucket : loop.histogram) {
        out_.begin_object();
        out_.member("below_seconds");
        seconds(bucket.below_ns == 0 ? -1 : static_cast<std::int64_t>(bucket.below_ns));
        out_.member("count").number(bucket.count);
        out_.end_object();
    }
    out_.end_array();
    out_.end_object();
}

void loop_writer::write_current(const model::loop_callback& current) noexcept {
    if (current.thread == 0) return out_.null();
    out_.begin_object();
    out_.member("since_seconds");
    seconds(current.for_ns);
    out_.member("task");
    write_task(current.frame);
    out_.member("thread").number_or_null(current.thread);
    out_.end_object();
}

void loop_writer::write_stall(const model::stall& stall) noexcept {
    out_.begin_object();
    out_.member("loop").text_or_null(stall.loop);
    out_.member("thread").number_or_null(stall.thread);
    out_.member("time");
    if (stall.time_unix_ns < 0) {
        out_.null();
    } else {
        char* const to = put(out_.element(number_room + 2), "\"");
        out_.commit_element(put(put_rfc3339(to, stall.time_unix_ns), "\""));
    }
    out_.member("duration_seconds");
    seconds(stall.duration_ns);
    out_.member("ongoing").boolean(stall.ongoing);
    out_.member("task");
    write_task(stall.frame);
    if (!stall.name.empty()) out_.member("name").text(stall.name);
    out_.member("function").text_or_null(stall.function);
    if (!stall.reason.empty()) out_.member("reason").text(stall.reason);
    out_.member("frames");
    write_native_frames(out_, all_, stall.frames);
    out_.end_object();
}

void loop_writer::write_task(std::uint32_t frame) noexcept {
    const model::frame* const root = walk_.root_of(frame);
    if (root == nullptr) return out_.null();
    char* const to = put(out_.element(task_writer::id_room + 2), "\"");
    out_.commit_element(put(task_writer::put_id(to, *root), "\""));
}

void loop_writer::seconds(std::int64_t ns) noexcept {
    if (ns < 0) return out_.null();
    char buffer[40];
    out_.raw(base::text(buffer).fixed(static_cast<double>(ns) / 1e9, 6).view());
}

}  // namespace corodump::format
