#include "agent/format/task_writer.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "agent/format/chain_walk.hpp"
#include "agent/format/json_text.hpp"
#include "agent/format/json_writer.hpp"
#include "agent/format/place_writer.hpp"
#include "agent/format/thread_writer.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::format {
namespace {

/// State, activity and cancellation as they stand in a task, from one end to the other constant.
struct status_text {
    std::array<char, 96> text{};
    std::size_t size = 0;

    constexpr void append(std::string_view piece) noexcept {
        for (const char c : piece) text[size++] = c;
    }
};

constexpr unsigned status_index(unsigned state, unsigned activity, bool cancelled) noexcept {
    return (state & 3U) * 8 + (activity & 3U) * 2 + (cancelled ? 1 : 0);
}

constexpr std::array<status_text, 32> make_status_texts() noexcept {
    std::array<status_text, 32> texts{};
    for (unsigned index = 0; index < texts.size(); ++index) {
        const auto state = static_cast<model::task_state>(index / 8);
        const auto activity = static_cast<model::activity>(index / 2 % 4);
        status_text& status = texts[index];
        status.append(",\"state\":\"");
        status.append(model::name_of(state));
        status.append("\",\"activity\":\"");
        status.append(model::name_of(activity));
        status.append(index % 2 != 0 ? "\",\"cancelled\":true" : "\",\"cancelled\":false");
        status.append(",\"age_seconds\":");
    }
    return texts;
}
constexpr std::array<status_text, 32> status_texts = make_status_texts();

char* put_status(char* to, const model::frame& root, const model::frame& leaf,
                 bool cancelled) noexcept {
    const status_text& status = status_texts[status_index(
        static_cast<unsigned>(root.state), static_cast<unsigned>(leaf.activity), cancelled)];
    return put_padded(to, status.text.data(), status.size);
}

char* put_text(char* to, std::string_view text) noexcept {
    to = put_escaped(put(to, "\""), text);
    return put(to, "\"");
}

char* put_comma(char* to, bool first) noexcept {
    *to = ',';
    return to + (first ? 0 : 1);
}

bool is_suspended(const model::frame& frame) noexcept {
    return frame.activity == model::activity::suspended;
}

}  // namespace

task_writer::task_writer(json_writer& out, place_writer& places, chain_walk& walk,
                         const model::snapshot& all, model::details& details) noexcept
    : out_(out), places_(places), walk_(walk), all_(all), details_(details), given_(details) {
    constexpr double longest = 1e3;  // seconds per tick; NaN compares false, too
    if (all.seconds_per_tick > 0 && all.seconds_per_tick < longest)
        microseconds_per_tick_ = rounded(all.seconds_per_tick * 1e6);
}

char* task_writer::put_age(char* to, std::uint32_t since_tick) const noexcept {
    // The clock may have moved on between `now_tick` and the read of a record; a little in the
    // future is now. All else is an age: the ticks wrap after a year.
    constexpr std::uint32_t future_ticks = 1U << 16;
    if (since_tick == 0 || microseconds_per_tick_ == 0) return put(to, "null");
    std::uint32_t ticks = all_.now_tick - since_tick;
    if (ticks > 0U - future_ticks) ticks = 0;
    return put_seconds(to, ticks * microseconds_per_tick_ / 1000);
}

bool task_writer::write(std::uint32_t root_index, const model::birth* birth) noexcept {
    const chain_walk::frames chain = walk_.follow(root_index);
    if (chain.empty()) return false;
    const model::frame& root = *chain.front();
    const model::frame& last = *chain.back();
    const model::frame& leaf = chain_walk::waiting_in(chain);
    given_.gather(chain);
    write_head(root, leaf);
    if (given_.has_labels()) write_labels();
    // What a library puts around a service's coroutine is not where the task comes from.
    const auto own = std::ranges::find_if(chain, [](const auto* f) { return !f->library; });
    write_created(own == chain.end() ? root : **own, birth);
    if (root.parent != model::no_index) write_awaited_by(root);
    if (last.first_child != model::no_index) write_children(last);
    if (const std::uint64_t cut = walk_.last_cut(); cut != 0)
        out_.commit(put_decimal(put(out_.reserve(2 * number_room), ",\"cut\":"), cut));
    out_.commit(put(out_.reserve(number_room), ",\"await_chain\":["));
    for (const model::frame* frame : chain) {
        if (out_.failed()) return false;
        write_frame(*frame, frame == &root);
    }
    if (is_suspended(leaf)) write_awaitable(leaf);
    out_.commit_element(put(out_.reserve(8), "]"));
    if (leaf.activity == model::activity::running) write_native_stack(leaf);
    out_.commit_element(put(out_.reserve(8), "}"));
    return true;
}

