// A coroutine library's style: joins. The same idea four ways, as libraries differ in where the
// counter lies: in the awaiter with the tasks, in the awaiter with helper coroutines that point to
// it, on the heap, and in a scope object that is a local of the caller's.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "lazy_task.hpp"

namespace joins {

// --- helper coroutines whose promise points to the counter in the awaiter

class counter {
public:
    explicit counter(std::size_t children) noexcept : left_(children + 1) {}
    bool await_caller(std::coroutine_handle<> caller) noexcept {
        caller_ = caller;
        return left_.fetch_sub(1, std::memory_order_acq_rel) > 1;
    }
    void one_ended() noexcept {
        if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) caller_.resume();
    }

private:
    std::atomic<std::size_t> left_;
    std::coroutine_handle<> caller_;
};

template <class T>
class child {
public:
    struct promise_type {
        child get_return_object() noexcept {
            return child(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        auto final_suspend() const noexcept {
            struct notifies {
                bool await_ready() const noexcept { return false; }
                void await_suspend(std::coroutine_handle<promise_type> ended) const noexcept {
                    ended.promise().counted->one_ended();
                }
                void await_resume() const noexcept {}
            };
            return notifies{};
        }
        auto yield_value(T&& value) noexcept {
            result = std::addressof(value);
            return final_suspend();
        }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { error = std::current_exception(); }

        counter* counted = nullptr;
        T* result = nullptr;
        std::exception_ptr error;
    };

    explicit child(std::coroutine_handle<promise_type> h) noexcept : handle_(h) {}
    child(child&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ~child() {
        if (handle_) handle_.destroy();
    }
    void start(counter& counted) {
        handle_.promise().counted = &counted;
        handle_.resume();
    }
    T result() {
        if (handle_.promise().error) std::rethrow_exception(handle_.promise().error);
        return std::move(*handle_.promise().result);
    }

private:
    std::coroutine_handle<promise_type> handle_;
};

template <class T>
child<T> make_child(lazy::task<T> awaited) {
    co_yield co_await std::move(awaited);
}

template <class... T>
class when_all_ready {
public:
    explicit when_all_ready(child<T>... children) noexcept
        : counter_(sizeof...(T)), children_(std::move(children)...) {}
    when_all_ready(when_all_ready&& other) noexcept
        : counter_(sizeof...(T)), children_(std::move(other.children_)) {}

    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> caller) noexcept {
        std::apply([this](auto&... each) { (each.start(counter_), ...); }, children_);
        return counter_.await_caller(caller);
    }
    std::tuple<T...> await_resume() {
        return std::apply([](auto&... each) { return std::tuple<T...>(each.result()...); },
                          children_);
    }

private:
    counter counter_;
    std::tuple<child<T>...> children_;
};

template <class... T>
when_all_ready<T...> when_all(lazy::task<T>... tasks) {
    return when_all_ready<T...>(make_child(std::move(tasks))...);
}

// --- a vector of tasks; the helper's promise has the counter's address, the awaiter only refers

template <class T>
class when_all_of {
public:
    explicit when_all_of(std::vector<lazy::task<T>> tasks) : counter_(tasks.size()) {
        for (auto& task : tasks) children_.push_back(make_child(std::move(task)));
    }
    auto operator co_await() & noexcept {
        struct awaiter {
            when_all_of& of;
            bool await_ready() const noexcept { return false; }
            bool await_suspend(std::coroutine_handle<> caller) noexcept {
                for (auto& each : of.children_) each.start(of.counter_);
                return of.counter_.await_caller(caller);
            }
            std::vector<T> await_resume() {
                std::vector<T> results;
                for (auto& each : of.children_) results.push_back(each.result());
                return results;
            }
        };
        return awaiter{*this};
    }

private:
    counter counter_;
    std::vector<child<T>> children_;
};

// --- detached helpers with shared state on the heap: the first to end wins

struct runs_alone {
    struct promise_type {
        runs_alone get_return_object() const noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }
    };
};

template <class T>
struct race_state {
    std::atomic<bool> decided{false};
    std::optional<T> value;
    std::coroutine_handle<> caller;
};

template <class T>
runs_alone race_in(std::shared_ptr<race_state<T>> state, lazy::task<T> runner) {
    T value = co_await std::move(runner);
    if (state->decided.exchange(true)) co_return;
    state->value.emplace(std::move(value));
    state->caller.resume();
}

template <class T>
class when_any {
public:
    template <class... Tasks>
    explicit when_any(Tasks... tasks) {
        (tasks_.push_back(std::move(tasks)), ...);
    }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> caller) {
        const auto state = state_;
        state->caller = caller;
        auto tasks = std::move(tasks_);
        for (auto& each : tasks) race_in(state, std::move(each));
    }
    T await_resume() { return std::move(*state_->value); }

private:
    std::shared_ptr<race_state<T>> state_ = std::make_shared<race_state<T>>();
    std::vector<lazy::task<T>> tasks_;
};

// --- the same counter on the heap, shared by the helpers' promises

struct shared_count {
    std::atomic<std::size_t> left{1};
    std::coroutine_handle<> caller;
    void one_ended() {
        if (left.fetch_sub(1) == 1) caller.resume();
    }
};

struct counted {
    struct promise_type {
        counted get_return_object() noexcept {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        auto final_suspend() const noexcept {
            struct notifies {
                bool await_ready() const noexcept { return false; }
                void await_suspend(std::coroutine_handle<promise_type> ended) const noexcept {
                    const auto shared = std::move(ended.promise().count);
                    ended.destroy();
                    shared->one_ended();
                }
                void await_resume() const noexcept {}
            };
            return notifies{};
        }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }
        std::shared_ptr<shared_count> count;
    };
    std::coroutine_handle<promise_type> handle;
};

inline counted run_counted(lazy::task<> work) {
    co_await std::move(work);
}

/// Starts tasks as they come, awaits all of them.
class barrier {
public:
    void add(lazy::task<> work) {
        const counted helper = run_counted(std::move(work));
        helper.handle.promise().count = count_;
        ++count_->left;
        helper.handle.resume();
    }
    bool await_ready() const noexcept { return count_->left == 1; }
    void await_suspend(std::coroutine_handle<> caller) {
        count_->caller = caller;
        count_->one_ended();
    }
    void await_resume() const noexcept {}

private:
    std::shared_ptr<shared_count> count_ = std::make_shared<shared_count>();
};

// --- a scope: what is spawned into it is awaited by its join

class async_scope {
public:
    async_scope() = default;
    async_scope(const async_scope&) = delete;
    void spawn(lazy::task<void> work) { run(*this, std::move(work)); }
    auto join() noexcept {
        struct awaiter {
            async_scope* scope;
            bool await_ready() const noexcept { return scope->running_ == 0; }
            void await_suspend(std::coroutine_handle<> caller) const noexcept {
                scope->joining_ = caller;
            }
            void await_resume() const noexcept {}
        };
        return awaiter{this};
    }

private:
    static runs_alone run(async_scope& scope, lazy::task<void> work) {
        ++scope.running_;
        co_await std::move(work);
        if (--scope.running_ == 0 && scope.joining_) scope.joining_.resume();
    }
    std::size_t running_ = 0;
    std::coroutine_handle<> joining_;
};

}  // namespace joins
