// The mixin: own promise types derive from it.
//
//     struct promise_type : corodump::tracked_promise<promise_type> {
//         task get_return_object(std::source_location where = std::source_location::current()) {
//             created_at(where);                       // names the coroutine
//             ...
//         }
//         auto initial_suspend() noexcept { return track_start(std::suspend_always{}); }
//         auto final_suspend() noexcept { return track_end(final_awaiter{}); }
//         void unhandled_exception() { track_failure(); ... }
//     };
//
// co_await is tracked by the await_transform that comes with it. A promise with its own says
// `return track_await(what_it_returned_before, where);` in it. Each hook may be left out; what it
// would have told is then unknown: docs/adapters.md has the table.
//
// To change nothing in the promise, see tracked.hpp.
//
// Threads: the thread that runs the coroutine. Signals: unsafe. Blocks: never.
#pragma once

#include <source_location>

#include "detail/allocation.hpp"
#include "detail/marked_awaiter.hpp"

namespace corodump {
inline namespace abi_v1 {

template <class Promise>
class tracked_promise {
public:
    using corodump_tracks_itself = void;

    static void* operator new(std::size_t bytes) { return detail::allocate_or_throw(bytes); }
    static void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
        return detail::allocate_frame(bytes);
    }
    static void operator delete(void* frame, std::size_t bytes) noexcept {
        detail::release_frame(frame, bytes);
    }

    template <class E>
    [[gnu::always_inline]] decltype(auto) await_transform(
        E&& e, std::source_location where = std::source_location::current()) {
        // The operand lives to the end of the full expression: a reference is enough.
        return detail::track_awaiter<Promise>(own(), detail::site_of(where), static_cast<E&&>(e),
                                              [&]() -> E&& { return static_cast<E&&>(e); });
    }

protected:
    tracked_promise() noexcept {
        static_assert(alignof(Promise) <= 4096);
        const auto place = static_cast<std::uint32_t>(reinterpret_cast<char*>(&corodump_tag_) -
                                                      static_cast<char*>(frame()));
        // Not a constant expression for a base; the same value every time.
        if (info().tag_offset.load(std::memory_order_relaxed) != place)
            info().tag_offset.store(place, std::memory_order_relaxed);
        // Without a site the frame's word would be empty: the marker stands in until created_at.
        detail::begin(frame(), corodump_tag_, info(), &corodump_unnamed_v1);
    }
    tracked_promise(const tracked_promise&) = delete;
    tracked_promise& operator=(const tracked_promise&) = delete;
    ~tracked_promise() { detail::end(frame(), corodump_tag_); }

    /// Names the coroutine; call it first in get_return_object.
    void created_at(std::source_location where) noexcept {
        const void* const site = detail::site_of(where);
        const auto word = corodump_tag_.word.load(std::memory_order_relaxed);
        if ((word & detail::tag_slot) != 0)
            reinterpret_cast<detail::slot*>(word & ~detail::tag_mask)
                ->definition.store(site, std::memory_order_relaxed);
        else if (word != 0)
            corodump_tag_.word.store(reinterpret_cast<std::uintptr_t>(site),
                                     std::memory_order_relaxed);
        own()->site.store(site, std::memory_order_release);
    }
    template <class Awaiter>
    [[nodiscard]] auto track_start(Awaiter&& awaiter) {
        return mark<detail::awaits_start>(static_cast<Awaiter&&>(awaiter));
    }
    template <class Awaiter>
    [[nodiscard]] auto track_end(Awaiter&& awaiter) noexcept {
        return mark<detail::awaits_end>(static_cast<Awaiter&&>(awaiter));
    }
    template <class Awaiter>
    [[nodiscard]] auto track_yield(Awaiter&& awaiter, std::source_location where) {
        own()->site.store(detail::site_of(where), std::memory_order_release);
        return mark<detail::awaits_yield>(static_cast<Awaiter&&>(awaiter));
    }
    void track_failure() noexcept {
        own()->awaitable.store(&detail::failed_info, std::memory_order_release);
        detail::note_failure(own());
    }
    /// What an own await_transform returned before: an rvalue is moved into the frame, an lvalue is
    /// referred to.
    template <class E>
    [[nodiscard, gnu::always_inline]] decltype(auto) track_await(E&& e,
                                                                 std::source_location where) {
        return detail::track_awaiter<Promise>(own(), detail::site_of(where), static_cast<E&&>(e),
                                              [&]() -> E { return static_cast<E&&>(e); });
    }
    /// As track_await, for an awaiter that can be neither moved nor copied: `make()` returns it.
    template <class Make>
    [[nodiscard]] decltype(auto) track_await_of(Make&& make, std::source_location where) {
        return detail::track_awaiter<Promise>(own(), detail::site_of(where), detail::no_operand{},
                                              static_cast<Make&&>(make));
    }

private:
    [[gnu::always_inline]] void* frame() noexcept {
        return std::coroutine_handle<Promise>::from_promise(static_cast<Promise&>(*this)).address();
    }
    [[gnu::always_inline]] detail::record* own() noexcept {
        return detail::record_of(frame(), corodump_tag_);
    }
    template <detail::awaitable_kind Kind, class Awaiter>
    auto mark(Awaiter&& awaiter) {
        return detail::mark_awaiter<Kind, Promise>(own(), [&]() -> std::remove_cvref_t<Awaiter> {
            return static_cast<Awaiter&&>(awaiter);
        });
    }

    static constexpr std::uint16_t flags() noexcept {
        if constexpr (requires(Promise& p) { p.initial_suspend(); }) {
            using start = std::remove_cvref_t<decltype(std::declval<Promise&>().initial_suspend())>;
            return static_cast<std::uint16_t>(
                (detail::is_marked_awaiter<start> ? detail::promise_hooks_start : 0) |
                (detail::never_waits<start> ? detail::promise_starts_at_once : 0));
        } else {
            return 0;
        }
    }
    [[gnu::visibility("hidden")]] static detail::promise_info& info() noexcept {
        static constinit detail::promise_info value{
            detail::layout_version,
            sizeof(Promise),
            static_cast<std::uint16_t>(alignof(Promise) > 16 ? alignof(Promise) : 16),
            flags(),
            -1,
            0,
            0,
            0,
            0,
            nullptr,
            detail::type_name<Promise>().data(),
            static_cast<std::uint32_t>(detail::type_name<Promise>().size()),
            0,
            0,
            0};
        return value;
    }

    detail::frame_tag corodump_tag_;
};

}  // namespace abi_v1
}  // namespace corodump
