// A coroutine library's style: tasks that end through cleanup coroutines. What was pushed is
// awaited when the task has ended, last first, before its caller goes on.
#pragma once

#include <coroutine>
#include <exception>
#include <utility>

namespace cleanup {

class task {
public:
    struct promise_type;
    using handle = std::coroutine_handle<promise_type>;

    struct ends {
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(handle ended) noexcept;
        void await_resume() noexcept {}
    };
    struct promise_type {
        task get_return_object() noexcept { return task(handle::from_promise(*this)); }
        std::suspend_always initial_suspend() noexcept { return {}; }
        ends final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { error = std::current_exception(); }

        std::coroutine_handle<> caller;
        handle first_cleanup;  ///< to run when this one has ended
        handle next_cleanup;   ///< behind this one, in its owner's list
        handle owner;          ///< whose cleanup this is
        std::exception_ptr error;
    };

    explicit task(handle h) noexcept : handle_(h) {}
    task(task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ~task() {
        if (handle_) handle_.destroy();
    }
    handle release() noexcept { return std::exchange(handle_, nullptr); }
    void start() { handle_.resume(); }
    bool done() const noexcept { return handle_.done(); }

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    handle await_suspend(std::coroutine_handle<Promise> caller) noexcept {
        handle_.promise().caller = caller;
        return handle_;
    }
    void await_resume() const {
        if (handle_.promise().error) std::rethrow_exception(handle_.promise().error);
    }

private:
    handle handle_;
};

inline std::coroutine_handle<> next_after(task::handle ended) noexcept {
    task::promise_type& own = ended.promise();
    if (const task::handle first = own.first_cleanup) {
        own.first_cleanup = first.promise().next_cleanup;
        return first;
    }
    return own.caller ? own.caller : std::noop_coroutine();
}

inline std::coroutine_handle<> task::ends::await_suspend(handle ended) noexcept {
    const handle owner = ended.promise().owner;
    if (!owner) return next_after(ended);
    ended.destroy();
    return next_after(owner);
}

/// co_await at_exit(coroutine): runs it when the awaiting task has ended.
struct at_exit {
    task cleanup;
    explicit at_exit(task c) noexcept : cleanup(std::move(c)) {}
    bool await_ready() const noexcept { return false; }
    bool await_suspend(task::handle owner) noexcept {
        const task::handle added = cleanup.release();
        added.promise().owner = owner;
        added.promise().next_cleanup = owner.promise().first_cleanup;
        owner.promise().first_cleanup = added;
        return false;
    }
    void await_resume() const noexcept {}
};

}  // namespace cleanup
