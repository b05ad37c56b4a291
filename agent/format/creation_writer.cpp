#include "agent/format/creation_writer.hpp"

#include <algorithm>

#include "agent/format/thread_writer.hpp"
#include "agent/model/creation.hpp"

namespace corodump::format {
namespace {

constexpr std::uint64_t bytes_of_a_frame = 256;

std::uint64_t room_for(const model::creation_stack& stack) noexcept {
    return 64 + stack.frames.size() * bytes_of_a_frame;
}

void write_stack(json_writer& out, const model::snapshot& all,
                 const model::creation_stack& stack) noexcept {
    out.begin_object();
    out.member("id").number(stack.id);
    out.member("count").number(stack.count);
    out.member("frames");
    write_native_frames(out, all, stack.frames);
    out.end_object();
}

/// Returns how many fitted.
std::size_t write_stacks(json_writer& out, const model::snapshot& all,
                         std::uint64_t room_behind) noexcept {
    std::size_t written = 0;
    out.line();
    out.member("creation_stacks").begin_array();
    for (const model::creation_stack& stack : all.creation->of_stacks) {
        if (out.failed() || out.position() + room_for(stack) + room_behind > all.limits.bytes)
            break;
        out.line();
        write_stack(out, all, stack);
        ++written;
    }
    out.line();
    out.end_array();
    return written;
}

}  // namespace

std::uint64_t room_for_creation(const model::snapshot& all) noexcept {
    if (all.creation == nullptr) return 0;
    std::uint64_t sum = 512;
    for (const model::creation_stack& stack : all.creation->of_stacks) sum += room_for(stack);
    return std::min(sum, all.limits.bytes / 8);
}

void write_creation(json_writer& out, const model::snapshot& all,
                    std::uint64_t room_behind) noexcept {
    if (all.creation == nullptr) return;
    const model::creation& made = *all.creation;
    std::uint64_t left_out = made.stacks_left_out;
    if (made.takes_stacks())
        left_out += made.of_stacks.size() - write_stacks(out, all, room_behind + 512);
    out.line();
    out.member("creation").begin_object();
    out.member("mode").text(made.mode);
    out.member("budget_percent");
    made.budget_percent == 0 ? out.null() : out.number(made.budget_percent);
    out.member("births").number(made.births);
    out.member("missed").number(made.missed);
    if (made.takes_stacks()) {
        out.member("depth").number(made.depth);
        out.member("stacks_taken").number(made.stacks_taken);
        out.member("short_stacks").number(made.short_stacks);
        out.member("distinct_stacks").number(made.distinct_stacks);
        out.member("stack_bytes").number(made.stack_bytes);
        out.member("stacks_left_out").number(left_out);
    }
    out.end_object();
}

}  // namespace corodump::format
