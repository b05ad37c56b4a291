// The part of dump_builder that reads loops and stalls.
#include <cstdint>
#include <optional>
#include <utility>

#include "agent/format/dump.hpp"
#include "agent/format/reader_elements.hpp"
#include "agent/format/reader_fields.hpp"
#include "agent/format/reader_tree.hpp"

namespace corodump::format {

void dump_builder::read_callbacks(object_fields& in, const tree& json, loop& out) {
    const auto at = in.find_object("callbacks", need::value);
    if (!at) return;
    const path where = in.where()["callbacks"];
    object_fields counts = fields(json, *at, where);
    counts.read("count", need::value, out.callbacks);
    counts.read("average_seconds", need::nullable, out.average_seconds);
    counts.read("max_seconds", need::nullable, out.max_seconds);
    counts.read("over_threshold", need::value, out.over_threshold);
    counts.read("threshold_seconds", need::nullable, out.threshold_seconds);
    each_object(json, counts.find_array("histogram", need::value), where["histogram"],
                [&](std::uint32_t bucket_at, const path& here) {
                    object_fields bucket = fields(json, bucket_at, here);
                    loop_bucket made;
                    bucket.read("below_seconds", need::nullable, made.below_seconds);
                    bucket.read("count", need::value, made.count);
                    bucket.finish();
                    if (bucket) out.histogram.push_back(made);
                });
    counts.finish();
}

void dump_builder::read_loop(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    loop out;
    in.read("name", need::value, out.name);
    in.read("kind", need::value, out.kind);
    if (const auto threads = in.find_array("threads", need::value)) {
        object_fields::for_each(json, *threads, [&](std::uint32_t at, std::uint64_t index) {
            if (json[at].kind == node_kind::unsigned_integer)
                out.threads.push_back(json[at].integer);
            else
                log_.unusable(where["threads"].at(index), json[at].offset, "is no thread's id");
        });
    }
    read_callbacks(in, json, out);
    if (const auto at = in.find_object("queue_delay", need::nullable)) {
        object_fields delay = fields(json, *at, where["queue_delay"]);
        delay.read("last_seconds", need::nullable, out.last_delay_seconds);
        delay.read("max_seconds", need::nullable, out.max_delay_seconds);
        delay.finish();
    }
    in.read("queued", need::nullable, out.queued);
    if (const auto at = in.find_object("current", need::nullable)) {
        object_fields current = fields(json, *at, where["current"]);
        current.read("since_seconds", need::nullable, out.current_seconds);
        current.read("task", need::nullable, out.current_task);
        current.read("thread", need::nullable, out.current_thread);
        current.finish();
        out.in_callback = true;
    }
    in.finish();
    if (in) dump_.loops.push_back(std::move(out));
}

void dump_builder::read_stall(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    stall out;
    in.read("loop", need::nullable, out.loop);
    in.read("thread", need::nullable, out.thread);
    in.read_time("time", need::nullable, out.time);
    in.read("duration_seconds", need::nullable, out.duration_seconds);
    in.read("ongoing", need::value, out.ongoing);
    in.read("task", need::nullable, out.task);
    in.read("name", need::optional, out.name);
    in.read("function", need::nullable, out.function);
    in.read("reason", need::optional, out.reason);
    read_native_frames(json, in.find_array("frames", need::value), where["frames"], out.frames);
    in.finish();
    if (in) dump_.stalls.push_back(std::move(out));
}

}  // namespace corodump::format