void task_writer::write_head(const model::frame& root, const model::frame& leaf) noexcept {
    constexpr std::size_t room = 384;  // all but the name at its longest
    const std::string_view name = given_.name();
    char* to = out_.element(room + escaped_room(name.size()));
    to = put_id(put(to, "{\"id\":\""), root);
    to = put(to, "\",\"name\":");
    to = name.empty() ? put(to, "null") : put_text(to, name);
    to = put_status(to, root, leaf, given_.cancelled());
    to = put_age(to, root.created_tick);
    to = put(to, ",\"suspended_seconds\":");
    to = put_age(to, is_suspended(leaf) ? leaf.suspended_tick : 0);
    to = put_decimal(put(to, ",\"resumes\":"), leaf.resumes);
    to = put(to, ",\"thread\":");
    to = leaf.thread <= 0 ? put(to, "null")
                          : put_decimal(to, static_cast<std::uint32_t>(leaf.thread));
    out_.commit(to);
}

void task_writer::write_labels() noexcept {
    out_.commit(put(out_.reserve(number_room), ",\"labels\":{"));
    bool first = true;
    given_.visit_labels([&](const model::label& label) noexcept {
        char* to =
            out_.reserve(escaped_room(label.name.size()) + escaped_room(label.value.size()) + 16);
        to = put(put_text(put_comma(to, first), label.name), ":");
        out_.commit(put_text(to, label.value));
        first = false;
    });
    out_.commit(put(out_.reserve(number_room), "}"));
}

void task_writer::write_created(const model::frame& root, const model::birth* birth) noexcept {
    out_.commit(put(out_.reserve(number_room), ",\"created\":{\"location\":{"));
    places_.write({.site = 0, .definition = root.definition});
    char* to = put(out_.reserve(128), "},\"by\":");
    to = birth == nullptr || birth->creator == 0 ? put(to, "null") : put_creator(to, *birth);
    if (birth != nullptr && all_.creation->takes_stacks()) {
        to = put(to, ",\"stack\":");
        to = birth->stack == 0 ? put(to, "null") : put_decimal(to, birth->stack);
    }
    out_.commit(put(to, "}"));
}

/// The creator's task while it lives; afterwards what is left of the creator is its own id.
char* task_writer::put_creator(char* to, const model::birth& birth) const noexcept {
    model::frame gone;
    gone.address = birth.creator;
    gone.generation = birth.creator_generation;
    const bool lives = birth.creator_task < all_.frames.size();
    return put(put_id(put(to, "\""), lives ? all_.frames[birth.creator_task] : gone), "\"");
}

void task_writer::write_awaited_by(const model::frame& root) noexcept {
    char* to = put(out_.reserve(64), ",\"awaited_by\":");
    const model::frame* const joining = walk_.root_of(root.parent);
    to = joining == nullptr ? put(to, "null") : put(put_id(put(to, "\""), *joining), "\"");
    out_.commit(to);
}

void task_writer::write_children(const model::frame& leaf) noexcept {
    std::array<const model::frame*, max_children> children;
    const std::uint64_t count = walk_.children_of(leaf, children);
    if (count == 0) return;
    char* to = put(out_.reserve(64 + max_children * (id_room + 4)), ",\"children\":[");
    for (std::size_t at = 0; at < std::min<std::uint64_t>(count, max_children); ++at)
        to = put(put_id(put(put_comma(to, at == 0), "\""), *children[at]), "\"");
    to = put_decimal(put(to, "],\"child_count\":"), count);
    out_.commit(to);
}

void task_writer::write_frame(const model::frame& frame, bool first) noexcept {
    out_.commit(put(put_comma(out_.reserve(8), first), "{"));
    const bool in_library = places_.write({.site = frame.site, .definition = frame.definition});
    const std::span<const model::local> locals = details_.locals(frame);
    if (!locals.empty()) write_locals(locals);
    char* to = put(out_.reserve(96), ",\"address\":\"");
    to = put(put_hex(to, frame.address), "\"");
    if (frame.library || in_library) to = put(to, ",\"library\":true");
    out_.commit(put(to, "}"));
}

void task_writer::write_locals(std::span<const model::local> locals) noexcept {
    if (locals.size() > max_locals) {
        omitted_ += locals.size() - max_locals;
        locals = locals.first(max_locals);
    }
    out_.commit(put(out_.reserve(number_room), ",\"locals\":{"));
    for (std::size_t index = 0; index < locals.size(); ++index) write_local(locals, index);
    out_.commit(put(out_.reserve(8), "}"));
}

