#include "agent/sources/stack_signal.hpp"

#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "agent/base/clock.hpp"

namespace corodump::sources {
namespace {

struct installed_signal {
    int number = 0;
    struct sigaction previous = {};
    std::uint64_t last_ticket = 0;
    std::uint64_t sent = 0;  ///< less those whose thread has ended
};
constinit installed_signal installed;  // the installing thread's, then the watchdog's

bool is_ours(const struct sigaction& action) noexcept {
    return (action.sa_flags & SA_SIGINFO) != 0 &&
           action.sa_sigaction == corodump_handle_stack_signal;
}

stack_slot* map_slots() noexcept {
    stack_slot* const known = stack_requests.slots.load(std::memory_order_acquire);
    if (known != nullptr) return known;
    void* const mapped =
        ::mmap(nullptr, stack_slot_count * sizeof(stack_slot), PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    // Zero pages are free slots already: constructing them would touch every one.
    auto* const slots = static_cast<stack_slot*>(mapped);
    stack_requests.slots.store(slots, std::memory_order_release);
    return slots;
}

/// Signals that no handler has answered may still be pending for their threads.
bool any_under_way() noexcept {
    return installed.sent != stack_requests.received.load(std::memory_order_acquire);
}

stack_slot& slot_at(std::size_t index) noexcept {
    return stack_requests.slots.load(std::memory_order_acquire)[index];
}

long send(std::int32_t tid, const stack_requester::request& what) noexcept {
    siginfo_t info{};
    info.si_signo = installed.number;
    info.si_code = SI_QUEUE;
    info.si_pid = static_cast<pid_t>(::syscall(SYS_getpid));
    info.si_uid = static_cast<uid_t>(::syscall(SYS_getuid));
    info.si_value.sival_ptr = reinterpret_cast<void*>(what.ticket << slot_index_bits | what.slot);
    return ::syscall(SYS_rt_tgsigqueueinfo, info.si_pid, tid, installed.number, &info);
}

}  // namespace

int install_stack_signal(int signal) noexcept {
    struct sigaction before = {};
    if (::sigaction(signal, nullptr, &before) != 0) return EINVAL;
    const bool has_handler = (before.sa_flags & SA_SIGINFO) != 0 ||
                             (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN);
    if (has_handler && !is_ours(before)) return EBUSY;
    if (map_slots() == nullptr) return ENOMEM;
    struct sigaction ours = {};
    ours.sa_sigaction = corodump_handle_stack_signal;
    ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    // A handler of the host's that never returns, by longjmp, must not leave ours half done.
    ::sigfillset(&ours.sa_mask);
    if (::sigaction(signal, &ours, nullptr) != 0) return EINVAL;
    if (!has_handler) installed.previous = before;
    installed.number = signal;
    // Not to be guessed by another process that may send us signals.
    installed.last_ticket = static_cast<std::uint64_t>(base::monotonic_ns()) << 10U;
    return 0;
}

void uninstall_stack_signal() noexcept {
    const int signal = installed.number;
    installed.number = 0;
    if (signal == 0 || any_under_way()) return;
    struct sigaction now = {};
    if (::sigaction(signal, nullptr, &now) == 0 && is_ours(now))
        ::sigaction(signal, &installed.previous, nullptr);
}

void forget_stack_signals() noexcept {
    installed.sent = stack_requests.received.load(std::memory_order_acquire);
    stack_slot* const slots = stack_requests.slots.load(std::memory_order_acquire);
    // A handler that was at work belonged to a thread of the parent's.
    for (std::size_t i = 0; slots != nullptr && i < stack_slot_count; ++i)
        if (slots[i].word.load(std::memory_order_relaxed) != 0)
            slots[i].word.store(0, std::memory_order_relaxed);
}

bool stack_requester::taken_over() noexcept {
    struct sigaction now = {};
    return installed.number != 0 &&
           (::sigaction(installed.number, nullptr, &now) != 0 || !is_ours(now));
}

int stack_requester::usable_signal() noexcept {
    return taken_over() ? 0 : installed.number;
}

int stack_requester::ask(std::int32_t tid, request& into) noexcept {
    for (std::size_t i = 0; i < stack_slot_count; ++i) {
        if (phase_of(slot_at(i).word.load(std::memory_order_acquire)) != slot_phase::free) continue;
        into = {i, ++installed.last_ticket & (~std::uint64_t{0} >> slot_index_bits)};
        slot_at(i).word.store(slot_word(into.ticket, slot_phase::asked), std::memory_order_release);
        if (send(tid, into) == 0) {
            ++installed.sent;
            return 0;
        }
        const int error = errno;
        slot_at(i).word.store(0, std::memory_order_release);
        return error;
    }
    return EBUSY;
}

stack_requester::answer stack_requester::look(std::int32_t tid, const request& of) noexcept {
    const auto is_given = [&] {
        return slot_at(of.slot).word.load(std::memory_order_acquire) ==
               slot_word(of.ticket, slot_phase::answered);
    };
    if (is_given()) return answer::given;
    const long pid = ::syscall(SYS_getpid);
    if (::syscall(SYS_tgkill, pid, tid, 0) == 0 || errno != ESRCH) return answer::waiting;
    if (is_given()) return answer::given;  // its last deed
    --installed.sent;
    return answer::ended;
}

const stack_slot& stack_requester::given(const request& of) noexcept {
    return slot_at(of.slot);
}

void stack_requester::close(const request& of) noexcept {
    stack_slot& slot = slot_at(of.slot);
    std::uint64_t expected = slot_word(of.ticket, slot_phase::asked);
    if (slot.word.compare_exchange_strong(expected, 0, std::memory_order_acq_rel)) return;
    expected = slot_word(of.ticket, slot_phase::answered);
    slot.word.compare_exchange_strong(expected, 0, std::memory_order_acq_rel);
}

std::uint32_t stack_requester::wait(std::uint32_t seen, std::int64_t limit_ns) noexcept {
    const timespec limit{limit_ns / 1'000'000'000, limit_ns % 1'000'000'000};
    if (stack_requests.answers.load(std::memory_order_acquire) == seen)
        ::syscall(SYS_futex, &stack_requests.answers, FUTEX_WAIT_PRIVATE, seen, &limit, nullptr, 0);
    return stack_requests.answers.load(std::memory_order_acquire);
}

/// A slot that an overdue handler answered after it was given up is free again from here on.
void stack_requester::trim() noexcept {
    stack_slot* const slots = stack_requests.slots.load(std::memory_order_acquire);
    if (slots == nullptr) return;
    bool all_free = true;
    for (std::size_t i = 0; i < stack_slot_count; ++i) {
        std::uint64_t word = slots[i].word.load(std::memory_order_acquire);
        if (phase_of(word) == slot_phase::answered)
            slots[i].word.compare_exchange_strong(word, 0, std::memory_order_acq_rel);
        else if (phase_of(word) != slot_phase::free)
            all_free = false;
    }
    if (all_free) ::madvise(slots, stack_slot_count * sizeof(stack_slot), MADV_DONTNEED);
}

}  // namespace corodump::sources
