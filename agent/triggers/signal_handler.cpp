// The signal handler, alone in its object, so that a test can check what it calls.
//
// It runs on the signal thread; before that exists, in a forked child, or on a thread older than
// the install, it runs on a thread of the host, perhaps on an 8 KiB stack with malloc's lock held.
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "agent/triggers/request_state.hpp"

namespace corodump::triggers {

constinit request_state requests;

namespace {

/// si_pid and si_uid share their bytes with other members for every other kind of signal.
bool has_sender(const siginfo_t& info) noexcept {
    const bool carried =
        info.si_code == SI_USER || info.si_code == SI_QUEUE || info.si_code == SI_TKILL;
    return carried && info.si_pid > 0;
}

}  // namespace

void note_request(const siginfo_t& info) noexcept {
    const std::uint64_t sender =
        has_sender(info) ? (static_cast<std::uint64_t>(info.si_pid) << 32U) | info.si_uid
                         : request_state::no_sender;
    requests.sender.store(sender, std::memory_order_relaxed);
    requests.code.store(info.si_code, std::memory_order_relaxed);
    requests.requests.fetch_add(1, std::memory_order_relaxed);
    if (auto* const mirror = requests.requests_mirror.load(std::memory_order_acquire))
        mirror->fetch_add(1, std::memory_order_release);  // partner: corodump trigger, outside
    requests.pending.fetch_or(wake_signal, std::memory_order_seq_cst);  // partner: watchdog
    syscall(SYS_futex, &requests.pending, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

namespace {

// From here on nothing is noexcept: a host's handler may throw, and the call of std::terminate that
// noexcept makes of it would be one more symbol.
void call_previous(int signal, siginfo_t* info, void* context) {
    auto with_info = requests.previous_info.load(std::memory_order_acquire);
    auto plain = requests.previous_plain.load(std::memory_order_acquire);
    if (requests.previous_once.load(std::memory_order_relaxed)) {
        with_info = requests.previous_info.exchange(nullptr, std::memory_order_acq_rel);
        plain = requests.previous_plain.exchange(nullptr, std::memory_order_acq_rel);
    }
    if (with_info != nullptr) with_info(signal, info, context);
    if (plain != nullptr) plain(signal);
}

bool has_previous() noexcept {
    return requests.previous_info.load(std::memory_order_relaxed) != nullptr ||
           requests.previous_plain.load(std::memory_order_relaxed) != nullptr;
}

void change_mask(int how, int signal) noexcept {
    const std::uint64_t set = std::uint64_t{1} << (static_cast<unsigned>(signal) - 1U);
    syscall(SYS_rt_sigprocmask, how, &set, nullptr, sizeof(set));
}

/// On the signal thread the signal is unblocked while the host's handler runs. One that never
/// returns would otherwise swallow every later request that is directed at this thread, and nobody
/// else can take those. Nested signals only make requests: the host's handler never sees itself
/// interrupted by itself, it is called once more afterwards, as for signals that merged.
void chain_on_signal_thread(int signal, siginfo_t* info, void* context) {
    const auto before =
        requests.chain.exchange(chain_phase::running_and_due, std::memory_order_acq_rel);
    if (before != chain_phase::idle) return;
    auto expected = chain_phase::running;
    do {
        requests.chain.store(chain_phase::running, std::memory_order_release);
        change_mask(SIG_UNBLOCK, signal);
        call_previous(signal, info, context);
        change_mask(SIG_BLOCK, signal);
        expected = chain_phase::running;
    } while (!requests.chain.compare_exchange_strong(expected, chain_phase::idle,
                                                     std::memory_order_acq_rel));
}

void chain(int signal, siginfo_t* info, void* context) {
    if (!has_previous()) return;
    const auto self = static_cast<std::int32_t>(syscall(SYS_gettid));
    if (self == requests.signal_tid.load(std::memory_order_acquire))
        chain_on_signal_thread(signal, info, context);
    else
        call_previous(signal, info, context);
}

}  // namespace

extern "C" void corodump_handle_signal(int signal, siginfo_t* info, void* context) {
    const int saved_errno = errno;
    if (!requests.ending.load(std::memory_order_acquire)) {
        note_request(*info);
        if (requests.child.load(std::memory_order_acquire) == child_phase::orphaned)
            if (auto* const wake = requests.wake_orphan.load(std::memory_order_acquire)) wake();
        errno = saved_errno;
        chain(signal, info, context);
    }
    errno = saved_errno;
}

}  // namespace corodump::triggers
