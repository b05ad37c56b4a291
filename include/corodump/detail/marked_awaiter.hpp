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
    0};
[[gnu::visibility("hidden")]] inline constexpr awaitable_info final_info{
    layout_version, awaits_nothing, "", 0, 0, 0, 0};
[[gnu::visibility("hidden")]] inline constexpr awaitable_info failed_info{
    layout_version, awaits_nothing_failed, "", 0, 0, 0, 0};

template <class Inner, awaitable_kind Kind>
class marked_awaiter {
    using awaiter = std::remove_reference_t<Inner>;

public:
    template <class Make, class Near>
    marked_awaiter(record* own, Make& make, std::type_identity<Near>)
        : inner_(inner_of<Make, Near>::make(make)), own_(own) {}
    marked_awaiter(const marked_awaiter&) = delete;
    marked_awaiter& operator=(const marked_awaiter&) = delete;

    decltype(auto) await_ready() noexcept(noexcept(ref().await_ready())) {
        if constexpr (Kind == awaits_nothing) {
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
            try {
                return static_cast<result>(ref().await_suspend(library_handle(handle)));
            } catch (...) {
                resume(own_);
                throw;
            }
        }
    }

    decltype(auto) await_resume() noexcept(noexcept(ref().await_resume())) {
        if constexpr (Kind == awaits_start) begin_running();
        if constexpr (Kind == awaits_yield) resume(own_);
        return ref().await_resume();
    }

private:
    awaiter& ref() noexcept { return inner_; }

    void finish() noexcept {
        if constexpr (Kind == awaits_yield) {
            own_->awaitable.store(&yield_info<Inner>, std::memory_order_release);
            suspend(own_, this);
        } else {
            // By its kind: each image has a failed_info of its own.
            if (own_->awaitable.load(std::memory_order_relaxed)->kind != awaits_nothing_failed)
                [[likely]]
                own_->awaitable.store(&final_info, std::memory_order_release);
            leave(own_);
            rest(own_, 0);
        }
    }

    void wait_for_start() noexcept { rest(own_, corodump_tick_v1.load(std::memory_order_relaxed)); }

    void begin_running() noexcept {
        if (own_->suspended.load(std::memory_order_relaxed) != 0)
            resume(own_);
        else
            start(own_);
    }

    Inner inner_;
    record* own_;
};

template <class T>
inline constexpr bool is_marked_awaiter = false;
template <class Inner, awaitable_kind Kind>
inline constexpr bool is_marked_awaiter<marked_awaiter<Inner, Kind>> = true;

template <awaitable_kind Kind, class Near, class Make>
auto mark_awaiter(record* own, Make make) {
    return marked_awaiter<typename inner_of<Make, Near>::type, Kind>(own, make,
                                                                     std::type_identity<Near>{});
}

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
