// A coroutine library's style: who waits is resumed through something between. A helper coroutine
// brings it back to its executor, callbacks complete the awaiter that lies in its frame, and
// results pass through a state: shared on the heap, or a receiver in the caller.
#pragma once

#include <coroutine>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace relayed {

/// Resumes all that wait, by hand.
class signal {
public:
    struct awaiter {
        signal& of;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> h) const { of.waiting_.push_back(h); }
        void await_resume() const noexcept {}
    };
    awaiter wait() noexcept { return {*this}; }
    void raise() {
        const auto all = std::exchange(waiting_, {});
        for (const auto h : all) h.resume();
    }

private:
    std::vector<std::coroutine_handle<>> waiting_;
};

class executor {
public:
    void post(std::coroutine_handle<> h) { queue_.push_back(h); }
    void run() {
        while (!queue_.empty()) {
            const auto next = queue_.front();
            queue_.pop_front();
            next.resume();
        }
    }

private:
    std::deque<std::coroutine_handle<>> queue_;
};

/// Is resumed in another's place, and posts that other to its executor.
class way_back {
public:
    struct promise_type {
        struct posts {
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<promise_type> h) const noexcept {
                h.promise().to->post(h.promise().traveller);
            }
            void await_resume() const noexcept {}
        };
        explicit promise_type(executor& e) noexcept : to(&e) {}
        way_back get_return_object() noexcept {
            return way_back(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        posts final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }

        executor* to;
        std::coroutine_handle<> traveller;
    };
    explicit way_back(std::coroutine_handle<promise_type> h) noexcept : own_(h) {}
    way_back(way_back&& other) noexcept : own_(std::exchange(other.own_, nullptr)) {}
    ~way_back() {
        if (own_) own_.destroy();
    }
    static way_back to(executor&) { co_return; }
    std::coroutine_handle<> in_place_of(std::coroutine_handle<> traveller) noexcept {
        own_.promise().traveller = traveller;
        return own_;
    }

private:
    std::coroutine_handle<promise_type> own_;
};

/// Keeps to its executor: what is awaited is given the way back, not the coroutine.
struct bound {
    struct promise_type;
    std::coroutine_handle<promise_type> owned;

    explicit bound(std::coroutine_handle<promise_type> h) noexcept : owned(h) {}
    bound(bound&& other) noexcept : owned(std::exchange(other.owned, nullptr)) {}
    ~bound() {
        if (owned) owned.destroy();
    }
};
struct bound::promise_type {
    template <class Awaiter>
    struct comes_back {
        Awaiter inner;
        way_back helper;
        bool await_ready() { return inner.await_ready(); }
        void await_suspend(std::coroutine_handle<> h) {
            inner.await_suspend(helper.in_place_of(h));
        }
        decltype(auto) await_resume() { return inner.await_resume(); }
    };
    explicit promise_type(executor& e) noexcept : own(&e) {}
    template <class... More>
    promise_type(executor& e, More&...) noexcept : own(&e) {}
    bound get_return_object() noexcept {
        return bound(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
    template <class Awaiter>
    comes_back<Awaiter> await_transform(Awaiter inner) {
        return {std::move(inner), way_back::to(*own)};
    }
    executor* own;
};

/// Runs by itself and tells a callback.
struct detached {
    struct promise_type {
        detached get_return_object() const noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }
    };
};
/// Waits for several signals: each has a coroutine whose argument is a callback, which refers here.
struct all_of {
    std::vector<signal*> signals;
    std::size_t left = 0;
    std::coroutine_handle<> waiting{};

    all_of(signal& one, signal& other) : signals{&one, &other} {}
    template <class Callback>
    static detached listen(signal& to, Callback tell);
    bool await_ready() const noexcept { return signals.empty(); }
    void await_suspend(std::coroutine_handle<> h);
    void await_resume() const noexcept {}
};

/// A result in a state on the heap, that producer and consumer share.
template <class T>
class future {
public:
    struct state {
        std::optional<T> value;
        std::coroutine_handle<> consumer;
    };
    struct promise_type {
        std::shared_ptr<state> shared = std::make_shared<state>();
        future get_return_object() const { return future(shared); }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        auto final_suspend() const noexcept {
            struct publishes {
                bool await_ready() const noexcept { return false; }
                bool await_suspend(std::coroutine_handle<promise_type> h) const noexcept {
                    const auto told = std::move(h.promise().shared);
                    if (told->consumer) told->consumer.resume();
                    return false;
                }
                void await_resume() const noexcept {}
            };
            return publishes{};
        }
        void return_value(T value) { shared->value = std::move(value); }
        void unhandled_exception() const noexcept { std::terminate(); }
    };
    struct awaiter {
        std::shared_ptr<state> shared;
        bool await_ready() const noexcept { return shared->value.has_value(); }
        void await_suspend(std::coroutine_handle<> h) const noexcept { shared->consumer = h; }
        T await_resume() const { return std::move(*shared->value); }
    };
    explicit future(std::shared_ptr<state> s) : shared_(std::move(s)) {}
    awaiter operator co_await() && { return {std::move(shared_)}; }
    T get() const { return *shared_->value; }

private:
    std::shared_ptr<state> shared_;
};

/// A result in a receiver that the caller owns: neither side has the other's handle.
template <class T>
class pledge {
public:
    struct promise_type;
    struct receiver {
        std::optional<T> value;
        std::coroutine_handle<> caller;
    };
    struct awaiter {
        receiver* from;
        bool await_ready() const noexcept { return from->value.has_value(); }
        void await_suspend(std::coroutine_handle<> h) const noexcept { from->caller = h; }
        T await_resume() const { return std::move(*from->value); }
    };
    explicit pledge(promise_type& by) noexcept { by.to = &receiver_; }
    pledge(const pledge&) = delete;
    awaiter operator co_await() noexcept { return {&receiver_}; }
    T get() const { return *receiver_.value; }

private:
    receiver receiver_;
};
template <class T>
struct pledge<T>::promise_type {
    receiver* to = nullptr;
    pledge get_return_object() noexcept { return pledge(*this); }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
        struct tells {
            bool await_ready() const noexcept { return false; }
            bool await_suspend(std::coroutine_handle<promise_type> h) const noexcept {
                if (const auto caller = h.promise().to->caller) caller.resume();
                return false;
            }
            void await_resume() const noexcept {}
        };
        return tells{};
    }
    void return_value(T value) { to->value = std::move(value); }
    void unhandled_exception() const noexcept { std::terminate(); }
};

/// Resumes nobody, until told whom.
struct waits_with_noop {
    std::coroutine_handle<> next = std::noop_coroutine();
    inline static std::coroutine_handle<> parked;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) const noexcept { parked = h; }
    void await_resume() const noexcept {}
};

// The callback's coroutine is a library's too: it stands below, where its types are complete.
template <class Callback>
detached all_of::listen(signal& to, Callback tell) {
    co_await to.wait();
    tell();
}
inline void all_of::await_suspend(std::coroutine_handle<> h) {
    waiting = h;
    left = signals.size();
    for (signal* const one : signals)
        listen(*one, [this] {
            if (--left == 0) waiting.resume();
        });
}

}  // namespace relayed
