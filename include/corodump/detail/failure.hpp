// An exception that leaves a coroutine: what the host's own runtime knows of it, told to the agent.
// The agent may use another runtime, or another version of it.
//
//   throw ─> unhandled_exception: note_failure, the promise takes it, note_stored
//                │                                  └─> the awaiting coroutine: note_observed
//                └─> the frame is destroyed: note_loss
//
// All of it is off the hot path: nothing runs unless an exception was thrown. Where exceptions are
// compiled out, so is this.
//
// Threads: the thread that runs the coroutine. Signals: unsafe. Blocks: never. Errors: none.
#pragma once

#include "abi.hpp"

#if defined(__cpp_exceptions)
#include <cxxabi.h>

#include <cstring>
#include <exception>
#include <system_error>
#include <typeinfo>
#endif

namespace corodump {
inline namespace abi_v1 {
namespace detail {

#if defined(__cpp_exceptions)

/// Where the exception object lies: the one word of an exception_ptr, in libstdc++ and libc++
/// alike. It stays the same when the exception is rethrown. nullptr: none, or not C++'s.
[[nodiscard, gnu::visibility("hidden")]] inline const void* address_of(
    const std::exception_ptr& of) noexcept {
    static_assert(sizeof(of) == sizeof(void*));
    const void* address = nullptr;
    std::memcpy(static_cast<void*>(&address), static_cast<const void*>(&of), sizeof address);
    return address;
}

/// In a handler. `cancelled`: what the adapter of a library knows of its own exceptions.
[[gnu::noinline, gnu::cold, gnu::visibility("hidden")]] inline void note_failure(
    record* own, bool cancelled = false) noexcept {
    // Not held meanwhile: the agent counts who holds it.
    const void* const exception = address_of(std::current_exception());
    failure what{sizeof(failure), cancelled ? std::uint32_t{failure_is_cancellation} : 0U,
                 exception, nullptr, nullptr};
    if (const std::type_info* const type = abi::__cxa_current_exception_type())
        what.type_name = type->name();
    try {
        throw;
    } catch (const std::system_error& error) {
        what.message = error.what();
        if (error.code() == std::errc::operation_canceled) what.flags |= failure_is_cancellation;
        corodump_failed_v1(own, &what);
    } catch (const std::exception& error) {
        what.message = error.what();
        corodump_failed_v1(own, &what);
    } catch (...) {
        corodump_failed_v1(own, &what);
    }
}

[[gnu::noinline, gnu::cold, gnu::visibility("hidden")]] inline void note_stored(
    record* own) noexcept {
    corodump_stored_v1(own);
}

/// In a handler.
[[gnu::noinline, gnu::cold, gnu::visibility("hidden")]] inline void note_observed(
    record* by) noexcept {
    corodump_observed_v1(by, address_of(std::current_exception()));
}

[[gnu::noinline, gnu::cold, gnu::visibility("hidden")]] inline void note_loss(
    record* own) noexcept {
    corodump_lost_v1(own, std::uncaught_exceptions(), address_of(std::current_exception()));
}

#else

inline void note_failure(record*, bool = false) noexcept {}
inline void note_stored(record*) noexcept {}
inline void note_observed(record*) noexcept {}
inline void note_loss(record*) noexcept {}

#endif

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
