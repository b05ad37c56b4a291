// A coroutine library's style: promises that say where their frames lie.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <utility>

namespace places {

struct counts {
    inline static int made = 0;
    inline static int freed = 0;
    inline static bool refuse = false;
};

struct park {
    inline static std::coroutine_handle<> parked;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) const noexcept { parked = h; }
    void await_resume() const noexcept {}
    static void resume() { std::exchange(parked, nullptr).resume(); }
};

template <class Promise>
struct task_of {
    using promise_type = Promise;
    std::coroutine_handle<Promise> owned;
    void destroy() { owned.destroy(); }
};

template <class Promise>
struct promise_base {
    task_of<Promise> get_return_object() {
        return {std::coroutine_handle<Promise>::from_promise(static_cast<Promise&>(*this))};
    }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
};

/// Its own operator new and delete. An aggregate, too: the arguments are none of its members'.
struct plain_promise {
    int untouched = 17;
    task_of<plain_promise> get_return_object() {
        return {std::coroutine_handle<plain_promise>::from_promise(*this)};
    }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
    static void* operator new(std::size_t bytes) {
        ++counts::made;
        return std::malloc(bytes);
    }
    static void operator delete(void* frame, std::size_t) noexcept {
        ++counts::freed;
        std::free(frame);
    }
};

/// An arena that the caller passes.
struct arena {
    std::size_t used = 0;
    alignas(16) std::byte memory[8192];
    void* take(std::size_t bytes) {
        void* const at = memory + used;
        used += (bytes + 15) / 16 * 16;
        return at;
    }
};
struct arena_promise : promise_base<arena_promise> {
    int number;
    explicit arena_promise(std::allocator_arg_t, arena&, int n) : number(n) {}
    static void* operator new(std::size_t bytes, std::allocator_arg_t, arena& from, int) {
        ++counts::made;
        return from.take(bytes);
    }
    static void operator delete(void*) noexcept { ++counts::freed; }
};

/// Refuses by returning null.
struct modest_promise;
struct modest {
    using promise_type = modest_promise;
    std::coroutine_handle<modest_promise> owned;
};
struct modest_promise {
    modest get_return_object() noexcept {
        return {std::coroutine_handle<modest_promise>::from_promise(*this)};
    }
    static modest get_return_object_on_allocation_failure() noexcept { return {}; }
    static void* operator new(std::size_t bytes) noexcept {
        if (counts::refuse) return nullptr;
        ++counts::made;
        return std::malloc(bytes);
    }
    static void operator delete(void* frame) noexcept {
        ++counts::freed;
        std::free(frame);
    }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept {}
};

/// Would tell of a failure, of the global operator new's.
struct hopeful {
    struct promise_type {
        hopeful get_return_object() noexcept {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        static hopeful get_return_object_on_allocation_failure() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept {}
    };
    std::coroutine_handle<promise_type> owned;
};

/// All of it in a promise that is final.
struct last_promise;
struct last {
    using promise_type = last_promise;
    std::coroutine_handle<last_promise> owned;
};
struct last_promise final {
    int untouched = 23;
    last get_return_object() noexcept {
        return {std::coroutine_handle<last_promise>::from_promise(*this)};
    }
    static last get_return_object_on_allocation_failure() noexcept { return {}; }
    static void* operator new(std::size_t bytes) noexcept {
        if (counts::refuse) return nullptr;
        ++counts::made;
        return std::malloc(bytes);
    }
    static void operator delete(void* frame, std::size_t) noexcept {
        ++counts::freed;
        std::free(frame);
    }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept {}
};

/// Aligned beyond what malloc gives: the promise starts later in the frame.
template <std::size_t Alignment>
struct aligned_promise : promise_base<aligned_promise<Alignment>> {
    static constexpr std::size_t alignment = Alignment;
    struct alignas(Alignment) block {
        unsigned char byte = 0x5A;
    };
    block aligned;
    static void* operator new(std::size_t bytes) {
        return std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    }
    static void operator delete(void* frame) { std::free(frame); }
};

/// A promise with virtual functions, constructed from the arguments.
struct polymorphic_base {
    virtual ~polymorphic_base() = default;
    virtual int kind() const { return 1; }
};
struct polymorphic_promise : polymorphic_base, promise_base<polymorphic_promise> {
    int sum;
    polymorphic_promise(int a, const int& b) : sum(a + b) {}
    int kind() const override { return 2; }
};

}  // namespace places
