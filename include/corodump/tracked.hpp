// A tracked promise around another, which is not edited and notices nothing.
//
//   coroutine frame: resume, destroy | the library's promise | frame_tag, argument places, ...
//                                    ^ same address, same handle as without us
//
// auto.hpp puts it around the promise of every coroutine of a translation unit. By hand:
//
//     using promise_type = corodump::tracked<my_promise>;
//
// Threads, signals, blocking: as the promise inside; what is added never blocks.
#pragma once

#include <cstddef>
#include <source_location>

#include "detail/allocation.hpp"
#include "detail/arguments.hpp"
#include "detail/context_abi.hpp"
#include "detail/held_promise.hpp"
#include "detail/marked_awaiter.hpp"

namespace corodump {
inline namespace abi_v1 {

/// What an adapter knows about a library's promise. The primary template is right for all promises
/// that only follow the language's rules; docs/adapters.md has the contract for the others.
template <class Promise, class... Arguments>
struct promise_adapter {
    static constexpr std::uint16_t flags = 0;
    /// The library's operator new may be replaced by the pool.
    static constexpr bool replaces_allocation = false;
    /// The coroutine stands for one operation, which `describe` tells.
    static constexpr bool describes_operation = false;
    /// Bytes of the last argument, a completion handler that leads to the awaiting task; 0: none.
    static constexpr std::size_t handler_bytes = 0;
    // Where they exist:
    //   static bool says_cancelled() noexcept      in a handler: the exception is of an operation
    //                                              that was cancelled
    //   static const void* promise_in(E& operand)  of an entry: the promise of what it awaits
    /// Offset of the caller's address in the promise, -1: not known, it is looked for.
    template <class Tracked>
    static constexpr std::int32_t continuation_offset() noexcept {
        return -1;
    }
};

template <class Promise, class... Arguments>
class tracked;

namespace detail {

template <class Promise, class... Arguments>
constexpr auto find_tracked_base() noexcept {
    constexpr bool allocates = allocates_itself<Promise, Arguments...>() &&
                               !promise_adapter<Promise, Arguments...>::replaces_allocation;
    if constexpr (allocates && std::is_final_v<Promise>)
        return find_held_allocating<Promise, Arguments...>();
    else if constexpr (allocates)
        return std::type_identity<Promise>{};
    else if constexpr (std::is_final_v<Promise>)
        return std::type_identity<pooled<held_promise<Promise>>>{};
    else
        return std::type_identity<pooled<Promise>>{};
}
template <class Promise, class... Arguments>
using tracked_base = typename decltype(find_tracked_base<Promise, Arguments...>())::type;

// Where the library's function takes a source_location of its own, it is given ours, which is the
// coroutine's. Not so where it takes anything.
struct no_place {};
template <class P, class Place>
concept returned_with = requires(P& p, Place w) { p.get_return_object(w); };
template <class P, class E, class Place>
concept transforms_with =
    requires(P& p, E&& e, Place w) { p.await_transform(static_cast<E&&>(e), w); };
template <class P, class V, class Place>
concept yields_with = requires(P& p, V&& v, Place w) { p.yield_value(static_cast<V&&>(v), w); };

inline constexpr std::size_t promise_offset(std::size_t alignment) noexcept {
    return alignment > 16 ? alignment : 16;  // two pointers come first
}

template <class T>
inline constexpr bool is_tracked = false;
template <class Promise, class... Arguments>
inline constexpr bool is_tracked<tracked<Promise, Arguments...>> = true;

template <class Tracked>
struct info_of;

}  // namespace detail

// A library's promise may have members of any name, `own` or `where`, and its build -Wshadow.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
template <class Promise, class... Arguments>
class tracked : public detail::tracked_base<Promise, Arguments...> {
    using base = detail::tracked_base<Promise, Arguments...>;
    using adapter = promise_adapter<Promise, Arguments...>;
    template <class... A>
    static constexpr bool offered = detail::takes_arguments<Promise, A...>;
    template <class E>
    static constexpr bool transforms =
        requires(base& b, E&& e) { b.await_transform(static_cast<E&&>(e)); };

public:
    using corodump_library_promise = Promise;

    tracked()
        requires std::is_default_constructible_v<base>
    = default;
    // The arguments are lvalues; but GCC offers parameters that are rvalue references as rvalues.
    template <class... A>
        requires(offered<A...>)
    explicit tracked(A&&... arguments) : base(static_cast<A&&>(arguments)...) {
        note_arguments(arguments...);
    }
    template <class... A>
        requires(sizeof...(A) > 0 && !offered<A...>)
    explicit tracked(A&&... arguments) {
        note_arguments(arguments...);
    }
    tracked(const tracked&) = delete;
    tracked& operator=(const tracked&) = delete;
    ~tracked() {
        if constexpr (is_entry)
            detail::end<true>(corodump_frame(), corodump_tag_, corodump_body_);
        else
            detail::end(corodump_frame(), corodump_tag_);
    }

    decltype(auto) get_return_object(std::source_location where = std::source_location::current()) {
        corodump_begin(where);
        if constexpr (detail::returned_with<base, std::source_location> &&
                      !detail::returned_with<base, detail::no_place>)
            return base::get_return_object(where);
        else
            return base::get_return_object();
    }

    auto initial_suspend(std::source_location where = std::source_location::current()) noexcept(
        noexcept(std::declval<base&>().initial_suspend())) {
        // clang does not call a get_return_object that returns nothing.
        if constexpr (std::is_void_v<decltype(std::declval<tracked&>().get_return_object())>)
            if (corodump_tag_.word.load(std::memory_order_relaxed) == 0) corodump_begin(where);
        return detail::mark_awaiter<detail::awaits_start, Promise>(
            corodump_record(), [this]() -> decltype(auto) { return base::initial_suspend(); });
    }
    auto final_suspend() noexcept {
        return detail::mark_awaiter<detail::awaits_end, Promise>(
            corodump_record(), [this]() -> decltype(auto) { return base::final_suspend(); });
    }
    void unhandled_exception() noexcept(noexcept(std::declval<base&>().unhandled_exception())) {
        detail::record* const own = corodump_record();
        own->awaitable.store(&detail::failed_info, std::memory_order_release);
        note_failure(own);
        if constexpr (noexcept(base::unhandled_exception())) {
            base::unhandled_exception();
            detail::note_stored(own);
        } else {
            // Rethrown out of resume(): the coroutine counts as suspended at its end.
            CORODUMP_TRY {
                base::unhandled_exception();
                detail::note_stored(own);
            }
            CORODUMP_CATCH_ALL {
                detail::note_observed(own);
                detail::leave(own);
                detail::rest(own, detail::rests_at_end, detail::rests);
                CORODUMP_RETHROW;
            }
        }
    }

    template <class E>
        requires(transforms<E> || !detail::transforms_awaits<Promise>())
    [[gnu::always_inline]] decltype(auto) await_transform(
        E&& e, std::source_location where = std::source_location::current()) {
        if constexpr (is_entry)
            if constexpr (requires { adapter::promise_in(e); })
                if (corodump_body_ == nullptr)
                    corodump_body_ = corodump_definition_v1(adapter::promise_in(e));
        return detail::track_awaiter<Promise>(corodump_record(), detail::site_of(where),
                                              static_cast<E&&>(e), [&]() -> decltype(auto) {
                                                  if constexpr (transforms<E>)
                                                      return transform(static_cast<E&&>(e), where);
                                                  else
                                                      return static_cast<E&&>(e);
                                              });
    }

    template <class V>
        requires(!detail::yields_one_type<Promise>) &&
                requires(base& b, V&& v) { b.yield_value(static_cast<V&&>(v)); }
    auto yield_value(V&& value, std::source_location where = std::source_location::current()) {
        return yield(where, static_cast<V&&>(value));
    }
    // Takes what the library's takes, so that `co_yield {1, 2}` and conversions stay as they are.
    template <class P = Promise>
        requires detail::yields_one_type<P>
    auto yield_value(typename detail::parameter<decltype(&P::yield_value)>::type value,
                     std::source_location where = std::source_location::current()) {
        return yield(where, static_cast<decltype(value)&&>(value));
    }

    /// For a library that starts an operation when the coroutine is suspended, outside of it: Asio
    /// does, and co_spawn is such an operation.
    template <class Self>
    static constexpr bool corodump_defers_start() noexcept {
        return requires(Self& self) { self.resume_context_->after_suspend_fn_; };
    }
    template <class Self>
    static void corodump_note_start(Self& self, detail::record* own) noexcept {
        auto& context = *self.resume_context_;
        if (context.after_suspend_fn_ != nullptr)
            corodump_starts_after_v1(own, &context.after_suspend_fn_, &context.after_suspend_arg_);
    }

    /// For the adapter of a library that keeps the caller's address in a protected `caller_`.
    template <class Self>
    static constexpr std::int32_t corodump_offset_of_caller() noexcept {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
        return static_cast<std::int32_t>(offsetof(Self, caller_));
#pragma GCC diagnostic pop
    }

private:
    friend struct detail::info_of<tracked>;
    static constexpr bool has_description = adapter::describes_operation;
    static constexpr bool has_handler = adapter::handler_bytes != 0;
    static constexpr bool is_entry = (adapter::flags & detail::promise_is_entry) != 0;
    static_assert(detail::promise_offset(alignof(base)) ==
                          detail::promise_offset(alignof(Promise)) &&
                      alignof(Promise) <= 4096,
                  "the library's handle and ours must mean the same frame");

    [[gnu::always_inline]] void* corodump_frame() noexcept {
        return reinterpret_cast<char*>(this) - detail::promise_offset(alignof(Promise));
    }
    [[gnu::always_inline]] detail::record* corodump_record() noexcept {
        return detail::record_of(corodump_frame(), corodump_tag_);
    }

    void corodump_begin(std::source_location where) noexcept {
        // Lets the promise's address escape, so that no compiler moves the frame to the caller's.
        asm volatile("" : : "r"(this) : "memory");
        detail::begin(corodump_frame(), corodump_tag_, detail::info_of<tracked>::value,
                      detail::site_of(where));
    }
    template <class... A>
    void note_arguments(A&... arguments) noexcept {
        corodump_places_.note(this, arguments...);
        if constexpr (has_description) adapter::describe(corodump_description_, arguments...);
        if constexpr (has_handler) note_handler(arguments...);
    }
    template <class... A>
    void note_handler(A&... arguments) noexcept {
        const void* const addresses[] = {static_cast<const void*>(std::addressof(arguments))...};
        const auto distance = reinterpret_cast<std::uintptr_t>(addresses[sizeof...(A) - 1]) -
                              reinterpret_cast<std::uintptr_t>(this);
        corodump_handler_ = distance < 0x10000 ? static_cast<std::uint32_t>(distance) : 0;
    }

    void note_failure(detail::record* own) noexcept {
        if constexpr (requires { adapter::says_cancelled(); })
            detail::note_failure(own, adapter::says_cancelled());
        else
            detail::note_failure(own);
    }

    template <class V>
    auto yield(std::source_location where, V&& value) {
        detail::record* const own = corodump_record();
        own->site.store(detail::site_of(where), std::memory_order_release);
        return detail::mark_awaiter<detail::awaits_yield, Promise>(own, [&]() -> decltype(auto) {
            if constexpr (detail::yields_with<base, V, std::source_location> &&
                          !detail::yields_with<base, V, detail::no_place>)
                return base::yield_value(static_cast<V&&>(value), where);
            else
                return base::yield_value(static_cast<V&&>(value));
        });
    }

    template <class E>
    [[gnu::always_inline]] decltype(auto) transform(E&& e, std::source_location where) {
        if constexpr (detail::transforms_with<base, E, std::source_location> &&
                      !detail::transforms_with<base, E, detail::no_place>)
            return base::await_transform(static_cast<E&&>(e), where);
        else
            return base::await_transform(static_cast<E&&>(e));
    }

    detail::frame_tag corodump_tag_;
    [[no_unique_address]] detail::argument_places<detail::argument_list<Arguments...>>
        corodump_places_;
    [[no_unique_address]] std::conditional_t<has_description, description, detail::no_description>
        corodump_description_;
    struct no_handler {};
    [[no_unique_address]] std::conditional_t<has_handler, std::uint32_t, no_handler>
        corodump_handler_;
    struct no_body {};
    [[no_unique_address]] std::conditional_t<is_entry, const void*, no_body> corodump_body_{};
};
#pragma GCC diagnostic pop

namespace detail {

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
template <class Promise, class... Arguments>
struct info_of<tracked<Promise, Arguments...>> {
    using self = tracked<Promise, Arguments...>;
    using list = argument_list<Arguments...>;
    using adapter = promise_adapter<Promise, Arguments...>;
    static constexpr std::uint32_t start = promise_offset(alignof(Promise));

    static constexpr std::uint32_t description_offset() noexcept {
        if constexpr (self::has_description)
            return start + offsetof(self, corodump_description_);
        else
            return 0;
    }
    static constexpr std::uint32_t handler_offset() noexcept {
        if constexpr (self::has_handler)
            return start + offsetof(self, corodump_handler_);
        else
            return 0;
    }
    static constexpr std::uint16_t flags() noexcept {
        using start =
            std::remove_cvref_t<decltype(std::declval<typename self::base&>().initial_suspend())>;
        return static_cast<std::uint16_t>(adapter::flags | promise_hooks_start |
                                          (never_waits<start> ? promise_starts_at_once : 0));
    }
    static constexpr std::uint32_t references =
        start + static_cast<std::uint32_t>(offsetof(self, corodump_places_));

    [[gnu::visibility("hidden")]] static constinit inline promise_info value{
        layout_version,
        sizeof(Promise),
        static_cast<std::uint16_t>(start),
        flags(),
        adapter::template continuation_offset<self>(),
        description_offset(),
        references + static_cast<std::uint32_t>(list::by_reference * sizeof(void*)),
        references,
        list::count,
        list::infos.data(),
        type_name<Promise>().data(),
        static_cast<std::uint32_t>(type_name<Promise>().size()),
        start + offsetof(self, corodump_tag_),
        handler_offset(),
        adapter::handler_bytes};
};
#pragma GCC diagnostic pop

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
