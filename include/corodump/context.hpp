// Context variables: values that belong to a task, not to a thread.
//
//     const corodump::context_variable<std::string> request_id("request_id");   // namespace scope
//
//     auto bound = request_id.bind(id);      // in this coroutine while in scope,
//     co_await handle(request);              // in all that it awaits,
//     spawn(audit(request));                 // and in all that it creates from here on
//
// A coroutine has what was bound when it was created; one that is awaited has what the coroutine
// that awaits it has bound. What it binds itself is its own: whoever awaits it does not see it. It
// follows the coroutine across threads. Outside of tracked coroutines a thread has a context of its
// own, for what main() binds before it spawns.
//
// In a dump the variables are `labels` of the task; spdlog.hpp puts them into log lines.
//
// Threads: the thread that runs the coroutine. Signals: unsafe. Blocks: binding takes a lock for a
// few instructions. Errors: where there is no memory a variable stays as it was.
// Bounds: 64 bindings in one coroutine; as labels, names of 31 bytes and values of 95.
#pragma once

#include <charconv>
#include <concepts>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "detail/context_abi.hpp"
#include "detail/values.hpp"

namespace corodump {
inline namespace abi_v1 {

namespace detail {

template <class T>
concept context_text_by_adl = requires(const T& value) {
    { to_string(value) } -> std::convertible_to<std::string>;
};
template <class T>
concept context_shown = kind_of<T>() != value_kind::none || std::is_pointer_v<T> ||
                        context_text_by_adl<T> || std::is_convertible_v<const T&, std::string_view>;

/// Calls `use(kind, text)` with what a dump and a log line show of the value.
template <class T, class Use>
void with_context_text(const T& value, Use use) {
    char buffer[48];
    const auto print = [&](value_kind kind, auto number) {
        const char* const end = std::to_chars(buffer, std::end(buffer), number).ptr;
        use(kind, std::string_view(buffer, static_cast<std::size_t>(end - buffer)));
    };
    if constexpr (std::is_convertible_v<const T&, std::string_view>) {
        if constexpr (std::is_pointer_v<T>)
            use(value_kind::text, value == nullptr ? std::string_view() : std::string_view(value));
        else
            use(value_kind::text, static_cast<std::string_view>(value));
    } else if constexpr (context_text_by_adl<T> && std::is_class_v<T>) {
        const std::string text = to_string(value);
        use(value_kind::text, std::string_view(text));
    } else if constexpr (std::is_same_v<T, bool>) {
        use(value_kind::boolean, std::string_view(value ? "true" : "false"));
    } else if constexpr (std::is_same_v<T, char>) {
        use(value_kind::text, std::string_view(&value, 1));
    } else if constexpr (std::is_floating_point_v<T>) {
        print(value_kind::floating, static_cast<double>(value));
    } else if constexpr (std::is_enum_v<T> && context_text_by_adl<T>) {
        const std::string text = to_string(value);
        use(value_kind::text, std::string_view(text));
    } else if constexpr (kind_of<T>() == value_kind::signed_integer) {
        print(value_kind::signed_integer, static_cast<long long>(value));
    } else if constexpr (kind_of<T>() == value_kind::unsigned_integer) {
        print(value_kind::unsigned_integer, static_cast<unsigned long long>(value));
    } else {
        const auto address = reinterpret_cast<std::uintptr_t>(value);
        const char* const end = std::to_chars(buffer, std::end(buffer), address, 16).ptr;
        use(value_kind::text, std::string_view(buffer, static_cast<std::size_t>(end - buffer)));
    }
}

}  // namespace detail

/// Unbinds at the end of its scope, in the coroutine it was made in, in whatever order scopes end.
/// Outside of coroutines: on the thread it was made on, no other.
class [[nodiscard]] context_binding {
public:
    context_binding(const context_binding&) = delete;
    context_binding& operator=(const context_binding&) = delete;
    ~context_binding() { corodump_context_unbind_v1(&scope_); }

private:
    template <class T>
    friend class context_variable;
    explicit context_binding(const detail::context_value& what) noexcept {
        corodump_context_bind_v1(&what, &scope_);
    }
    detail::context_scope scope_{};
};

/// Of static storage, in an image that stays loaded while anything is bound. `T` is a number, enum,
/// pointer or string, or has a to_string(value) found by argument-dependent lookup; its text is
/// taken when it is bound. A T may be destroyed on any thread that ran a task which saw it.
template <class T>
class context_variable {
    static_assert(std::is_object_v<T> && !std::is_const_v<T> && !std::is_array_v<T>);
    static_assert(
        detail::context_shown<T>,
        "a context variable needs a number, enum, pointer, string, or a to_string(value)");

public:
    /// `name`: static text, the label's and log field's.
    explicit constexpr context_variable(const char* name) noexcept : name_(name) {}
    context_variable(const context_variable&) = delete;
    context_variable& operator=(const context_variable&) = delete;

    /// nullptr: not bound. Valid until the variable is bound anew here, or what bound it ends.
    [[nodiscard]] const T* get() const noexcept {
        return static_cast<const T*>(corodump_context_find_v1(this));
    }
    [[nodiscard]] T value_or(T otherwise) const {
        const T* const value = get();
        return value == nullptr ? std::move(otherwise) : *value;
    }
    /// From here until the coroutine ends; in the innermost scope, where there is one, until that
    /// does.
    void set(T value) const {
        make(std::move(value),
             [](const detail::context_value& what) { corodump_context_bind_v1(&what, nullptr); });
    }
    /// While what is returned is in scope.
    [[nodiscard]] context_binding bind(T value) const {
        return make(std::move(value),
                    [](const detail::context_value& what) { return context_binding(what); });
    }
    [[nodiscard]] constexpr std::string_view name() const noexcept { return name_; }

private:
    /// The text first: where it throws, nothing is bound.
    template <class Bind>
    auto make(T value, Bind bind) const {
        std::string kept;
        detail::value_kind kind = detail::value_kind::text;
        detail::with_context_text(value, [&](detail::value_kind k, std::string_view text) {
            kind = k;
            kept.assign(text.substr(0, 128));
        });
        T* const held = new T(std::move(value));
        return bind(detail::context_value{sizeof(detail::context_value), kind, this, name_,
                                          std::strlen(name_), kept.data(), kept.size(), held,
                                          [](void* one) noexcept { delete static_cast<T*>(one); }});
    }

    const char* name_;
};

}  // namespace abi_v1
}  // namespace corodump
