#include "agent/triggers/watchdog.hpp"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/triggers/raw_syscall.hpp"
#include "agent/triggers/request_state.hpp"
#include "agent/triggers/signal_trigger.hpp"

namespace corodump::triggers {
namespace {

constexpr char thread_name[] = "corodump-watch";
constexpr std::size_t usable_stack_bytes = std::size_t{512} * 1024;
constexpr std::size_t large_stack_bytes = std::size_t{8} * 1024 * 1024;
constexpr std::size_t guard_bytes = std::size_t{64} * 1024;  // pages of up to 64 KiB exist

/// The one that is started: wake_orphan has no argument to find it by.
constinit std::atomic<watchdog*> active{nullptr};

std::byte* map_stack(std::size_t bytes) noexcept {
    void* const base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    mprotect(base, guard_bytes, PROT_NONE);
    return static_cast<std::byte*>(base);
}

void* thread_pointer() noexcept {
#if defined(__x86_64__)
    void* pointer = nullptr;
    asm("mov %%fs:0, %0" : "=r"(pointer));  // the ABI keeps the thread pointer's own address there
    return pointer;
#else
    return __builtin_thread_pointer();
#endif
}

void set_sender(dump_request& request) noexcept {
    const std::uint64_t sender = requests.sender.load(std::memory_order_relaxed);
    if (sender == request_state::no_sender) return;
    request.sender_pid = static_cast<std::int32_t>(sender >> 32U);
    request.sender_uid = static_cast<std::int64_t>(sender & 0xffffffffU);
}

}  // namespace

// --- start and stop -----------------------------------------------------------------------------

int watchdog::start(const watchdog_options& options) noexcept {
    if (running()) return EALREADY;
    if (options.tick == nullptr || options.dump == nullptr) return EINVAL;
    options_ = options;
    answered_signals_ = requests.requests.load(std::memory_order_acquire);
    signal_due_ = signal_was_pending_ = wished_ = false;
    requests.pending.store(0, std::memory_order_release);
    active.store(this, std::memory_order_release);
    return create_thread();
}

int watchdog::create_thread() noexcept {
    int error = ENOMEM;
    ready_.store(0, std::memory_order_relaxed);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    // The static thread-local storage of every loaded library is carved out of the stack.
    for (const std::size_t usable : {usable_stack_bytes, large_stack_bytes}) {
        const std::size_t bytes = usable + guard_bytes;
        std::byte* const base = map_stack(bytes);
        if (base == nullptr) break;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstack(&attributes, base + guard_bytes, usable);
        stack_ = base;
        stack_bytes_ = bytes;
        error = pthread_create(&thread_, &attributes, thread_main, this);
        pthread_attr_destroy(&attributes);
        if (error == 0) break;
        munmap(base, bytes);
        if (error != EINVAL) break;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error == 0) await_thread();
    has_thread_.store(error == 0, std::memory_order_release);
    return error;
}

/// A host that forks at once after the start must find in the child what wake_orphan needs.
void watchdog::await_thread() noexcept {
    while (ready_.load(std::memory_order_acquire) == 0)
        raw::futex_wait(ready_, 0, std::chrono::seconds{1});
}

int watchdog::stop(std::chrono::milliseconds limit) noexcept {
    if (!has_thread_.load(std::memory_order_acquire)) return ESRCH;
    requests.pending.fetch_or(wake_stop, std::memory_order_release);
    raw::futex_wake_all(requests.pending);
    timespec deadline{};
    clock_gettime(CLOCK_REALTIME, &deadline);
    const std::int64_t at_ns = deadline.tv_nsec + (limit.count() % 1000) * 1'000'000;
    deadline.tv_sec += limit.count() / 1000 + at_ns / 1'000'000'000;
    deadline.tv_nsec = at_ns % 1'000'000'000;
    has_thread_.store(false, std::memory_order_release);
    const int error = pthread_timedjoin_np(thread_, nullptr, &deadline);
    tid_.store(0, std::memory_order_release);
    if (error != 0) {
        pthread_detach(thread_);  // its stack stays mapped: it still runs on it
        return error;
    }
    munmap(stack_, stack_bytes_);
    return 0;
}

bool watchdog::running() const noexcept {
    return has_thread_.load(std::memory_order_acquire);
}

void* watchdog::thread_main(void* self) {
    auto& me = *static_cast<watchdog*>(self);
    prctl(PR_SET_NAME, thread_name, 0, 0, 0);
    me.thread_pointer_ = thread_pointer();
    // Whatever lies above this frame (the descriptor, thread-local storage) must survive in a
    // child.
    const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    me.stack_top_ = reinterpret_cast<std::byte*>((frame - 1024) & ~std::uintptr_t{63});
    me.tid_.store(raw::thread_id(), std::memory_order_release);
    me.ready_.store(1, std::memory_order_release);
    raw::futex_wake_all(me.ready_);
    me.loop(false);
    return nullptr;
}

// --- the loop -----------------------------------------------------------------------------------

std::chrono::nanoseconds watchdog::time_to_wait() const noexcept {
    if (!signal_due_) return options_.tick_interval;
    const std::chrono::nanoseconds until{next_signal_ns_ - raw::monotonic_ns()};
    return std::clamp(until, std::chrono::nanoseconds{0}, options_.tick_interval);
}

void watchdog::loop(bool orphan) noexcept {
    for (;;) {
        options_.tick(options_.context);
        const auto limit = time_to_wait();
        if (requests.pending.load(std::memory_order_acquire) == 0 && limit.count() > 0 && !wished_)
            raw::futex_wait(requests.pending, 0, limit);
        const std::uint32_t woken = requests.pending.exchange(0, std::memory_order_acquire);
        if ((woken & wake_stop) != 0 && !orphan) return;
        if (woken == 0 && !orphan) look_for_stuck_signal();
        if ((woken & wake_signal) != 0 && !signal_due_) {
            signal_due_ = true;
            signal_due_ns_ = raw::monotonic_ns();
        }
        if ((woken & (wake_api | wake_failure)) != 0)
            serve_api(orphan, (woken & wake_failure) != 0);
        if (signal_due_ && raw::monotonic_ns() >= next_signal_ns_) serve_signal(orphan);
        if (wished_ && !orphan) serve_wish();
        if (orphan && !signal_due_ && orphan_may_leave()) return;
    }
}

void watchdog::look_for_stuck_signal() noexcept {
    const int signal = requests.signal.load(std::memory_order_acquire);
    const bool pending = signal != 0 && requests.handler_active.load(std::memory_order_acquire) &&
                         raw::is_pending(signal);
    if (pending && signal_was_pending_) took_stuck_ = take_stuck_signal() || took_stuck_;
    signal_was_pending_ = pending;
}

void watchdog::serve_signal(bool orphan) noexcept {
    dump_request request;
    request.restricted = orphan;
    request.stuck = took_stuck_;
    request.signal = requests.signal.load(std::memory_order_relaxed);
    request.requested_ns = signal_due_ns_;
    request.requests = requests.requests.load(std::memory_order_acquire);
    const std::uint64_t fresh = request.requests - answered_signals_;
    request.merged = fresh > 1 ? fresh - 1 : 0;
    set_sender(request);
    answered_signals_ = request.requests;
    signal_due_ = took_stuck_ = false;

    dump_outcome outcome;
    options_.dump(options_.context, request, outcome);
    next_signal_ns_ = raw::monotonic_ns() + options_.signal_interval.count();
}

// --- requests of the program itself -------------------------------------------------------------

void watchdog::serve_api(bool orphan, bool failure) noexcept {
    const std::uint32_t upto = api_requested_.load(std::memory_order_acquire);
    dump_request request;
    request.kind = failure ? request_kind::failure : request_kind::api;
    if (failure) {
        request.signal = failure_signal_.load(std::memory_order_acquire);
        request.deadline_ns = failure_deadline_ns_.load(std::memory_order_acquire);
    }
    request.restricted = orphan;
    request.requested_ns = raw::monotonic_ns();
    request.requests = answered_signals_;
    dump_outcome outcome;
    options_.dump(options_.context, request, outcome);
    publish(outcome);
    api_answered_.store(upto, std::memory_order_release);  // partner: dump_now
    raw::futex_wake_all(api_answered_);
}

void watchdog::serve_wish() noexcept {
    wished_ = false;
    dump_request request;
    request.kind = wished_kind_;
    request.requested_ns = raw::monotonic_ns();
    request.requests = answered_signals_;
    dump_outcome outcome;
    options_.dump(options_.context, request, outcome);
}

void watchdog::publish(const dump_outcome& outcome) noexcept {
    const std::uint32_t version = outcome_version_.load(std::memory_order_relaxed);
    outcome_version_.store(version + 1, std::memory_order_relaxed);
    const auto* bytes = reinterpret_cast<const char*>(&outcome);
    for (auto& word : outcome_words_) {
        std::uint64_t value = 0;
        std::memcpy(&value, bytes, sizeof(value));
        word.store(value, std::memory_order_release);  // orders the odd version before it
        bytes += sizeof(value);
    }
    outcome_version_.store(version + 2, std::memory_order_release);
}

bool watchdog::read_outcome(dump_outcome& outcome) const noexcept {
    const std::uint32_t version = outcome_version_.load(std::memory_order_acquire);
    auto* bytes = reinterpret_cast<char*>(&outcome);
    for (const auto& word : outcome_words_) {
        const std::uint64_t value = word.load(std::memory_order_acquire);
        std::memcpy(bytes, &value, sizeof(value));
        bytes += sizeof(value);
    }
    return version % 2 == 0 && outcome_version_.load(std::memory_order_relaxed) == version;
}

int watchdog::dump_now(std::chrono::milliseconds timeout, dump_outcome& outcome) noexcept {
    return ask(wake_api, timeout, outcome);
}

/// A quarter of the time is for writing what the snapshot has by then.
int watchdog::dump_for_failure(int signal, std::chrono::milliseconds timeout,
                               dump_outcome& outcome) noexcept {
    failure_signal_.store(signal, std::memory_order_release);
    failure_deadline_ns_.store(
        raw::monotonic_ns() + std::chrono::nanoseconds{timeout}.count() / 4 * 3,
        std::memory_order_release);
    return ask(wake_failure, timeout, outcome);
}

int watchdog::ask(std::uint32_t flag, std::chrono::milliseconds timeout,
                  dump_outcome& outcome) noexcept {
    const bool orphaned = requests.child.load(std::memory_order_acquire) == child_phase::orphaned;
    if (!running() && !(orphaned && thread_pointer_ != nullptr)) return ESRCH;
    if (raw::thread_id() == tid()) return EDEADLK;
    const std::int64_t deadline_ns =
        raw::monotonic_ns() + std::chrono::nanoseconds{timeout}.count();
    const std::uint32_t ticket = api_requested_.fetch_add(1, std::memory_order_acq_rel) + 1;
    requests.pending.fetch_or(flag, std::memory_order_seq_cst);  // as in the handler
    raw::futex_wake_all(requests.pending);
    if (orphaned) wake_orphan();
    for (;;) {
        const std::uint32_t answered = api_answered_.load(std::memory_order_acquire);
        const bool done = static_cast<std::int32_t>(answered - ticket) >= 0;
        if (done && read_outcome(outcome)) return 0;  // else a later dump is publishing: look again
        const std::int64_t left_ns = deadline_ns - raw::monotonic_ns();
        if (left_ns <= 0) return ETIMEDOUT;
        if (!done) raw::futex_wait(api_answered_, answered, std::chrono::nanoseconds{left_ns});
    }
}

// --- in a forked child --------------------------------------------------------------------------

void watchdog::forget_thread() noexcept {
    has_thread_.store(false, std::memory_order_release);
    tid_.store(0, std::memory_order_release);
    orphan_alive_.store(0, std::memory_order_release);
    orphan_serving_.store(0, std::memory_order_release);
    signal_due_ = signal_was_pending_ = took_stuck_ = wished_ = false;
    next_signal_ns_ = 0;
    answered_signals_ = requests.requests.load(std::memory_order_relaxed);
    api_answered_.store(api_requested_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    outcome_version_.store(0, std::memory_order_relaxed);  // a copy of one being written is odd
}

int watchdog::revive() noexcept {
    if (running()) return EALREADY;
    // The orphan has the watchdog's own fields; the next thread must not share them with it.
    for (std::uint32_t alive; (alive = orphan_alive_.load(std::memory_order_acquire)) != 0;)
        raw::futex_wait(orphan_alive_, alive, options_.tick_interval);
    return create_thread();
}

void watchdog::wake_orphan() noexcept {
    if (watchdog* const self = active.load(std::memory_order_acquire)) self->start_orphan();
}

/// Whoever turns `serving` from 0 to 1 starts the thread. The one before it may not quite have left
/// the stack: the kernel zeroes `alive` when it has.
void watchdog::start_orphan() noexcept {
    std::uint32_t expected = 0;
    if (thread_pointer_ == nullptr ||
        !orphan_serving_.compare_exchange_strong(expected, 1, std::memory_order_seq_cst))
        return;
    constexpr int max_waits = 1000;
    for (int i = 0; i < max_waits && orphan_alive_.load(std::memory_order_acquire) != 0; ++i)
        raw::futex_wait(orphan_alive_, 1, std::chrono::milliseconds{1});
    if (orphan_alive_.load(std::memory_order_acquire) != 0) return;
    orphan_alive_.store(1, std::memory_order_release);

    constexpr raw::signal_set all = ~raw::signal_set{0};
    raw::signal_set before = 0;
    raw::change_mask(SIG_SETMASK, &all, &before);
    constexpr int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                          CLONE_SYSVSEM | CLONE_SETTLS | CLONE_CHILD_CLEARTID;
    const int tid = clone(orphan_main, stack_top_, flags, this, nullptr, thread_pointer_,
                          reinterpret_cast<pid_t*>(&orphan_alive_));
    raw::change_mask(SIG_SETMASK, &before);
    if (tid >= 0) return;
    orphan_alive_.store(0, std::memory_order_release);  // RLIMIT_NPROC, seccomp: no dump, no harm
    orphan_serving_.store(0, std::memory_order_release);
}

int watchdog::orphan_main(void* self) {
    auto& me = *static_cast<watchdog*>(self);
    prctl(PR_SET_NAME, thread_name, 0, 0, 0);
    me.tid_.store(raw::thread_id(), std::memory_order_release);
    me.loop(true);
    return 0;  // clone() turns it into the exit of this thread alone
}

/// Says first that nobody serves, then looks once more: a request that came before the first is
/// seen by the second, and one that comes later starts a thread of its own.
bool watchdog::orphan_may_leave() noexcept {
    tid_.store(0, std::memory_order_release);
    orphan_serving_.store(0, std::memory_order_seq_cst);
    if (requests.pending.load(std::memory_order_seq_cst) == 0) return true;
    std::uint32_t expected = 0;
    if (!orphan_serving_.compare_exchange_strong(expected, 1, std::memory_order_seq_cst))
        return true;
    tid_.store(raw::thread_id(), std::memory_order_release);
    return false;
}

}  // namespace corodump::triggers
