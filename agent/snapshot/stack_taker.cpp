#include "agent/snapshot/stack_taker.hpp"

#include <algorithm>
#include <atomic>
#include <new>

#include "agent/base/clock.hpp"

namespace corodump::snapshot {
namespace {

template <class T>
std::span<const T> copy_of(std::span<const T> from, base::arena& memory) noexcept {
    const std::span<T> made = memory.allocate_uninitialized<T>(from.size());
    std::ranges::copy(from.first(made.size()), made.begin());
    return made;
}

symbols::cpu_state registers_of(const sources::stack_slot& slot) noexcept {
    ucontext_t context{};
    context.uc_mcontext = slot.registers;
    return symbols::cpu_state::from_ucontext(context);
}

/// Adds the time from its making to its end.
class stopwatch {
public:
    explicit stopwatch(std::int64_t& sum) noexcept : sum_(sum), began_(base::monotonic_ns()) {}
    stopwatch(const stopwatch&) = delete;
    stopwatch& operator=(const stopwatch&) = delete;
    ~stopwatch() { sum_ += base::monotonic_ns() - began_; }

private:
    std::int64_t& sum_;
    std::int64_t began_;
};

}  // namespace

stack_taker::stack_taker(base::arena& memory, code_names& code, const sources::thread_files& files,
                         const sources::frame_index* index) noexcept
    : memory_(memory),
      code_(code),
      files_(files),
      index_(index),
      states_(memory),
      room_(memory.allocate_uninitialized<std::byte>(sources::stack_copy::max_bytes)),
      frames_(memory.allocate_span<symbols::native_frame>(max_native_frames)) {
    use_images();
}

void stack_taker::use_images() noexcept {
    maps_[map_] = code_.images();
    struct alignas(alignof(symbols::unwind_tables)) place {
        std::byte bytes[sizeof(symbols::unwind_tables)];
    };
    const std::span<place> room = memory_.allocate_uninitialized<place>(1);
    tables_ =
        room.empty() ? nullptr : new (room.data()) symbols::unwind_tables(maps_[map_], memory_);
}

bool stack_taker::refresh() noexcept {
    if (map_ == max_refreshes) return false;
    code_.refresh();
    ++map_;
    use_images();
    return true;
}

const symbols::module_info* stack_taker::image_of(const taken_stack& of,
                                                  std::uint64_t address) const noexcept {
    return maps_[of.map].find(address);
}

/// The stack ends in code that no image of the map holds: one that was mapped since.
bool stack_taker::leads_into_the_unknown(const symbols::unwound& stack) const noexcept {
    if (stack.end != symbols::unwind_end::no_cfi || stack.frames == 0) return false;
    return maps_[map_].find(frames_[stack.frames - 1].pc) == nullptr;
}

stack_taker::attempt stack_taker::unwind(const symbols::cpu_state& from) noexcept {
    const stopwatch watch(unwinding_ns_);
    attempt made;
    if (tables_ == nullptr || frames_.empty()) return made;
    made.stack = symbols::unwinder(*tables_).unwind(from, stack_, frames_);
    if (leads_into_the_unknown(made.stack) && refresh() && tables_ != nullptr)
        made.stack = symbols::unwinder(*tables_).unwind(from, stack_, frames_);
    made.map = map_;
    return made;
}

std::size_t stack_taker::find_coroutines(const detail::thread_state* thread,
                                         std::uintptr_t running) noexcept {
    if (thread == nullptr || running == 0 || index_ == nullptr) return 0;
    return sources::thread_states::inside(*thread, running, *index_, inside_);
}

void stack_taker::keep(const attempt& from, bool stood_still, taken_stack& into) noexcept {
    into.frames = copy_of<symbols::native_frame>(frames_.first(from.stack.frames), memory_);
    into.inside = copy_of<std::uint32_t>(std::span(inside_).first(from.inside), memory_);
    into.end = from.stack.end;
    into.live = from.stack.live && !stood_still;
    into.inferred = from.stack.inferred;
    into.map = from.map;
}

stack_taker::outcome stack_taker::without_signal(std::int32_t tid, taken_stack& into,
                                                 sources::thread_call& call) noexcept {
    const detail::thread_state* const thread = states_.of(tid);
    const base::unique_fd file = files_.open_call(tid);
    for (unsigned i = 0; i < max_attempts; ++i) {
        const std::int64_t began = base::monotonic_ns();
        const std::int64_t used_ns = sources::cpu_time_of(tid);
        if (used_ns < 0 || !sources::thread_files::read_call(file, call)) return outcome::gone;
        if (call.what == sources::thread_call::kind::running) return outcome::runs;
        stack_.take(call.sp, room_);
        copying_ns_ += base::monotonic_ns() - began;
        const std::uintptr_t running =
            thread == nullptr ? 0 : thread->running.load(std::memory_order_acquire);
        const bool in_call = call.what == sources::thread_call::kind::in_call;
        attempt made = unwind(symbols::cpu_state::from_syscall(
            call.sp, call.pc,
            in_call ? std::span<const std::uint64_t>(call.arguments)
                    : std::span<const std::uint64_t>{}));
        made.inside = find_coroutines(thread, running);
        sources::thread_call still;
        const stopwatch watch(copying_ns_);
        if (!sources::thread_files::read_call(file, still)) return outcome::gone;
        if (!(still == call) || sources::cpu_time_of(tid) != used_ns) continue;
        keep(made, true, into);
        return outcome::taken;
    }
    return outcome::runs;
}

void stack_taker::from_slot(std::int32_t tid, const sources::stack_slot& slot,
                            taken_stack& into) noexcept {
    const std::size_t bytes = std::min<std::size_t>(slot.bytes, sizeof slot.stack);
    stack_.adopt(slot.from, std::span(slot.stack).first(bytes));
    attempt made = unwind(registers_of(slot));
    // A thread that never ran a coroutine shares a state that belongs to nobody.
    const detail::thread_state* const thread = states_.of(tid);
    if (thread == slot.thread) made.inside = find_coroutines(thread, slot.running);
    keep(made, false, into);
}

}  // namespace corodump::snapshot
