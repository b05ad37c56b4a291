// A coroutine library's style: std::coroutine_traits of its own, for its types and for types that
// it does not own.
#pragma once

#include <concepts>
#include <coroutine>
#include <future>
#include <memory>
#include <utility>

namespace traits {

struct parked {
    inline static std::coroutine_handle<> handle;
    static void resume() { std::exchange(handle, nullptr).resume(); }
};
struct park {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) const noexcept { parked::handle = h; }
    void await_resume() const noexcept {}
};

/// A handle to a result, without a word of coroutines in it.
template <class T>
struct box {
    std::shared_ptr<T> value = std::make_shared<T>();
};
template <class T>
struct box_promise {
    box<T> result;
    box<T> get_return_object() { return result; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_value(T v) { *result.value = std::move(v); }
    void unhandled_exception() noexcept { std::terminate(); }
};

/// All classes that are marked, generically.
struct marked {};
struct ticket : marked {
    int* number = nullptr;
};
struct other_ticket : marked {
    int* number = nullptr;
    long more = 0;
};
template <class Return>
struct marked_promise {
    int number = 0;
    Return get_return_object() {
        Return made;
        made.number = &number;
        return made;
    }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
};

/// Its promise is its own secret.
class secretive {
    struct promise;
    template <class, class...>
    friend struct std::coroutine_traits;
};
struct secretive::promise {
    secretive get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept {}
};

/// Asks the traits for its handle, as libraries do that have their promise outside.
struct asks {
    struct promise_type;
    using handle = std::coroutine_handle<std::coroutine_traits<asks>::promise_type>;
    static_assert(std::same_as<std::coroutine_traits<asks>::promise_type, promise_type>);
    handle owned;
};
struct asks::promise_type {
    int steps = 0;
    asks get_return_object() noexcept { return {handle::from_promise(*this)}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept {}
};

}  // namespace traits

template <class T, class... Arguments>
struct std::coroutine_traits<traits::box<T>, Arguments...> {
    using promise_type = traits::box_promise<T>;
};

template <class Return, class... Arguments>
    requires std::derived_from<Return, traits::marked>
struct std::coroutine_traits<Return, Arguments...> {
    using promise_type = traits::marked_promise<Return>;
};

template <>
struct std::coroutine_traits<traits::secretive> {
    using promise_type = traits::secretive::promise;
};

/// Only for functions whose first parameter says so: those that return nothing are coroutines too.
template <class... Arguments>
struct std::coroutine_traits<void, traits::marked, Arguments...> {
    struct promise_type {
        void get_return_object() noexcept {}
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept {}
    };
};

template <class T, class... Arguments>
    requires(!std::is_void_v<T> && !std::is_reference_v<T>)
struct std::coroutine_traits<std::future<T>, Arguments...> {
    struct promise_type : std::promise<T> {
        std::future<T> get_return_object() noexcept { return this->get_future(); }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_value(const T& value) noexcept(std::is_nothrow_copy_constructible_v<T>) {
            this->set_value(value);
        }
        void unhandled_exception() noexcept { this->set_exception(std::current_exception()); }
    };
};
