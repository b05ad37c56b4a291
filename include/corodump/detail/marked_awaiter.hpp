// initial_suspend, co_yield and final_suspend: suspensions that are no co_await of the user's, and
// never pass through await_transform.
#pragma once

#include "awaiter.hpp"

namespace corodump {
inline namespace abi_v1 {
namespace detail {

// Hidden, as all data of the headers': GCC makes inline data of default visibility unique in the
// process, and a module that has such a symbol is never unloaded.

/// With the awaiter's place: what a generator yields may be another one.
template <class Inner>
[[gnu::visibility("hidden")]] inline constexpr awaitable_info yield_info{
    layout_version,
    awaits_yield,
    "",
    0,
    sizeof(std::remove_reference_t<Inner>),
    std::is_reference_v<Inner>,
    0,
    0};
[[gnu::visibility("hidden")]] inline constexpr awaitable_info failed_info{
    layout_version, awaits_failure, "", 0, 0, 0, 0, 0};

/// A member of its own that may be empty. Not so `Inner` itself: one with padding at its end would
/// share that, and an awaiter that assigns to itself would write over what follows.
template <class Inner>
struct held_awaiter {
    Inner awaiter;
};
template <class Inner>
    requires std::is_empty_v<Inner>
struct held_awaiter<Inner> {
    [[no_unique_address]] Inner awaiter;
};

template <class Inner, awaitable_kind Kind>
class marked_awaiter {
    using awaiter = std::remove_reference_t<Inner>;

public:
    template <class Make, class Near>
    marked_awaiter(record* own, Make& make, std::type_identity<Near>)
        : inner_{inner_of<Make, Near>::make(make)}, own_(own) {}
    marked_awaiter(const marked_awaiter&) = delete;
    marked_awaiter& operator=(const marked_awaiter&) = delete;

    decltype(auto) await_ready() noexcept(noexcept(ref().await_ready())) {
        if constexpr (Kind == awaits_end) {
            // A coroutine that does not suspend here runs off its end: it is not resumed again.
            const bool ready = static_cast<bool>(ref().await_ready());
            if (ready) finish();
            return ready;
        } else {
            return ref().await_ready();
        }
    }

    template <class Promise>
    auto await_suspend(std::coroutine_handle<Promise> handle) noexcept(
        noexcept(ref().await_suspend(library_handle(handle)))) {
        if constexpr (Kind == awaits_start)
            wait_for_start();
        else
            finish();
        using result = decltype(ref().await_suspend(library_handle(handle)));
        if constexpr (noexcept(ref().await_suspend(library_handle(handle)))) {
            return static_cast<result>(ref().await_suspend(library_handle(handle)));
        } else {
            CORODUMP_TRY {
                return static_cast<result>(ref().await_suspend(library_handle(handle)));
            }
            CORODUMP_CATCH_ALL {
                resume(own_);
                CORODUMP_RETHROW;
            }
        }
    }

    decltype(auto) await_resume() noexcept(noexcept(ref().await_resume())) {
        if constexpr (Kind == awaits_start) begin_running();
        if constexpr (Kind == awaits_yield) resume(own_);
        return ref().await_resume();
    }

private:
    awaiter& ref() noexcept { return inner_.awaiter; }

    void finish() noexcept {
        if constexpr (Kind == awaits_yield) {
            suspend(own_, yield_info<Inner>, this);
        } else {
            leave(own_);
            rest(own_, rests_at_end, rests);
        }
    }

    void wait_for_start() noexcept {
        rest(own_, rests_before_start, corodump_clock_v1.load(std::memory_order_relaxed));
    }

    void begin_running() noexcept {
        if (own_->suspended.load(std::memory_order_relaxed) != 0)
            resume(own_);
        else
            start(own_);
    }

    // GCC gives each awaiter a place of its own in the frame: std::suspend_always takes none of it.
    [[no_unique_address]] held_awaiter<Inner> inner_;
    record* own_;
};

template <class T>
inline constexpr bool is_marked_awaiter = false;
template <class Inner, awaitable_kind Kind>
inline constexpr bool is_marked_awaiter<marked_awaiter<Inner, Kind>> = true;

/// Of what initial_suspend returns: the coroutine starts where it is created.
template <class T>
inline constexpr bool never_waits = std::is_same_v<T, std::suspend_never>;
template <class Inner, awaitable_kind Kind>
inline constexpr bool never_waits<marked_awaiter<Inner, Kind>> =
    std::is_same_v<std::remove_cvref_t<Inner>, std::suspend_never>;

template <awaitable_kind Kind, class Near, class Make>
auto mark_awaiter(record* own, Make make) {
    return marked_awaiter<typename inner_of<Make, Near>::type, Kind>(own, make,
                                                                     std::type_identity<Near>{});
}

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
