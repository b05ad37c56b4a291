// A coroutine library's style: lazy tasks, symmetric transfer, the caller's handle in the promise,
// and promises that are final.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace lazy {

template <class T = void>
class task;

namespace detail {

template <class Promise>
class final_awaiter {
public:
    constexpr bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
        return ended.promise().continuation;
    }
    void await_resume() const noexcept {}
};

template <class T>
class promise;

template <class T>
class promise final {
public:
    task<T> get_return_object() noexcept;
    std::suspend_always initial_suspend() const noexcept { return {}; }
    final_awaiter<promise> final_suspend() const noexcept { return {}; }
    void unhandled_exception() noexcept { error = std::current_exception(); }
    template <std::convertible_to<T> V>
    void return_value(V&& returned) {
        value.emplace(std::forward<V>(returned));
    }

    std::optional<T> value;
    std::exception_ptr error;
    std::coroutine_handle<> continuation = std::noop_coroutine();
};

template <class T>
class promise<T&> final {
public:
    task<T&> get_return_object() noexcept;
    std::suspend_always initial_suspend() const noexcept { return {}; }
    final_awaiter<promise> final_suspend() const noexcept { return {}; }
    void unhandled_exception() noexcept { error = std::current_exception(); }
    void return_value(T& returned) noexcept { value = &returned; }

    T* value = nullptr;
    std::exception_ptr error;
    std::coroutine_handle<> continuation = std::noop_coroutine();
};

template <>
class promise<void> final {
public:
    inline task<void> get_return_object() noexcept;
    std::suspend_always initial_suspend() const noexcept { return {}; }
    final_awaiter<promise> final_suspend() const noexcept { return {}; }
    void unhandled_exception() noexcept { error = std::current_exception(); }
    void return_void() const noexcept {}

    std::exception_ptr error;
    std::coroutine_handle<> continuation = std::noop_coroutine();
};

static_assert(noexcept(std::declval<promise<int>&>().final_suspend()));

}  // namespace detail

template <class T>
class [[nodiscard]] task {
public:
    using promise_type = detail::promise<T>;
    using handle_type = std::coroutine_handle<promise_type>;

    explicit task(handle_type owned) noexcept : owned_(owned) {}
    task(task&& other) noexcept : owned_(std::exchange(other.owned_, nullptr)) {}
    task& operator=(task&& other) noexcept {
        std::swap(owned_, other.owned_);
        return *this;
    }
    ~task() {
        if (owned_) owned_.destroy();
    }

    auto operator co_await() && noexcept {
        struct [[nodiscard]] awaiter {
            handle_type child;
            bool await_ready() const noexcept { return !child || child.done(); }
            handle_type await_suspend(std::coroutine_handle<> caller) const noexcept {
                child.promise().continuation = caller;
                return child;
            }
            T await_resume() const {
                if (child.promise().error) std::rethrow_exception(child.promise().error);
                if constexpr (std::is_reference_v<T>)
                    return *child.promise().value;
                else if constexpr (!std::is_void_v<T>)
                    return *std::move(child.promise().value);
            }
        };
        return awaiter{owned_};
    }

    void start() { owned_.resume(); }
    [[nodiscard]] bool done() const noexcept { return owned_.done(); }
    [[nodiscard]] handle_type handle() const noexcept { return owned_; }
    T result() {
        if (owned_.promise().error) std::rethrow_exception(owned_.promise().error);
        if constexpr (std::is_reference_v<T>)
            return *owned_.promise().value;
        else if constexpr (!std::is_void_v<T>)
            return *std::move(owned_.promise().value);
    }

private:
    handle_type owned_;
};

namespace detail {
template <class T>
task<T> promise<T>::get_return_object() noexcept {
    return task<T>{std::coroutine_handle<promise>::from_promise(*this)};
}
template <class T>
task<T&> promise<T&>::get_return_object() noexcept {
    return task<T&>{std::coroutine_handle<promise>::from_promise(*this)};
}
inline task<void> promise<void>::get_return_object() noexcept {
    return task<void>{std::coroutine_handle<promise>::from_promise(*this)};
}
}  // namespace detail

}  // namespace lazy
