// The contract between context.hpp and spdlog.hpp, compiled into services, and the agent's library:
// the C functions that bind, find and list context variables, and that say which task is running.
//
// The list of what is bound belongs to the agent; a value belongs to the service, and is destroyed
// by the function that came with it, on a thread of the service's.
//
// Threads: the thread that runs the coroutine. Signals: unsafe. Blocks: binding takes a lock for a
// few instructions. Errors: each function says.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi.hpp"

namespace corodump {
inline namespace abi_v1 {
namespace detail {

/// A value to be bound. `name` and `text` are copied, and cut to what fits.
struct context_value {
    std::uint32_t size_bytes;  ///< of this struct: later versions append members
    value_kind kind;           ///< how `text` is to be read: a number, a boolean, else text
    const void* variable;      ///< its identity
    const char* name;
    std::size_t name_bytes;
    const char* text;
    std::size_t text_bytes;
    void* value;
    void (*destroy)(void* value) noexcept;
};

/// Where a binding was made, and which one it is.
struct context_scope {
    record* owner;  ///< nullptr: the thread
    std::uint32_t generation;
    std::uint32_t thread;  ///< tid
    std::uint64_t number;  ///< 0: nothing is bound
};

/// A binding as code sees it; valid within the call.
struct context_text {
    const void* variable;
    value_kind kind;
    std::uint8_t cut;  ///< the text is not all
    std::uint32_t name_bytes;
    std::uint32_t text_bytes;
    const char* name;
    const char* text;
};

/// The running task as a dump names it. Both are terminated; empty: outside of tracked coroutines,
/// or no name.
struct task_text {
    std::uint32_t id_bytes;
    std::uint32_t name_bytes;
    char id[32];
    char name[88];
};

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump

extern "C" {
/// Binds from here on in the running coroutine, or in this thread outside of all. The value is
/// owned from here on, also where it could not be bound: no memory, or too many bindings.
/// `scope` null: until the coroutine ends; else until corodump_context_unbind_v1.
CORODUMP_API void corodump_context_bind_v1(const corodump::detail::context_value* what,
                                           corodump::detail::context_scope* scope) noexcept;
/// Nothing where the coroutine has ended, or on another thread than the one it was bound for.
CORODUMP_API void corodump_context_unbind_v1(const corodump::detail::context_scope* scope) noexcept;
/// The value, nullptr: not bound. Valid until the variable is bound anew, or the coroutine ends.
CORODUMP_API const void* corodump_context_find_v1(const void* variable) noexcept;
/// Calls `visit` for each variable that is bound, the oldest binding first. It may not bind.
CORODUMP_API void corodump_context_visit_v1(
    void (*visit)(void* with, const corodump::detail::context_text* bound), void* with) noexcept;
/// A library is to call `*start` with `*with` on this thread, as soon as the coroutine of this record
/// is suspended: what it creates there is created by that coroutine. Both may be exchanged for a
/// call that says so.
CORODUMP_API void corodump_starts_after_v1(corodump::detail::record* own, void (**start)(void*),
                                           void** with) noexcept;
/// The task that is running on this thread.
CORODUMP_API void corodump_task_text_v1(corodump::detail::task_text* into) noexcept;
}
