#include "agent/snapshot/stalls.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "agent/base/clock.hpp"
#include "agent/snapshot/native_names.hpp"
#include "agent/snapshot/running_threads.hpp"
#include "agent/sources/record_frame.hpp"
#include "agent/sources/thread_files.hpp"

namespace corodump::snapshot {
namespace {

/// The coroutine that the thread is inside of, and a name: its own, or that of one around it.
void read_task(const sources::thread_node* node, stall_record& into) noexcept {
    if (node == nullptr) return;
    const detail::thread_state& state = node->state;
    const detail::record* const own =
        sources::record_of_running(state.running.load(std::memory_order_acquire));
    if (own == nullptr || sources::is_sink(own)) return;
    into.record = reinterpret_cast<std::uint64_t>(own);
    into.task = sources::read_running(*own);
    const std::uint32_t depth =
        std::min(state.depth.load(std::memory_order_acquire), detail::thread_state::max_depth);
    for (std::uint32_t i = depth; i > 0 && into.task.name.empty(); --i) {
        const detail::record* const outer = state.outer[i - 1].load(std::memory_order_relaxed);
        if (outer != nullptr) into.task.name = sources::read_running(*outer).name;
    }
}

void name_loop(const sources::stall_sign& sign, stall_record& into) noexcept {
    if (const sources::loop_entry* const loop = sources::find_loop(sign.loop))
        into.loop = sources::name_of_loop(*loop, sign.loop);
}

void keep(const model::native_frame& from, const symbols::module_map& images,
          stall_frame& into) noexcept {
    into.address = from.address;
    into.offset = from.offset;
    into.live = from.live;
    into.inferred = from.inferred;
    into.function.assign(from.function);
    into.image_start = 0;
    into.build_id.clear();
    if (from.module >= images.modules.size()) return;
    into.image_start = images.modules[from.module].start;
    into.build_id.assign(images.modules[from.module].build_id);
}

/// In the arena: it is too large for the watchdog's stack.
stack_taker* make_taker(base::arena& memory, code_names& code,
                        const sources::thread_files& files) noexcept {
    struct alignas(alignof(stack_taker)) room {
        std::byte bytes[sizeof(stack_taker)];
    };
    const std::span<room> made = memory.allocate_uninitialized<room>(1);
    return made.empty() ? nullptr : new (made.data()) stack_taker(memory, code, files, nullptr);
}

}  // namespace

int stall_ring::prepare() noexcept {
    if (records_ != nullptr) return 0;
    void* const mapped = mmap(nullptr, max_stalls * sizeof(stall_record), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return errno;
    records_ = static_cast<stall_record*>(mapped);
    return 0;
}

std::size_t stall_ring::size() const noexcept {
    return static_cast<std::size_t>(std::min<std::uint64_t>(added_, max_stalls));
}

const stall_record& stall_ring::at(std::size_t index) const noexcept {
    return records_[(added_ - size() + index) % max_stalls];
}

stall_record* stall_ring::ongoing_of(std::int32_t thread) noexcept {
    for (std::size_t i = 0; i < size(); ++i) {
        stall_record& one = records_[(added_ - size() + i) % max_stalls];
        if (one.ongoing && one.sign.thread == thread) return &one;
    }
    return nullptr;
}

stall_record* stall_ring::add(const sources::stall_sign& sign, std::int64_t now_ns) noexcept {
    if (records_ == nullptr) return nullptr;
    // A loop's callback, its heartbeat and the coroutine in it are three signs of one stall.
    if (stall_record* const known = ongoing_of(sign.thread)) {
        if (known->loop.empty()) name_loop(sign, *known);
        return nullptr;
    }
    stall_record* const made = new (&records_[added_ % max_stalls]) stall_record{};
    ++added_;
    made->sign = sign;
    made->time_unix_ns = base::realtime_ns() - (now_ns - sign.since_ns);
    made->duration_ns = now_ns - sign.since_ns;
    made->ongoing = true;
    name_loop(sign, *made);
    read_task(sign.node, *made);
    return made;
}

void stall_ring::update(std::int64_t now_ns) noexcept {
    for (std::size_t i = 0; i < size(); ++i) {
        stall_record& one = records_[(added_ - size() + i) % max_stalls];
        if (!one.ongoing) continue;
        one.ongoing = sources::stall_watch::lasts(one.sign);
        if (one.ongoing) one.duration_ns = now_ns - one.sign.since_ns;
    }
}

void take_stack(base::arena& memory, code_names& code, std::int64_t deadline_ns,
                stall_record& into) noexcept {
    const sources::thread_files files;
    stack_taker* const taker = make_taker(memory, code, files);
    if (taker == nullptr) {
        into.reason.assign("no memory for it");
        return;
    }
    thread_stack taken;
    taken.tid = into.sign.thread;
    running_threads running(*taker, files, {.deadline_ns = deadline_ns});
    running_threads::watched_thread one;
    one.thread = &taken;
    if (!running.take_now(taken)) running.watch(std::span(&one, 1));
    sources::stack_requester::trim();
    into.reason.assign(taken.reason);
    native_names names(memory, code);
    const std::size_t count = std::min(taken.stack.frames.size(), max_stall_frames);
    for (std::size_t i = 0; i < count; ++i)
        keep(names.frame_of(taken.stack.frames[i]), code.images(), into.frames[i]);
    into.frame_count = static_cast<std::uint32_t>(count);
}

}  // namespace corodump::snapshot
