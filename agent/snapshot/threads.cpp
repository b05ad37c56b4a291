#include "agent/snapshot/threads.hpp"

#include "agent/sources/syscall_names.hpp"

namespace corodump::snapshot {

void thread_section::describe(std::int32_t tid, model::thread& into) noexcept {
    into.tid = tid;
    into.reason = "no stack was taken";
    sources::thread_names names;
    if (files_.read_names(tid, names)) {
        into.name = memory_.copy(names.name.view());
        into.state = names.state;
    }
    sources::thread_call call;
    if (!files_.read_call(tid, call)) return;
    into.syscall = call.number;
    into.syscall_name = sources::syscall_name(call.number);
    if (call.what != sources::thread_call::kind::running)
        into.wait_channel = memory_.copy(files_.wait_channel(tid).view());
}

threads_taken thread_section::take(const threads_options&) noexcept {
    threads_taken taken;
    const std::span<std::int32_t> room = memory_.allocate_uninitialized<std::int32_t>(max_threads);
    const std::span<std::int32_t> tids =
        memory_.shrink_last(room, files_.list(room, taken.left_out));
    taken.error = files_.error();
    const std::span<model::thread> threads = memory_.allocate_span<model::thread>(tids.size());
    for (std::size_t i = 0; i < threads.size(); ++i) describe(tids[i], threads[i]);
    taken.threads = threads;
    return taken;
}

}  // namespace corodump::snapshot