void task_writer::write_local(std::span<const model::local> locals, std::size_t index) noexcept {
    const model::local& local = locals[index];
    // A variable of an inner scope may hide another of its name; a JSON object has room for one.
    const auto namesakes =
        std::count_if(locals.begin(), locals.begin() + static_cast<std::ptrdiff_t>(index),
                      [&](const model::local& earlier) { return earlier.name == local.name; });
    char* to = out_.reserve(escaped_room(local.name.size()) + escaped_room(local.type.size()) + 64);
    to = put_escaped(put(put_comma(to, index == 0), "\""), local.name);
    if (namesakes > 0) to = put_decimal(put(to, "#"), static_cast<std::uint64_t>(namesakes) + 1);
    to = put(to, "\":{\"type\":");
    to = local.type.empty() ? put(to, "null") : put_text(to, local.type);
    out_.commit(put(to, ",\"value\":"));
    to = out_.reserve(escaped_room(local.value.size()) + 16);
    if (local.redacted) {
        to = put(to, "\"<redacted>\"");
    } else if (!local.readable) {
        to = put(to, "null");
    } else if (local.literal && is_json_literal(local.value)) {
        to = put_escaped(to, local.value);
    } else {
        to = put_text(to, local.value);
    }
    out_.commit(put(to, "}"));
}

void task_writer::write_awaitable(const model::frame& frame) noexcept {
    const model::leaf leaf = details_.awaited(frame);
    if (leaf.awaitable.empty()) return;
    char* to = out_.reserve(escaped_room(leaf.awaitable.size()) + 96);
    to = put_text(put(to, ",{\"awaitable\":"), leaf.awaitable);
    to = put(to, ",\"object\":");
    const std::uint64_t object = leaf.object != 0 ? leaf.object : frame.awaiter;
    to = object == 0 ? put(to, "null") : put(put_hex(put(to, "\""), object), "\"");
    out_.commit(to);
    write_object(leaf);
    out_.commit(put(out_.reserve(8), "}"));
}

void task_writer::write_native_stack(const model::frame& leaf) noexcept {
    const auto index = static_cast<std::uint32_t>(&leaf - all_.frames.data());
    const std::span<const model::native_frame> frames = native_frames_of(all_, index);
    if (frames.empty()) return;
    out_.member("native_stack");
    write_native_frames(out_, all_, frames);
}

void task_writer::write_object(const model::leaf& leaf) noexcept {
    if (!leaf.kind.empty()) write_known(",\"kind\":", leaf.kind);
    if (!leaf.name.empty()) write_known(",\"name\":", leaf.name);
    if (!leaf.owners.empty()) write_owners(leaf.owners);
    if (leaf.descriptor >= 0) {
        char* const to = put(out_.reserve(number_room * 2), ",\"descriptor\":");
        out_.commit(put_decimal(to, static_cast<unsigned>(leaf.descriptor)));
    }
    if (!leaf.local_endpoint.empty()) write_known(",\"local_endpoint\":", leaf.local_endpoint);
    if (!leaf.remote_endpoint.empty()) write_known(",\"remote_endpoint\":", leaf.remote_endpoint);
    if (leaf.has_deadline && is_duration(leaf.deadline_in_seconds)) {
        char* const to = put(out_.reserve(number_room * 2), ",\"deadline_in_seconds\":");
        out_.commit(put_duration(to, leaf.deadline_in_seconds));
    }
    if (leaf.tells_ready) {
        char* const to = put(out_.reserve(number_room), ",\"ready\":");
        out_.commit(leaf.ready ? put(to, "true") : put(to, "false"));
    }
    if (leaf.remaining >= 0) {
        char* const to = put(out_.reserve(number_room * 2), ",\"remaining\":");
        out_.commit(put_decimal(to, static_cast<std::uint64_t>(leaf.remaining)));
    }
}

template <std::size_t Size>
void task_writer::write_known(const char (&member)[Size], std::string_view text) noexcept {
    char* const to = put(out_.reserve(escaped_room(text.size()) + Size + 2), member);
    out_.commit(put_text(to, text));
}

void task_writer::write_owners(std::span<const std::uint32_t> owners) noexcept {
    if (owners.size() > max_owners) {
        omitted_ += owners.size() - max_owners;
        owners = owners.first(max_owners);
    }
    char* to = put(out_.reserve(32 + max_owners * (id_room + 4)), ",\"owners\":[");
    for (std::size_t at = 0; at < owners.size(); ++at) {
        to = put_comma(to, at == 0);
        const model::frame* const owner = walk_.root_of(owners[at]);
        to = owner == nullptr ? put(to, "null") : put(put_id(put(to, "\""), *owner), "\"");
    }
    out_.commit(put(to, "]"));
}

}  // namespace corodump::format
