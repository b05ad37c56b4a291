#include "agent/snapshot/threads.hpp"

#include <new>

#include "agent/base/clock.hpp"
#include "agent/base/safe_copy.hpp"
#include "agent/sources/stack_signal.hpp"
#include "agent/sources/syscall_names.hpp"

namespace corodump::snapshot {
namespace {

constexpr std::string_view unmapped =
    "the code of the next frame was unmapped while the dump was taken";

bool same_image(const symbols::module_info* a, const symbols::module_info* b) noexcept {
    if (a == nullptr || b == nullptr) return a == b;
    return a->start == b->start && a->path == b->path && a->build_id == b->build_id;
}

model::stack_quality quality_of(const thread_stack& from) noexcept {
    if (!from.reason.empty()) return model::stack_quality::partial;
    if (from.stack.inferred) return model::stack_quality::inferred;
    return from.stack.live ? model::stack_quality::live : model::stack_quality::exact;
}

}  // namespace

threads_taken thread_section::take(const threads_options& options) noexcept {
    threads_taken taken;
    const std::span<std::int32_t> room = memory_.allocate_uninitialized<std::int32_t>(max_threads);
    const std::span<std::int32_t> tids =
        memory_.shrink_last(room, files_.list(room, taken.left_out));
    taken.error = files_.error();
    stacks_ = memory_.allocate_span<thread_stack>(tids.size());
    threads_ = memory_.allocate_span<model::thread>(tids.size());
    if (stacks_.empty() || threads_.empty()) return taken;
    for (std::size_t i = 0; i < tids.size(); ++i) stacks_[i].tid = threads_[i].tid = tids[i];
    take_stacks(options, taken);
    after_ = symbols::read_module_map(memory_);
    const std::int64_t naming_from_ns = base::monotonic_ns();
    for (std::size_t i = 0; i < tids.size(); ++i) {
        if (base::monotonic_ns() > options.deadline_ns) names_.stop();
        describe(stacks_[i], threads_[i]);
    }
    taken.naming_ns = base::monotonic_ns() - naming_from_ns;
    taken.threads = threads_;
    return taken;
}

void thread_section::take_stacks(const threads_options& options, threads_taken& into) noexcept {
    using place = stack_taker;
    struct alignas(alignof(place)) room {
        std::byte bytes[sizeof(place)];
    };
    const std::span<room> made = memory_.allocate_uninitialized<room>(1);
    const auto watched = memory_.allocate_span<running_threads::watched_thread>(stacks_.size());
    if (made.empty() || watched.empty()) return;
    taker_ = new (made.data()) stack_taker(memory_, code_, files_, index_);
    into.taken_over = sources::stack_requester::taken_over();
    running_threads running(*taker_, files_, options);
    std::size_t to_watch = 0;
    for (thread_stack& one : stacks_) {
        if (one.tid == options.watchdog_tid) {
            one.reason = "it writes this dump";
        } else if (base::monotonic_ns() > options.deadline_ns) {
            one.reason = "its turn did not come in time";
            ++into.late;
        } else if (!running.take_now(one)) {
            watched[to_watch++].thread = &one;
        }
    }
    into.late += running.watch(watched.first(to_watch));
    sources::stack_requester::trim();
    into.copying_ns = taker_->copying_ns();
    into.unwinding_ns = taker_->unwinding_ns();
}

void thread_section::describe(const thread_stack& from, model::thread& into) noexcept {
    sources::thread_names names;
    if (files_.read_names(from.tid, names)) {
        into.name = memory_.copy(names.name.view());
        into.state = names.state;
    }
    // Of a thread that copied its own stack it is not known what it did.
    if (from.source != model::stack_source::signal) {
        into.syscall = from.call.number;
        into.syscall_name = sources::syscall_name(from.call.number);
    }
    if (from.source == model::stack_source::no_signal)
        into.wait_channel = memory_.copy(files_.wait_channel(from.tid).view());
    describe_stack(from, into);
}

void thread_section::describe_stack(const thread_stack& from, model::thread& into) noexcept {
    into.source = from.source;
    into.quality = quality_of(from);
    into.reason = from.reason;
    if (from.source == model::stack_source::none) return;
    const std::size_t mapped = still_mapped(from.stack);
    if (mapped < from.stack.frames.size()) {
        into.quality = model::stack_quality::partial;
        into.reason = unmapped;
    }
    const std::span<model::native_frame> frames =
        memory_.allocate_span<model::native_frame>(mapped);
    for (std::size_t i = 0; i < frames.size(); ++i)
        frames[i] = names_.frame_of(from.stack.frames[i]);
    into.frames = frames;
    find_coroutines(from.stack, into);
}

/// Frames, from the innermost on, whose image is the same before and after.
std::size_t thread_section::still_mapped(const taken_stack& stack) const noexcept {
    std::size_t count = 0;
    for (const symbols::native_frame& frame : stack.frames) {
        if (!same_image(taker_->image_of(stack, frame.pc), after_.find(frame.pc))) break;
        ++count;
    }
    return count;
}

void thread_section::find_coroutines(const taken_stack& from, model::thread& into) noexcept {
    const std::span<model::resumed> resuming =
        memory_.allocate_span<model::resumed>(from.inside.size());
    std::uint32_t depth = 0;
    for (std::size_t i = 0; i < resuming.size(); ++i) {
        resuming[i].frame = from.inside[i];
        resuming[i].native_frames = depth_of(from.inside[i], into, depth);
        if (resuming[i].native_frames != 0) depth = resuming[i].native_frames;
    }
    into.resuming = resuming;
}

/// The native frame in which the coroutine's own code runs: its function is that of the resume
/// pointer, the first word of the coroutine's frame; or the coroutine itself, up to its first
/// suspension. Both have one name once it is cleaned. 0: not there, or the coroutine was inlined.
std::uint32_t thread_section::depth_of(std::uint32_t coroutine, const model::thread& thread,
                                       std::uint32_t from) noexcept {
    std::uint64_t resume = 0;
    if (coroutine >= frames_.size() || !base::safe_read(resume, frames_[coroutine].address))
        return 0;
    const std::string_view function = names_.function_at(resume);
    if (function.empty()) return 0;
    for (std::uint32_t i = from; i < thread.frames.size(); ++i)
        if (thread.frames[i].function == function) return i + 1;
    return 0;
}

}  // namespace corodump::snapshot
