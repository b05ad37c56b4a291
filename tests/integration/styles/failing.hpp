// Coroutine types by what they do with an exception: keep it for whoever awaits or asks, swallow
// it, hand it to a future, throw it on.
#pragma once

#include <coroutine>
#include <exception>
#include <future>
#include <utility>

namespace failing {

/// Lazy, kept, awaited or asked.
struct task {
    struct promise_type {
        std::coroutine_handle<> caller = std::noop_coroutine();
        std::exception_ptr error;

        task get_return_object() {
            return task{std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        struct ends {
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
                return h.promise().caller;
            }
            void await_resume() noexcept {}
        };
        ends final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { error = std::current_exception(); }
    };

    explicit task(std::coroutine_handle<promise_type> h) : handle(h) {}
    task(task&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
    ~task() {
        if (handle) handle.destroy();
    }
    void run() { handle.resume(); }
    void ask() {
        if (handle.promise().error) std::rethrow_exception(handle.promise().error);
    }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
        handle.promise().caller = caller;
        return handle;
    }
    void await_resume() { ask(); }

    std::coroutine_handle<promise_type> handle;
};

/// Fire and forget.
struct detached {
    struct promise_type {
        detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept {}
    };
};

/// The exception goes to the future's state, the frame is gone at once.
struct to_future {
    struct promise_type {
        std::promise<void> result;
        std::future<void> get_return_object() { return result.get_future(); }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() { result.set_value(); }
        void unhandled_exception() { result.set_exception(std::current_exception()); }
    };
};

/// Out of the resume() that ran it.
struct thrower {
    struct promise_type {
        thrower get_return_object() {
            return thrower{std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() { throw; }
    };
    explicit thrower(std::coroutine_handle<promise_type> h) : handle(h) {}
    thrower(thrower&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
    ~thrower() {
        if (handle) handle.destroy();
    }
    std::coroutine_handle<promise_type> handle;
};

}  // namespace failing

template <class... A>
struct std::coroutine_traits<std::future<void>, A...> {
    using promise_type = failing::to_future::promise_type;
};
