// A coroutine library's style: tasks that run at once, up to their first suspension; some are kept,
// some are forgotten.
#pragma once

#include <coroutine>
#include <exception>
#include <utility>

namespace eager {

struct forgotten {
    struct promise_type {
        constexpr forgotten get_return_object() const noexcept { return {}; }
        constexpr std::suspend_never initial_suspend() const noexcept { return {}; }
        constexpr std::suspend_never final_suspend() const noexcept { return {}; }
        constexpr void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }
    };
};

class task {
public:
    class promise_type {
    public:
        task get_return_object() { return task(*this); }
        std::suspend_never initial_suspend() noexcept { return {}; }
        struct ends {
            bool await_ready() noexcept { return false; }
            template <class P>
                requires std::is_same_v<P, promise_type>
            std::coroutine_handle<> await_suspend(std::coroutine_handle<P> h) noexcept {
                if (h.promise().waiting_) return h.promise().waiting_;
                return std::noop_coroutine();
            }
            void await_resume() noexcept {}
        };
        ends final_suspend() noexcept { return {}; }
        void return_value(int n) noexcept { value_ = n; }
        void unhandled_exception() { std::terminate(); }

    private:
        friend class task;
        std::coroutine_handle<> waiting_;
        int value_ = 0;
    };

    task(task&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)) {}
    ~task() {
        if (promise_ != nullptr) handle().destroy();
    }
    // The task is its own awaiter, and keeps the promise's address, no handle.
    bool await_ready() const noexcept { return handle().done(); }
    void await_suspend(std::coroutine_handle<> caller) noexcept { promise_->waiting_ = caller; }
    int await_resume() const noexcept { return promise_->value_; }
    int value() const noexcept { return promise_->value_; }
    bool done() const noexcept { return handle().done(); }

private:
    explicit task(promise_type& of) noexcept : promise_(&of) {}
    std::coroutine_handle<promise_type> handle() const noexcept {
        return std::coroutine_handle<promise_type>::from_promise(*promise_);
    }
    promise_type* promise_;
};

}  // namespace eager
