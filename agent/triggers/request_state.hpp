// What the signal handler, the watchdog and a forked child share: one static struct of atomics.
//
//   handler ── ++requests, sender, pending |= wake_signal, FUTEX_WAKE ──┐
//   dump_now ─────────────────────── pending |= wake_api,    FUTEX_WAKE ─┤
//   stop ─────────────────────────── pending |= wake_stop,   FUTEX_WAKE ─┤
//   dump_for_failure ─────────────── pending |= wake_failure, FUTEX_WAKE ┘
//                                          │
//                  watchdog: FUTEX_WAIT on `pending`, one tick at most, then exchange(0)
//
// It is constant-initialised and never destroyed: a signal may arrive before the first constructor
// of the process and after its last destructor. There is no descriptor in it: after the host closed
// every descriptor it did not know, an eventfd's number can be the host's own socket.
//
// Threads: any. Signals: safe. Blocks: never. Errors: none. Bounds: one request of a kind at a time
// (later ones merge; `requests` counts them).
#pragma once

#include <signal.h>

#include <atomic>
#include <cstdint>

namespace corodump::triggers {

inline constexpr std::uint32_t wake_signal = 1;
inline constexpr std::uint32_t wake_api = 2;
inline constexpr std::uint32_t wake_stop = 4;
inline constexpr std::uint32_t wake_failure = 8;

/// The chain of the handler that the host had before ours, on the signal thread.
enum class chain_phase : std::uint32_t { idle, running, running_and_due };

/// A forked child has none of our threads.
enum class child_phase : std::uint32_t { none, orphaned, reviving };

struct request_state {
    using handler_function = void (*)(int);
    using info_function = void (*)(int, siginfo_t*, void*);

    /// No sender is known: a signal of the kernel's, or from outside of our pid namespace.
    static constexpr std::uint64_t no_sender = ~std::uint64_t{0};

    // Written by the handler and by dump_now (release), taken by the watchdog (acquire).
    std::atomic<std::uint32_t> pending{0};
    std::atomic<std::uint64_t> requests{0};        ///< signals taken so far
    std::atomic<std::uint64_t> sender{no_sender};  ///< pid << 32 | uid, in one word: never mixed
    std::atomic<std::int32_t> code{0};             ///< si_code of the same signal

    // Written by install (release) before the handler is in place, read by the handler (acquire).
    std::atomic<std::atomic<std::uint64_t>*> requests_mirror{nullptr};  ///< the beacon's counter
    std::atomic<info_function> previous_info{nullptr};
    std::atomic<handler_function> previous_plain{nullptr};
    std::atomic<bool> previous_once{false};  ///< it had SA_RESETHAND
    std::atomic<std::int32_t> signal_tid{0};
    std::atomic<bool> ending{false};  ///< uninstall is at work: take no more requests
    std::atomic<chain_phase> chain{chain_phase::idle};

    // Written by the atfork handler, read by the handler. `wake_orphan` starts a watchdog for the
    // requests at hand; it is an indirect call so that the handler's object needs no symbol of it.
    std::atomic<child_phase> child{child_phase::none};
    std::atomic<void (*)() noexcept> wake_orphan{nullptr};

    // What a new program must not inherit; read by the spawn wrappers. Stays set after uninstall,
    // because threads that inherited the block still have it.
    std::atomic<int> signal{0};             ///< 0: never installed
    std::atomic<bool> host_blocked{false};  ///< it was blocked before us: leave it so
    std::atomic<bool> host_ignored{false};  ///< it was SIG_IGN before us: new programs ignore it
    std::atomic<bool> handler_active{false};
    std::atomic<std::uint32_t> ignore_window{0};  ///< spawn wrappers that have set SIG_IGN for now
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// The one instance. Defined beside the handler, so that the handler's object stands alone.
extern constinit request_state requests;

/// Counts one request and wakes the watchdog. Signals: safe.
void note_request(const siginfo_t& info) noexcept;

/// The handler. Undefined symbols of its object: __errno_location and syscall.
extern "C" void corodump_handle_signal(int signal, siginfo_t* info, void* context);

}  // namespace corodump::triggers
