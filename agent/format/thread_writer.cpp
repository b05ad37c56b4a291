#include "agent/format/thread_writer.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "agent/format/json_text.hpp"
#include "agent/format/task_writer.hpp"

namespace corodump::format {
namespace {

void write_native_frame(json_writer& out, const model::snapshot& all,
                        const model::native_frame& frame) noexcept {
    const bool in_module = frame.module < all.modules.size();
    out.begin_object();
    out.member("function").text_or_null(frame.function);
    out.member("module").text_or_null(in_module ? all.modules[frame.module].path : "");
    out.member("build_id").text_or_null(in_module ? all.modules[frame.module].build_id : "");
    out.member("offset").address_or_null(in_module ? frame.offset : 0);
    out.member("address").address_or_null(frame.address);
    if (frame.live) out.member("live").boolean(true);
    if (frame.inferred) out.member("inferred").boolean(true);
    out.end_object();
}

}  // namespace

void write_native_frames(json_writer& out, const model::snapshot& all,
                         std::span<const model::native_frame> frames) noexcept {
    out.begin_array();
    for (const model::native_frame& frame : frames) {
        if (out.failed()) return;
        write_native_frame(out, all, frame);
    }
    out.end_array();
}

std::span<const model::native_frame> native_frames_of(const model::snapshot& all,
                                                      std::uint32_t frame) noexcept {
    for (const model::thread& thread : all.threads)
        for (const model::resumed& inside : thread.resuming)
            if (inside.frame == frame && inside.native_frames <= thread.frames.size())
                return thread.frames.first(inside.native_frames);
    return {};
}

void thread_writer::write(const model::thread& thread) noexcept {
    out_.begin_object();
    out_.member("tid").number_or_null(thread.tid);
    out_.member("name").text_or_null(thread.name);
    const std::string_view state = thread.state == '?' ? "" : std::string_view(&thread.state, 1);
    out_.member("state").text_or_null(state);
    out_.member("syscall").text_or_null(thread.syscall_name);
    out_.member("syscall_number").number_or_null(thread.syscall);
    out_.member("wait_channel").text_or_null(thread.wait_channel);
    write_stack(thread);
    write_tasks(thread.resuming);
    out_.member("frames");
    write_native_frames(out_, all_, thread.frames);
    out_.end_object();
}

void thread_writer::write_stack(const model::thread& thread) noexcept {
    out_.member("stack").begin_object();
    out_.member("source").text(name_of(thread.source));
    out_.member("quality").text(name_of(thread.quality));
    if (!thread.reason.empty()) out_.member("reason").text(thread.reason);
    out_.end_object();
}

void thread_writer::write_tasks(std::span<const model::resumed> resuming) noexcept {
    out_.member("task");
    if (resuming.empty()) return out_.null();
    write_task(resuming.front().frame);
    if (resuming.size() == 1) return;
    out_.member("outer_tasks").begin_array();
    for (const model::resumed& inside : resuming.subspan(1)) write_task(inside.frame);
    out_.end_array();
}

void thread_writer::write_task(std::uint32_t frame) noexcept {
    const model::frame* const root = walk_.root_of(frame);
    if (root == nullptr) return out_.null();
    char* const to = put(out_.element(task_writer::id_room + 2), "\"");
    out_.commit_element(put(task_writer::put_id(to, *root), "\""));
}

}  // namespace corodump::format
