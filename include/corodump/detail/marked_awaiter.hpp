// initial_suspend, co_yield and final_suspend: suspensions that are no co_await of the user's, and
// never pass through await_transform.
#pragma once

#include "awaiter.hpp"

namespace corodump {
inline namespace abi_v1 {
namespace detail {

inline constexpr awaitable_info start_info{layout_version, awaits_start, "", 0, 0, 0, 0};
inline constexpr awaitable_info yield_info{layout_version, awaits_yield, "", 0, 0, 0, 0};
inline constexpr awaitable_info final_info{layout_version, awaits_nothing, "", 0, 0, 0, 0};
inline constexpr awaitable_info failed_info{layout_version, awaits_nothing_failed, "", 0, 0, 0, 0};

template <class Inner, awaitable_kind Kind>
class marked_awaiter {
    using awaiter = std::remove_reference_t<Inner>;

public:
    template <class Make>
    marked_awaiter(record* own, Make& make) : inner_(inner_of<Make>::make(make)), own_(own) {}
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
        return static_cast<result>(ref().await_suspend(library_handle(handle)));
    }

    decltype(auto) await_resume() noexcept(noexcept(ref().await_resume())) {
        if constexpr (Kind == awaits_start) begin_running();
        if constexpr (Kind == awaits_yield) resume(own_);
        return ref().await_resume();
    }

private:
    awaiter& ref() noexcept { return inner_; }

    void finish() noexcept {
        const awaitable_info* const now = own_->awaitable.load(std::memory_order_relaxed);
        if constexpr (Kind == awaits_yield)
            own_->awaitable.store(&yield_info, std::memory_order_release);
        else if (now != &failed_info)
            own_->awaitable.store(&final_info, std::memory_order_release);
        suspend(own_, this);
    }

    /// As suspend(), for a coroutine that is on no thread's stack yet.
    void wait_for_start() noexcept {
        own_->awaitable.store(&start_info, std::memory_order_release);
        const std::uint64_t tick = corodump_tick_v1.load(std::memory_order_relaxed);
        own_->suspended.store(tick << 32U, std::memory_order_relaxed);
        own_->sequence.store(1, std::memory_order_release);
    }

    void begin_running() noexcept {
        if ((own_->sequence.load(std::memory_order_relaxed) & 1U) != 0)
            resume(own_);
        else
            start(own_);
    }

    Inner inner_;
    record* own_;
};

template <awaitable_kind Kind, class Make>
auto mark_awaiter(record* own, Make make) {
    return marked_awaiter<typename inner_of<Make>::type, Kind>(own, make);
}

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
