// What corodump knows of Asio's awaitables: Boost.Asio 1.81 and standalone Asio 1.22 and later.
// Force-included after auto.hpp by the CMake target corodump::asio. It includes nothing of Asio, so
// it may come before Asio's own configuration macros, and it knows Asio's types by their names, so
// that `namespace asio = boost::asio` stays the service's to say. For standalone Asio, define
// CORODUMP_STANDALONE_ASIO (the target corodump::asio_standalone does): descriptors and expiries
// are then shown too.
//
//   co_spawn_entry_point   promise_is_entry: the root of a task; library code
//     session(...)         the service's own coroutines
//       initiate(...)      promise_is_operation: one asynchronous operation, by use_awaitable
//
// A promise's caller is read from where Asio keeps it (`caller_`). An operation's initiation object
// begins with the address of the I/O object, whose descriptor or expiry is noted through its public
// interface on the thread that starts the operation.
#pragma once

#include "auto.hpp"

#if defined(CORODUMP_AUTO_ACTIVE)

#include <cerrno>
#include <chrono>
#include <concepts>
#include <cstring>
#include <memory>
#include <string_view>

namespace boost {
namespace system {
class system_error;
}
}  // namespace boost

namespace corodump {
inline namespace abi_v1 {
namespace detail {

/// The type that an initiation's name begins with, when it is one whose interface is known.
template <class Object>
concept has_native_handle = requires(Object& o) {
    { o.native_handle() } -> std::convertible_to<int>;
};
template <class Object>
concept has_expiry = requires(Object& o) { o.expiry().time_since_epoch(); };

/// Notes what an I/O object shows of itself. `object` is alive: an operation starts on it.
template <class Object>
void describe_io_object(description& to, Object& object) noexcept {
    to.object(&object);
    if constexpr (has_expiry<Object>) {
        using clock = typename Object::clock_type;
        to.kind("timer");
        // Other clocks' expiries cannot be told in CLOCK_MONOTONIC without asking them.
        if constexpr (std::is_same_v<clock, std::chrono::steady_clock>)
            to.deadline(object.expiry());
    } else if constexpr (has_native_handle<Object>) {
        to.kind(type_name<Object>().find("acceptor") != std::string_view::npos ? "acceptor"
                                                                               : "socket");
        to.descriptor(static_cast<int>(object.native_handle()));
    }
}

/// A composed operation's initiation is a template over its stream.
template <class Initiation>
struct stream_of {
    using type = void;
};
template <template <class> class Initiation, class Stream>
struct stream_of<Initiation<Stream>> {
    using type = Stream;
};

/// A template instance's name up to its first argument's end: compilers leave defaulted arguments
/// out, or not, for one and the same type.
constexpr std::string_view stem_of(std::string_view name) noexcept {
    int depth = 0;
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (name[i] == '<') ++depth;
        if (name[i] == '>') --depth;
        if ((depth == 1 && name[i] == ',') || (depth == 0 && name[i] == '>'))
            return name.substr(0, i);
    }
    return name;
}

/// The initiation is a member of the candidate; its executor is the candidate's already.
template <class Candidate, class Initiation>
constexpr bool initiates_on() noexcept {
    constexpr std::string_view name = type_name<Initiation>();
    constexpr std::string_view stem = stem_of(type_name<Candidate>());
    if (!name.starts_with(stem) || name.size() == stem.size()) return false;
    const std::string_view rest = name.substr(stem.size());
    return (rest[0] == ',' || rest[0] == '>') &&
           rest.find(">::initiate_") != std::string_view::npos;
}

/// Tries the types whose member the initiation may be.
template <class Initiation, class First, class... Rest>
bool describe_first(description& to, void* object) noexcept {
    if constexpr (initiates_on<First, Initiation>()) {
        describe_io_object(to, *static_cast<First*>(object));
        return true;
    } else if constexpr (sizeof...(Rest) != 0) {
        return describe_first<Initiation, Rest...>(to, object);
    } else {
        return false;
    }
}

template <class Inner>
constexpr bool wraps(std::string_view name, std::size_t bytes) noexcept {
    if constexpr (std::is_void_v<Inner>)
        return false;
    else
        return name.find("::init_wrapper<") != std::string_view::npos &&
               (sizeof(Inner) == bytes ||
                (sizeof(Inner) + sizeof(void*) == bytes &&
                 name.find("redirect_error_t<") != std::string_view::npos)) &&
               type_name<Inner>().find("initiate_") != std::string_view::npos;
}

/// `Types::describe<Initiation>(description&, void*)` knows one Asio's types.
template <class Types, class Initiation>
void describe_initiation(description& to, const Initiation& initiation) noexcept {
    constexpr std::string_view name = type_name<Initiation>();
    using inner = typename stream_of<Initiation>::type;
    if constexpr (wraps<inner>(name, sizeof(Initiation))) {
        // as_tuple and redirect_error wrap the initiation, which is the wrapper's last member.
        const char* const end = reinterpret_cast<const char*>(std::addressof(initiation) + 1);
        describe_initiation<Types>(to, *reinterpret_cast<const inner*>(end - sizeof(inner)));
        return;
    }
    to.operation(name);
    if constexpr (sizeof(Initiation) == sizeof(void*) &&
                  name.find("initiate_") != std::string_view::npos) {
        void* object = nullptr;
        std::memcpy(static_cast<void*>(&object), std::addressof(initiation), sizeof object);
        if (object == nullptr) return;
        to.object(object);
        if constexpr (has_native_handle<inner> || has_expiry<inner>)
            describe_io_object(to, *static_cast<inner*>(object));
        else
            Types::template describe<Initiation>(to, object);
    }
}

/// Boost's own exception. Named only: a service that fails with it has included its header.
template <class Error>
bool says_cancelled_in() noexcept {
#if defined(__cpp_exceptions)
    if constexpr (requires { sizeof(Error); }) {
        try {
            throw;
        } catch (const Error& error) {
            return error.code().value() == ECANCELED &&
                   std::string_view(error.code().category().name()) == "system";
        } catch (...) {
            return false;
        }
    }
#endif
    return false;
}

template <class... Arguments>
struct last_of {
    using type = void;
};
template <class First, class... Rest>
struct last_of<First, Rest...> {
    using type = typename last_of<Rest...>::type;
};
template <class Last>
struct last_of<Last> {
    using type = std::remove_cvref_t<Last>;
};

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump

#define CORODUMP_ASIO_NAMESPACE_BEGIN \
    namespace boost {                 \
    namespace asio {
#define CORODUMP_ASIO_NAMESPACE_END \
    }                               \
    }
#define CORODUMP_ASIO boost::asio
#define CORODUMP_ASIO_TYPES boost_asio_types
#include "detail/asio_types.inc"
#undef CORODUMP_ASIO_NAMESPACE_BEGIN
#undef CORODUMP_ASIO_NAMESPACE_END
#undef CORODUMP_ASIO
#undef CORODUMP_ASIO_TYPES

#if defined(CORODUMP_STANDALONE_ASIO) || defined(ASIO_STANDALONE)
#define CORODUMP_ASIO_NAMESPACE_BEGIN namespace asio {
#define CORODUMP_ASIO_NAMESPACE_END }
#define CORODUMP_ASIO ::asio
#define CORODUMP_ASIO_TYPES standalone_asio_types
#include "detail/asio_types.inc"
#undef CORODUMP_ASIO_NAMESPACE_BEGIN
#undef CORODUMP_ASIO_NAMESPACE_END
#undef CORODUMP_ASIO
#undef CORODUMP_ASIO_TYPES
#else
namespace corodump {
inline namespace abi_v1 {
namespace detail {
struct standalone_asio_types {
    template <class Initiation>
    static void describe(description&, void*) noexcept {}
};
}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
#endif

namespace corodump {
inline namespace abi_v1 {
namespace detail {

template <class T>
inline constexpr bool is_boost_asio = type_name<T>().starts_with("boost::asio::");

/// `T` is Asio's type (or template instance) of this name, Boost's or the standalone one.
template <class T>
constexpr bool is_asio(std::string_view name) noexcept {
    std::string_view full = type_name<T>();
    if (full.starts_with("boost::")) full.remove_prefix(7);
    if (!full.starts_with("asio::")) return false;
    full.remove_prefix(6);
    return full.starts_with(name) && (full.size() == name.size() || full[name.size()] == '<');
}

template <class T, class Executor, class... Arguments>
struct asio_coroutine {
    static constexpr bool is_entry = is_asio<T>("detail::awaitable_thread_entry_point");
    static constexpr bool is_operation = false;
};
template <class T, class Executor, class Initiation, class Token, class... Rest>
struct asio_coroutine<T, Executor, Initiation, Token, Rest...> {
    static constexpr bool is_entry = is_asio<T>("detail::awaitable_thread_entry_point");
    static constexpr bool is_operation =
        !is_entry && is_asio<std::remove_cvref_t<Token>>("use_awaitable_t");
};

}  // namespace detail

template <template <class, class> class Frame, class T, class Executor, class... Arguments>
    requires(detail::is_asio<Frame<T, Executor>>("detail::awaitable_frame"))
struct promise_adapter<Frame<T, Executor>, Arguments...> {
private:
    using kind = detail::asio_coroutine<T, Executor, Arguments...>;
    using types = std::conditional_t<detail::is_boost_asio<Frame<T, Executor>>,
                                     detail::boost_asio_types, detail::standalone_asio_types>;
    using handler = typename detail::last_of<Arguments...>::type;
    // Asio's own handlers hold the awaiting coroutine; what a service's handler holds is not known.
    static constexpr bool by_state =
        detail::type_name<handler>().find("::parallel_group_op_handler<") !=
            std::string_view::npos ||
        detail::type_name<handler>().find("::ranged_parallel_group_op_handler<") !=
            std::string_view::npos;
    static constexpr bool by_handler =
        detail::type_name<handler>().find("asio::detail::awaitable_handler<") !=
            std::string_view::npos ||
        detail::type_name<handler>().find("asio::detail::awaitable_async_op_handler<") !=
            std::string_view::npos;
    static constexpr bool is_joined = kind::is_entry && (by_state || by_handler);
    static constexpr bool is_detached =
        kind::is_entry && detail::is_asio<handler>("detail::detached_handler");

public:
    static constexpr bool describes_operation = kind::is_operation;
    static constexpr bool replaces_allocation = true;  // Asio's is a cache of two frames a thread
    static constexpr std::uint16_t flags =
        (kind::is_operation ? detail::promise_is_operation | detail::promise_is_library : 0) |
        (kind::is_entry ? detail::promise_is_entry | detail::promise_is_library : 0) |
        (is_joined ? detail::promise_may_be_joined : 0) |
        (is_joined && by_state ? detail::promise_joins_by_state : 0) |
        (is_detached ? detail::promise_drops_failure : 0);
    static constexpr std::size_t handler_bytes = [] {
        if constexpr (is_joined)
            return sizeof(handler);
        else
            return std::size_t{0};
    }();

    template <class Tracked>
    static constexpr std::int32_t continuation_offset() noexcept {
        return Tracked::template corodump_offset_of_caller<Tracked>();
    }

    /// What asio::error::operation_aborted is, in Boost's exception; the standard one is known.
    static bool says_cancelled() noexcept
        requires(detail::is_boost_asio<Frame<T, Executor>>)
    {
        return detail::says_cancelled_in<boost::system::system_error>();
    }
    /// An awaitable is the address of its coroutine's promise.
    template <class E>
    static const void* promise_in(E& operand) noexcept
        requires(detail::is_asio<std::remove_const_t<E>>("awaitable") && sizeof(E) == sizeof(void*))
    {
        const void* promise = nullptr;
        std::memcpy(static_cast<void*>(&promise), static_cast<const void*>(std::addressof(operand)),
                    sizeof promise);
        return promise;
    }

    template <class Initiation, class... Rest>
    static void describe(description& to, Initiation& initiation, Rest&...) noexcept {
        detail::describe_initiation<types>(to, initiation);
    }
};

}  // namespace abi_v1
}  // namespace corodump

#endif
