// The least that a program of coroutines needs: a task nobody awaits, one that is awaited, a loop to
// resume them on, and a pool that says who holds it. What is corodump's is marked.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <corodump/agent.hpp>
#include <corodump/task.hpp>
#include <coroutine>
#include <deque>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

namespace example {

/// Starts at once and belongs to nobody.
struct detached {
    struct promise_type {
        detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept {}  // the mistake of many a program: nobody will know
    };
};

/// Starts when it is awaited.
class task {
public:
    struct promise_type {
        std::coroutine_handle<> caller = std::noop_coroutine();
        std::exception_ptr failure;
        task get_return_object() noexcept {
            return task(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        auto final_suspend() noexcept {
            struct back {
                bool await_ready() noexcept { return false; }
                std::coroutine_handle<> await_suspend(
                    std::coroutine_handle<promise_type> ended) noexcept {
                    return ended.promise().caller;
                }
                void await_resume() noexcept {}
            };
            return back{};
        }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { failure = std::current_exception(); }
    };

    task(task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ~task() {
        if (handle_) handle_.destroy();
    }
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) const noexcept {
        handle_.promise().caller = caller;
        return handle_;
    }
    void await_resume() const {
        if (handle_.promise().failure) std::rethrow_exception(handle_.promise().failure);
    }

private:
    explicit task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
    std::coroutine_handle<promise_type> handle_;
};

/// Resumes what is due. `co_await loop.after(10ms)`.
class loop {
    using clock = std::chrono::steady_clock;
    struct timer {
        clock::time_point due;
        std::coroutine_handle<> handle;
    };

public:
    struct sleep {
        loop& on;
        clock::time_point due;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> handle) const {
            on.timers_.push_back({due, handle});
        }
        void await_resume() const noexcept {}
        // corodump: what it waits for
        void describe(corodump::description& d) const noexcept {
            d.kind("timer");
            d.deadline(due);
        }
    };
    sleep after(std::chrono::milliseconds time) noexcept { return {*this, clock::now() + time}; }

    [[noreturn]] void run() {
        for (;;) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            for (std::size_t i = 0; i < timers_.size();) {
                if (timers_[i].due > clock::now()) {
                    ++i;
                    continue;
                }
                const std::coroutine_handle<> handle = timers_[i].handle;
                timers_.erase(timers_.begin() + static_cast<std::ptrdiff_t>(i));
                handle.resume();
            }
        }
    }

private:
    std::vector<timer> timers_;
};

/// A few of something, lent to whoever asks, first come, first served. A pool of one is a lock.
class pool {
public:
    pool(const char* kind, const char* name, std::uint32_t size)
        : resource_(kind, name, size), idle_(size) {}

    /// Gives back at the end of its life.
    class lease {
    public:
        explicit lease(pool& of) : of_(&of), token_(of.resource_) {}
        lease(lease&& other) noexcept
            : of_(std::exchange(other.of_, nullptr)), token_(std::move(other.token_)) {}
        ~lease() {
            if (of_ == nullptr) return;
            token_.release();
            of_->give_back();
        }

    private:
        pool* of_;
        corodump::holding token_;  // corodump: who holds it
    };

    struct acquiring {
        pool& of;
        bool await_ready() const noexcept {
            if (of.idle_ == 0) return false;
            --of.idle_;
            return true;
        }
        void await_suspend(std::coroutine_handle<> handle) const { of.waiting_.push_back(handle); }
        lease await_resume() const { return lease(of); }
        // corodump: what it waits for
        void describe(corodump::description& d) const noexcept { d.waits_for(of.resource_); }
    };
    acquiring acquire() noexcept { return {*this}; }

private:
    void give_back() {
        if (waiting_.empty()) {
            ++idle_;
            return;
        }
        const std::coroutine_handle<> next = waiting_.front();
        waiting_.pop_front();
        next.resume();
    }

    corodump::resource resource_;
    std::uint32_t idle_;
    std::deque<std::coroutine_handle<>> waiting_;
};

/// Tells whoever watches this example that it has come so far.
inline void ready() {
    static constexpr char line[] = "ready\n";
    if (write(STDOUT_FILENO, line, sizeof line - 1) < 0) std::terminate();
}

}  // namespace example
