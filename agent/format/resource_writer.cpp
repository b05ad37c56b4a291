#include "agent/format/resource_writer.hpp"

#include <algorithm>
#include <cstddef>

#include "agent/format/json_text.hpp"
#include "agent/format/task_writer.hpp"
#include "agent/format/thread_writer.hpp"

namespace corodump::format {
namespace {

constexpr std::uint64_t bytes_of_a_kind = 640;
constexpr std::uint64_t bytes_of_a_place = 512;
constexpr std::uint64_t bytes_of_a_frame = 256;

std::uint64_t room_for(const model::leaked_resource& leak) noexcept {
    return 640 + leak.stack.size() * bytes_of_a_frame;
}

}  // namespace

std::uint64_t room_for_resources(const model::snapshot& all) noexcept {
    if (all.resources == nullptr) return 0;
    std::uint64_t sum = 256 + all.resources->kinds.size() * bytes_of_a_kind +
                        all.resources->places.size() * bytes_of_a_place;
    for (const model::leaked_resource& leak : all.resources->leaks) sum += room_for(leak);
    return std::min(sum, all.limits.bytes / 8);
}

void resource_writer::write(std::uint64_t room_behind) noexcept {
    if (all_.resources == nullptr) return;
    const model::tracked_resources& made = *all_.resources;
    const auto fits = [&](std::uint64_t bytes) {
        return !out_.failed() && out_.position() + bytes + room_behind + 128 <= all_.limits.bytes;
    };
    out_.line();
    out_.member("tracked_resources").begin_object();
    out_.member("kinds").begin_array();
    for (const model::resource_kind& kind : made.kinds) write_kind(kind);
    out_.end_array();
    out_.member("places").begin_array();
    std::uint64_t left_out = made.places_left_out;
    for (const model::resource_place& place : made.places)
        fits(bytes_of_a_place) ? write_place(place) : void(left_out += place.live);
    out_.end_array();
    out_.member("places_left_out").number(left_out);
    out_.member("leaks").begin_array();
    left_out = made.leaks_left_out;
    for (const model::leaked_resource& leak : made.leaks)
        fits(room_for(leak)) ? write_leak(leak) : void(++left_out);
    out_.end_array();
    out_.member("leaks_left_out").number(left_out);
    out_.end_object();
}

void resource_writer::write_kind(const model::resource_kind& kind) noexcept {
    out_.line();
    out_.begin_object();
    out_.member("kind").text(kind.name);
    out_.member("type").text_or_null(kind.type);
    if (kind.built_in) out_.member("built_in").boolean(true);
    out_.member("live").number(kind.live);
    out_.member("peak").number_or_null(kind.peak);
    out_.member("opened").number_or_null(kind.opened);
    out_.member("refused").number(kind.refused);
    out_.member("oldest_seconds");
    seconds(kind.oldest_ns);
    out_.member("max_age_seconds");
    seconds(kind.max_age_ns);
    out_.member("over_limit").number(kind.over_limit);
    out_.end_object();
}

void resource_writer::write_place(const model::resource_place& of) noexcept {
    out_.line();
    out_.begin_object();
    out_.member("kind").text(all_.resources->kinds[of.kind].name);
    place(of.site, 0);
    out_.member("live").number(of.live);
    out_.member("oldest_seconds");
    seconds(of.oldest_ns);
    out_.member("over_limit").number(of.over_limit);
    out_.end_object();
}

void resource_writer::write_leak(const model::leaked_resource& leak) noexcept {
    out_.line();
    out_.begin_object();
    out_.member("kind").text(all_.resources->kinds[leak.kind].name);
    out_.member("label").text_or_null(leak.label);
    out_.member("object").address_or_null(leak.object);
    out_.member("descriptor").number_or_null(leak.descriptor);
    out_.member("age_seconds");
    seconds(leak.age_ns);
    write_opened_at(leak);
    out_.member("stack");
    leak.has_stack ? write_native_frames(out_, all_, leak.stack) : out_.null();
    out_.member("task");
    write_task(leak.frame);
    out_.member("thread").number_or_null(leak.thread == 0 ? -1 : leak.thread);
    out_.end_object();
}

void resource_writer::write_opened_at(const model::leaked_resource& leak) noexcept {
    out_.member("opened_at");
    if (leak.site == 0 && leak.definition == 0) return out_.null();
    out_.begin_object();
    place(leak.site, leak.definition);
    out_.end_object();
}

void resource_writer::place(std::uint64_t site, std::uint64_t definition) noexcept {
    out_.commit(out_.element(0));
    static_cast<void>(places_.write({.site = site, .definition = definition}));
    out_.commit_element(out_.reserve(0));
}

void resource_writer::write_task(std::uint32_t frame) noexcept {
    const model::frame* const root = walk_.root_of(frame);
    if (root == nullptr) return out_.null();
    char* const to = put(out_.element(task_writer::id_room + 2), "\"");
    out_.commit_element(put(task_writer::put_id(to, *root), "\""));
}

void resource_writer::seconds(std::int64_t ns) noexcept {
    ns < 0 ? out_.null() : out_.seconds_or_null(static_cast<double>(ns) / 1e9);
}

}  // namespace corodump::format
