#include "agent/format/failure_writer.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "agent/format/json_text.hpp"
#include "agent/format/task_writer.hpp"
#include "agent/format/thread_writer.hpp"

namespace corodump::format {

void failure_writer::write() noexcept {
    if (all_.failures == nullptr) return;
    const model::failure_section& section = *all_.failures;
    out_.line();
    out_.member("failures").begin_array();
    for (const model::failure& one : section.failures) {
        if (out_.failed()) return;
        out_.line();
        write_failure(one);
    }
    out_.end_array();
    out_.line();
    out_.member("finished").begin_array();
    for (const model::finished_task& one : section.finished) {
        if (out_.failed()) return;
        out_.line();
        write_finished(one);
    }
    out_.end_array();
    out_.line();
    out_.member("failure_counts").begin_object();
    out_.member("failures").number(section.failures_total);
    out_.member("failures_dropped")
        .number(section.failures_total -
                std::min<std::uint64_t>(section.failures_total, section.failures.size()));
    out_.member("finished").number(section.finished_total);
    out_.member("finished_dropped")
        .number(section.finished_total -
                std::min<std::uint64_t>(section.finished_total, section.finished.size()));
    out_.end_object();
}

void failure_writer::write_failure(const model::failure& one) noexcept {
    out_.begin_object();
    out_.member("time");
    write_time(one.time_unix_ns);
    out_.member("task");
    write_id(one.task_address, one.task_generation);
    out_.member("name").text_or_null(one.name);
    if (!one.labels.empty()) write_labels(one);
    out_.member("type").text_or_null(one.type);
    out_.member("message");
    one.has_message ? out_.text(one.message) : out_.null();
    out_.member("location").begin_object();
    const bool known = !one.chain.empty();
    write_place(known ? one.chain.back().site : 0, known ? one.chain.back().definition : 0);
    out_.end_object();
    write_chain(one);
    out_.member("thrown_at");
    one.has_stack ? write_native_frames(out_, all_, one.thrown_at) : out_.null();
    out_.member("observed").boolean(one.observed);
    out_.end_object();
}

void failure_writer::write_labels(const model::failure& one) noexcept {
    out_.member("labels").begin_object();
    for (const model::label& label : one.labels) {
        char* to = put(out_.element(escaped_room(label.name.size()) + 8), "\"");
        out_.commit_element(put(put_escaped(to, label.name), "\":"));
        to = put(out_.reserve(escaped_room(label.value.size()) + 8), "\"");
        out_.commit_element(put(put_escaped(to, label.value), "\""));
    }
    out_.end_object();
}

void failure_writer::write_chain(const model::failure& one) noexcept {
    out_.member("await_chain").begin_array();
    for (const model::failure_frame& frame : one.chain) {
        if (out_.failed()) return;
        out_.begin_object();
        const bool in_library = write_place(frame.site, frame.definition);
        if (frame.library || in_library) out_.member("library").boolean(true);
        out_.end_object();
    }
    out_.end_array();
    out_.member("created").begin_object();
    out_.member("location").begin_object();
    write_place(0, known_definition(one));
    out_.end_object();
    out_.member("by").null();
    out_.end_object();
}

/// As a task's: of the outermost coroutine that no library put around it.
std::uint64_t failure_writer::known_definition(const model::failure& one) noexcept {
    const auto own = std::ranges::find(one.chain, false, &model::failure_frame::library);
    if (own != one.chain.end()) return own->definition;
    return one.chain.empty() ? 0 : one.chain.front().definition;
}

void failure_writer::write_finished(const model::finished_task& one) noexcept {
    out_.begin_object();
    out_.member("task");
    write_id(one.address, one.generation);
    out_.member("name").text_or_null(one.name);
    write_place(0, one.definition);
    out_.member("outcome").text(name_of(one.outcome));
    out_.member("ended");
    write_time(one.ended_unix_ns);
    out_.member("duration_seconds");
    one.duration_seconds < 0 ? out_.null() : out_.seconds_or_null(one.duration_seconds);
    out_.member("cancelled_by");
    write_id(one.by_address, one.by_generation);
    out_.end_object();
}

bool failure_writer::write_place(std::uint64_t site, std::uint64_t definition) noexcept {
    out_.commit(out_.element(0));
    const bool in_library = places_.write({.site = site, .definition = definition});
    out_.commit_element(out_.reserve(0));
    return in_library;
}

void failure_writer::write_id(std::uint64_t address, std::uint32_t generation) noexcept {
    if (address == 0) return out_.null();
    model::frame frame;
    frame.address = address;
    frame.generation = generation;
    char* const to = put(out_.element(task_writer::id_room + 2), "\"");
    out_.commit_element(put(task_writer::put_id(to, frame), "\""));
}

void failure_writer::write_time(std::int64_t unix_ns) noexcept {
    if (unix_ns < 0) return out_.null();
    char* const to = put(out_.element(number_room + 2), "\"");
    out_.commit_element(put(put_rfc3339(to, unix_ns), "\""));
}

}  // namespace corodump::format
