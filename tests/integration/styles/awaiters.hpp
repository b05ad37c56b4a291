// A coroutine library's style: awaiters of every form the language allows, and a promise that
// transforms some operands, passes others and refuses some.
#pragma once

#include <chrono>
#include <coroutine>
#include <exception>
#include <source_location>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

namespace forms {

/// What suspends here is resumed by hand.
class parking {
public:
    void park(std::coroutine_handle<> h) { parked_.push_back(h); }
    bool resume_one() {
        if (parked_.empty()) return false;
        const auto next = parked_.back();
        parked_.pop_back();
        next.resume();
        return true;
    }
    std::size_t size() const { return parked_.size(); }

private:
    std::vector<std::coroutine_handle<>> parked_;
};
inline parking lot;

/// Neither copied nor moved; says where it lies.
struct pinned {
    int value;
    const pinned* self = this;
    explicit pinned(int v) : value(v) {}
    pinned(const pinned&) = delete;
    pinned& operator=(const pinned&) = delete;
    constexpr bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) const { lot.park(h); }
    int await_resume() const {
        if (self != this) throw std::logic_error("was moved");
        return value;
    }
};
struct [[nodiscard]] aggregate {
    int first, second;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> h) { lot.park(h); }
    int await_resume() { return first + second; }
};
struct by_reference {
    int& to;
    bool await_ready() { return false; }
    bool await_suspend(std::coroutine_handle<> h) {
        lot.park(h);
        return true;
    }
    int& await_resume() { return to; }
};
struct says_no {
    bool await_ready() { return false; }
    bool await_suspend(std::coroutine_handle<>) { return false; }
    int await_resume() { return 9; }
};
struct transfers_to_itself {
    bool await_ready() { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> h) { return h; }
    void await_resume() {}
};
struct throws_in {
    enum where { ready, suspend, resume } in;
    bool await_ready() {
        if (in == ready) throw std::runtime_error("ready");
        return in == resume;
    }
    void await_suspend(std::coroutine_handle<>) { throw std::runtime_error("suspend"); }
    void await_resume() { throw std::runtime_error("resume"); }
};
/// Not bool, but converts to it.
struct convertible_ready {
    struct answer {
        explicit operator bool() const { return false; }
    };
    answer await_ready() { return {}; }
    void await_suspend(std::coroutine_handle<> h) { lot.park(h); }
    void await_resume() {}
};

struct member_operator {
    int value;
    pinned operator co_await() const& = delete;
    pinned operator co_await() && { return pinned(value); }
};
struct free_operator {
    int value;
};
inline pinned operator co_await(free_operator f) {
    return pinned(f.value);
}
/// Its operator gives a reference to an awaiter that lives elsewhere.
struct refers_elsewhere {
    pinned& to;
    pinned& operator co_await() const noexcept { return to; }
};

template <class T>
struct task {
    class promise_type;
    using handle = std::coroutine_handle<promise_type>;
    handle owned;

    explicit task(handle h) : owned(h) {}
    task(task&& other) noexcept : owned(std::exchange(other.owned, nullptr)) {}
    ~task() {
        if (owned) owned.destroy();
    }
    T result() {
        if (owned.promise().error) std::rethrow_exception(owned.promise().error);
        return owned.promise().value;
    }
    bool done() const { return owned.done(); }
};

template <class T>
class task<T>::promise_type {
public:
    // Only this handle type, and only the promise itself, will do.
    struct starts {
        bool await_ready() noexcept { return false; }
        bool await_suspend(std::coroutine_handle<promise_type> h) noexcept {
            h.promise().seen = h;
            return false;
        }
        void await_resume() noexcept {}
    };
    struct ends {
        constexpr bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<promise_type> h) const noexcept {
            h.promise().ended_as_itself = h == h.promise().seen;
        }
        constexpr void await_resume() const noexcept {}
    };
    task get_return_object() { return task(handle::from_promise(*this)); }
    starts initial_suspend() { return {}; }
    ends final_suspend() noexcept { return {}; }
    void return_value(T v) { value = v; }
    void unhandled_exception() { error = std::current_exception(); }

    handle seen;
    bool ended_as_itself = false;
    T value{};
    std::exception_ptr error;
};

/// Overloads: by value, by reference, deleted, and with a place of its own.
struct picky {
    struct promise_type;
    using handle = std::coroutine_handle<promise_type>;
    handle owned;

    struct asks_line {};
    struct answer {
        int line;
        bool await_ready() const noexcept { return true; }
        void await_suspend(std::coroutine_handle<>) const noexcept {}
        int await_resume() const noexcept { return line; }
    };
    struct needs_conversion {
        int value;
        pinned operator co_await() && { return pinned(value + 100); }
    };
    struct promise_type {
        int result = 0;
        int transformed = 0;

        picky get_return_object() { return {handle::from_promise(*this)}; }
        std::suspend_never initial_suspend() { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_value(int v) { result = v; }
        void unhandled_exception() { std::terminate(); }

        answer await_transform(
            asks_line, std::source_location where = std::source_location::current()) noexcept {
            return {static_cast<int>(where.line())};
        }
        needs_conversion await_transform(std::chrono::milliseconds wait) {
            ++transformed;
            return {static_cast<int>(wait.count())};
        }
        pinned await_transform(int value) {
            ++transformed;
            return pinned(value);
        }
        pinned& await_transform(pinned& same) {
            ++transformed;
            return same;
        }
        template <class E>
            requires std::is_class_v<std::remove_cvref_t<E>>
        E&& await_transform(E&& passed) noexcept {
            return std::forward<E>(passed);
        }
        void await_transform(std::suspend_always) = delete;
    };
};

/// The same in a promise that is final, where one template does all.
struct picky_final {
    struct promise_type final {
        int transformed = 0;
        int result = 0;
        picky_final get_return_object() {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_never initial_suspend() { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_value(std::pair<int, int> both) { result = both.first + both.second; }
        void unhandled_exception() { std::terminate(); }
        decltype(auto) await_transform(auto&& passed) {
            ++transformed;
            return std::forward<decltype(passed)>(passed);
        }
    };
    std::coroutine_handle<promise_type> owned;
};

}  // namespace forms

/// Of the application's: for a type of std's, where no argument-dependent lookup leads.
inline forms::pinned operator co_await(std::chrono::microseconds wait) {
    return forms::pinned(static_cast<int>(wait.count()));
}
