// What a service can say of failures, and be told: exceptions that leave a coroutine and that
// nobody gets to see. docs/failures.md says what counts as seen.
//
//     void count(const corodump::unobserved_failure& lost, void* metrics) noexcept {
//         static_cast<service_metrics*>(metrics)->lost_exceptions.add(1, lost.type);
//     }
//     corodump::on_unobserved_failure(count, &metrics);
//
// Threads: any. Signals: unsafe. Blocks: never.
#pragma once

#include <cstdlib>
#include <string_view>

#include "detail/failure.hpp"

extern "C" {
struct corodump_unobserved_v1 {
    std::uint32_t size_bytes;  ///< of this struct: later versions append members
    std::uint32_t line;        ///< 0: unknown
    const char* type_name;     ///< mangled. No pointer is null; all text is terminated
    const char* message;
    const char* task_name;
    const char* function;  ///< as the compiler spells it
    const char* file;
    std::uint64_t task_address;
    std::uint32_t task_generation;
};
using corodump_unobserved_handler_v1 = void (*)(const corodump_unobserved_v1* what, void* context);
/// The handler before it is forgotten. nullptr: none.
CORODUMP_API void corodump_on_unobserved_v1(corodump_unobserved_handler_v1 handler,
                                            void* context) noexcept;
}

namespace corodump {
inline namespace abi_v1 {

/// The views are valid during the call. Empty: unknown, or none.
struct unobserved_failure {
    std::string_view type, message, task_name;
    std::string_view function, file;  ///< of the coroutine that threw, and its last co_await
    std::uint32_t line = 0;
};

/// Runs on the thread of the host's on which the failure was lost, while the task is destroyed.
/// Must not throw.
using unobserved_handler = void (*)(const unobserved_failure& what, void* context) noexcept;

namespace detail {
struct unobserved_target {
    std::atomic<unobserved_handler> handler{nullptr};
    std::atomic<void*> context{nullptr};
};
[[gnu::visibility("hidden")]] inline constinit unobserved_target unobserved_receiver;

#if defined(__cpp_exceptions)
[[gnu::visibility("hidden")]] inline void pass_unobserved(const corodump_unobserved_v1* from,
                                                          void* to) {
    const auto& target = *static_cast<unobserved_target*>(to);
    const unobserved_handler handler = target.handler.load(std::memory_order_acquire);
    if (handler == nullptr) return;
    int status = 0;
    char* const demangled = abi::__cxa_demangle(from->type_name, nullptr, nullptr, &status);
    unobserved_failure what;
    what.type = demangled != nullptr ? demangled : from->type_name;
    what.message = from->message;
    what.task_name = from->task_name;
    what.function = from->function;
    what.file = from->file;
    what.line = from->line;
    handler(what, target.context.load(std::memory_order_relaxed));
    std::free(demangled);
}
#endif
}  // namespace detail

/// Sets what is called for each failure nobody got to see, nullptr: nothing. One for each module
/// that includes this; the last one set counts.
inline void on_unobserved_failure(unobserved_handler handler, void* context = nullptr) noexcept {
    detail::unobserved_receiver.context.store(context, std::memory_order_relaxed);
    detail::unobserved_receiver.handler.store(handler, std::memory_order_release);
#if defined(__cpp_exceptions)
    corodump_on_unobserved_v1(handler != nullptr ? &detail::pass_unobserved : nullptr,
                              &detail::unobserved_receiver);
#endif
}

#if defined(__cpp_exceptions)
/// The exception is dealt with, where corodump cannot see it: an unhandled_exception that passes it
/// to a callback, plain code that takes it out of a task and keeps the task.
inline void observed(const std::exception_ptr& exception) noexcept {
    corodump_observed_v1(nullptr, detail::address_of(exception));
}
/// In a handler: the one that is being handled.
inline void observed() noexcept {
    detail::note_observed(nullptr);
}
#endif

}  // namespace abi_v1
}  // namespace corodump
