// A coroutine library's style: synchronisation with the waiters linked through their awaiters.
#pragma once

#include <atomic>
#include <coroutine>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace synced {

/// Manual reset event.
class event {
public:
    class [[nodiscard]] awaiter {
    public:
        explicit awaiter(event& of) noexcept : of_(of) {}
        awaiter(const awaiter&) = delete;
        bool await_ready() const noexcept { return of_.is_set(); }
        bool await_suspend(std::coroutine_handle<> waiting) noexcept {
            waiting_ = waiting;
            const std::lock_guard lock(of_.mutex_);
            if (of_.set_) return false;
            next_ = std::exchange(of_.first_, this);
            return true;
        }
        void await_resume() const noexcept {}

    private:
        friend class event;
        event& of_;
        awaiter* next_ = nullptr;
        std::coroutine_handle<> waiting_;
    };

    event() = default;
    event(const event&) = delete;
    awaiter operator co_await() noexcept { return awaiter(*this); }
    bool is_set() const noexcept {
        const std::lock_guard lock(mutex_);
        return set_;
    }
    void set() {
        awaiter* waiting = nullptr;
        {
            const std::lock_guard lock(mutex_);
            set_ = true;
            waiting = std::exchange(first_, nullptr);
        }
        while (waiting != nullptr) {
            awaiter* const next = waiting->next_;
            waiting->waiting_.resume();
            waiting = next;
        }
    }

private:
    mutable std::mutex mutex_;
    bool set_ = false;
    awaiter* first_ = nullptr;
};

/// A lock for coroutines: first come, first served. The waiters' handles form the list.
class mutex {
public:
    class scoped_lock {
    public:
        explicit scoped_lock(mutex& of) noexcept : of_(&of) {}
        scoped_lock(scoped_lock&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
        ~scoped_lock() {
            if (of_ != nullptr) of_->unlock();
        }

    private:
        mutex* of_;
    };

    struct lock_operation {
        mutex& of;
        std::coroutine_handle<> waiting{};
        lock_operation* next = nullptr;
        std::coroutine_handle<> neighbour{};

        bool await_ready() noexcept { return !std::exchange(of.locked_, true); }
        void await_suspend(std::coroutine_handle<> h) noexcept {
            waiting = h;
            lock_operation** last = &of.first_;
            while (*last != nullptr) {
                neighbour = (*last)->waiting;
                last = &(*last)->next;
            }
            *last = this;
        }
        [[nodiscard]] scoped_lock await_resume() noexcept { return scoped_lock(of); }
    };

    lock_operation lock() noexcept { return {*this}; }
    void unlock() {
        if (first_ == nullptr) {
            locked_ = false;
            return;
        }
        lock_operation* const next = first_;
        first_ = next->next;
        next->waiting.resume();
    }

private:
    bool locked_ = false;
    lock_operation* first_ = nullptr;
};

/// Counts down in acquire(); a queue of the waiting operations.
class semaphore {
public:
    class acquire_operation {
    public:
        explicit acquire_operation(semaphore& of) noexcept : of_(of) {}
        bool await_ready() const noexcept { return of_.count_ > 0; }
        void await_suspend(std::coroutine_handle<> waiting) {
            waiting_ = waiting;
            of_.waiting_.push_back(this);
        }
        void await_resume() const noexcept { --of_.count_; }

    private:
        friend class semaphore;
        semaphore& of_;
        std::coroutine_handle<> waiting_;
    };

    explicit semaphore(int count) noexcept : count_(count) {}
    acquire_operation acquire() noexcept { return acquire_operation(*this); }
    void release() {
        ++count_;
        if (waiting_.empty()) return;
        acquire_operation* const next = waiting_.front();
        waiting_.pop_front();
        next->waiting_.resume();
    }

private:
    int count_;
    std::deque<acquire_operation*> waiting_;
};

/// One value at a time; senders and receivers wait for each other.
template <class T>
class channel {
public:
    struct receives {
        channel& of;
        std::coroutine_handle<> waiting{};
        std::optional<T> value{};
        receives(channel& from) noexcept : of(from) {}
        receives(const receives&) = delete;
        bool await_ready() {
            if (of.sender_ == nullptr) return false;
            value = std::move(of.sender_->value);
            std::exchange(of.sender_, nullptr)->waiting.resume();
            return true;
        }
        void await_suspend(std::coroutine_handle<> h) {
            waiting = h;
            of.receiver_ = this;
        }
        T await_resume() { return std::move(*value); }
    };
    struct sends {
        channel& of;
        T value;
        std::coroutine_handle<> waiting{};
        bool await_ready() {
            if (of.receiver_ == nullptr) return false;
            receives* const to = std::exchange(of.receiver_, nullptr);
            to->value = std::move(value);
            to->waiting.resume();
            return true;
        }
        void await_suspend(std::coroutine_handle<> h) {
            waiting = h;
            of.sender_ = this;
        }
        void await_resume() const noexcept {}
    };
    receives receive() noexcept { return receives(*this); }
    sends send(T value) { return {*this, std::move(value)}; }

private:
    sends* sender_ = nullptr;
    receives* receiver_ = nullptr;
};

}  // namespace synced
