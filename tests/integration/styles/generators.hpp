// A coroutine library's style: generators that yield by value, recursive ones, and asynchronous
// ones that await between their values.
#pragma once

#include <coroutine>
#include <exception>
#include <iterator>
#include <memory>
#include <utility>

namespace gen {

/// co_yield of values; the promise keeps the address of what was yielded.
template <class T>
class generator {
public:
    class promise_type {
    public:
        generator get_return_object() noexcept {
            return generator(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        constexpr std::suspend_always initial_suspend() const noexcept { return {}; }
        constexpr std::suspend_always final_suspend() const noexcept { return {}; }
        std::suspend_always yield_value(const T& value) noexcept {
            current_ = std::addressof(value);
            return {};
        }
        void await_transform(auto&&) = delete;
        void return_void() noexcept {}
        void unhandled_exception() { throw; }
        const T& value() const noexcept { return *current_; }

    private:
        const T* current_ = nullptr;
    };

    explicit generator(std::coroutine_handle<promise_type> h) noexcept : handle_(h) {}
    generator(generator&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ~generator() {
        if (handle_) handle_.destroy();
    }

    class iterator {
    public:
        explicit iterator(std::coroutine_handle<promise_type> h) : handle_(h) {}
        iterator& operator++() {
            handle_.resume();
            return *this;
        }
        const T& operator*() const { return handle_.promise().value(); }
        bool operator==(std::default_sentinel_t) const { return handle_.done(); }

    private:
        std::coroutine_handle<promise_type> handle_;
    };
    iterator begin() {
        handle_.resume();
        return iterator(handle_);
    }
    std::default_sentinel_t end() const noexcept { return {}; }

private:
    std::coroutine_handle<promise_type> handle_;
};

/// Yields its values and those of generators it yields, at any depth. yield_value is overloaded.
template <class T>
class recursive {
public:
    struct promise_type;
    using handle = std::coroutine_handle<promise_type>;

    struct nested {
        recursive inner;
        bool await_ready() const noexcept { return inner.handle_.done(); }
        handle await_suspend(handle outer) noexcept {
            promise_type& to = inner.handle_.promise();
            to.parent = &outer.promise();
            to.root = outer.promise().root;
            to.root->leaf = inner.handle_;
            return inner.handle_;
        }
        void await_resume() const noexcept {}
    };
    struct to_parent {
        bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(handle ended) const noexcept {
            promise_type& own = ended.promise();
            if (own.parent == nullptr) return std::noop_coroutine();
            own.root->leaf = handle::from_promise(*own.parent);
            return own.root->leaf;
        }
        void await_resume() const noexcept {}
    };
    struct promise_type {
        recursive get_return_object() { return recursive(handle::from_promise(*this)); }
        std::suspend_always initial_suspend() noexcept { return {}; }
        to_parent final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(T& value) noexcept {
            root->current = std::addressof(value);
            return {};
        }
        std::suspend_always yield_value(T&& value) noexcept {
            root->current = std::addressof(value);
            return {};
        }
        nested yield_value(recursive&& inner) noexcept { return nested{std::move(inner)}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }

        promise_type* parent = nullptr;
        promise_type* root = this;
        handle leaf = handle::from_promise(*this);
        T* current = nullptr;
    };

    explicit recursive(handle h) noexcept : handle_(h) {}
    recursive(recursive&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ~recursive() {
        if (handle_) handle_.destroy();
    }
    /// The next value, or null at the end.
    T* next() {
        handle_.promise().leaf.resume();
        return handle_.done() ? nullptr : handle_.promise().current;
    }

private:
    handle handle_;
};

/// Values that the consumer awaits, from a coroutine that awaits.
template <class T>
class async_generator {
public:
    class promise_type;
    using handle = std::coroutine_handle<promise_type>;

    /// Back to the consumer, with a value or at the end.
    struct to_consumer {
        bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(handle own) const noexcept {
            return own.promise().consumer_;
        }
        void await_resume() const noexcept {}
    };
    class promise_type {
    public:
        async_generator get_return_object() noexcept {
            return async_generator(handle::from_promise(*this));
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        to_consumer final_suspend() noexcept {
            value_ = nullptr;
            return {};
        }
        to_consumer yield_value(T value) noexcept(false) {
            stored_ = std::move(value);
            value_ = &stored_;
            return {};
        }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { error_ = std::current_exception(); }

    private:
        friend async_generator;
        friend to_consumer;
        std::coroutine_handle<> consumer_;
        T stored_{};
        T* value_ = nullptr;
        std::exception_ptr error_;
    };

    explicit async_generator(handle h) noexcept : handle_(h) {}
    async_generator(async_generator&& other) noexcept
        : handle_(std::exchange(other.handle_, nullptr)) {}
    ~async_generator() {
        if (handle_) handle_.destroy();
    }
    /// Awaits the next value: a pointer to it, null at the end.
    auto next() noexcept {
        struct awaiter {
            handle producer;
            bool await_ready() const noexcept { return producer.done(); }
            handle await_suspend(std::coroutine_handle<> consumer) const noexcept {
                producer.promise().consumer_ = consumer;
                return producer;
            }
            T* await_resume() const {
                if (producer.promise().error_) std::rethrow_exception(producer.promise().error_);
                return producer.promise().value_;
            }
        };
        return awaiter{handle_};
    }

private:
    handle handle_;
};

}  // namespace gen
