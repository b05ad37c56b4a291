// Compiled once for each variant: see shapes.hpp. BENCH_VARIANT is its name, and these are its
// ways: BENCH_MALLOC (the promise allocates), BENCH_SIZES, BENCH_CURRENT, BENCH_MIXIN.
#include "shapes.hpp"

#include <coroutine>
#include <cstdlib>
#include <exception>
#include <utility>

#ifdef BENCH_MIXIN
#include <corodump/task.hpp>
#include <corodump/tracked_promise.hpp>
#endif
#ifdef BENCH_CURRENT
#include <corodump/detail/tracking.hpp>
#endif

#define BENCH_PASTE_(a, b) a##_##b
#define BENCH_PASTE(a, b) BENCH_PASTE_(a, b)
#define BENCH_FUNCTION(name) BENCH_PASTE(BENCH_VARIANT, name)

// The variants' types must differ: one name for two types would be one function to the linker.
namespace BENCH_PASTE(shapes, BENCH_VARIANT) {

#ifdef BENCH_MALLOC
struct allocation {
    static void* operator new(std::size_t bytes) {
#ifdef BENCH_SIZES
        shapes_frame_bytes = bytes;
#endif
        return std::malloc(bytes);
    }
    static void operator delete(void* frame, std::size_t) { std::free(frame); }
};
#else
struct allocation {};
#endif

struct final_awaiter {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) noexcept {
        return ended.promise().continuation;
    }
    void await_resume() noexcept {}
};

struct promise_state {
    int value = 0;
    std::coroutine_handle<> continuation = std::noop_coroutine();
};

class task {
public:
#ifdef BENCH_MIXIN
    struct promise_type : promise_state, corodump::tracked_promise<promise_type> {
        task get_return_object(std::source_location where = std::source_location::current()) {
            created_at(where);
            return task(handle::from_promise(*this));
        }
        auto initial_suspend() noexcept { return track_start(std::suspend_always{}); }
        auto final_suspend() noexcept { return track_end(final_awaiter{}); }
        void unhandled_exception() {
            track_failure();
            std::terminate();
        }
        void return_value(int result) noexcept { value = result; }
    };
#else
    struct promise_type : promise_state, allocation {
        task get_return_object() {
            // The frame escapes: it is allocated in truth.
            asm volatile("" : : "r"(this) : "memory");
            return task(handle::from_promise(*this));
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        final_awaiter final_suspend() noexcept { return {}; }
        void unhandled_exception() { std::terminate(); }
        void return_value(int result) noexcept { value = result; }
    };
#endif
    using handle = std::coroutine_handle<promise_type>;

    task(task&& other) noexcept : own_(std::exchange(other.own_, {})) {}
    task& operator=(task&&) = delete;
    ~task() {
        if (own_) own_.destroy();
    }
    [[nodiscard]] handle release() noexcept { return std::exchange(own_, {}); }

    bool await_ready() noexcept { return false; }
    handle await_suspend(std::coroutine_handle<> caller) noexcept {
        own_.promise().continuation = caller;
        return own_;
    }
    int await_resume() noexcept { return own_.promise().value; }

private:
    explicit task(handle own) noexcept : own_(own) {}
    handle own_;
};

struct suspension {
    bool await_ready() noexcept { return false; }
#ifdef BENCH_CURRENT
    void await_suspend(std::coroutine_handle<>) noexcept { corodump::detail::leave(&stand_in); }
    void await_resume() noexcept { corodump::detail::enter(corodump_thread_v1, &stand_in); }
    static inline corodump::detail::record stand_in{};
#else
    void await_suspend(std::coroutine_handle<>) noexcept {}
    void await_resume() noexcept {}
#endif
};

[[gnu::noinline]] task add_one(int value) {
    co_return value + 1;
}
[[gnu::noinline]] task seed() {
    co_return shapes_seed;
}

[[gnu::noinline]] task add_up(long count, long& sum) {
    for (long i = 0; i < count; ++i) sum += co_await add_one(static_cast<int>(i));
    co_return 0;
}
[[gnu::noinline]] task add_up_seeds(long count, long& sum) {
    for (long i = 0; i < count; ++i) sum += co_await seed();
    co_return 0;
}

[[gnu::noinline]] task wait() {
    while (shapes_seed >= 0) co_await suspension{};
    co_return shapes_seed;
}
[[gnu::noinline]] task wait_for(int value) {
    while (shapes_seed >= 0) co_await suspension{};
    co_return value;
}
[[gnu::noinline]] task ask_backend(int order) {
    co_return co_await wait_for(order);
}
[[gnu::noinline]] task handle_order(int order) {
    co_return co_await ask_backend(order);
}

long run(long count, task (*what)(long, long&)) {
    long sum = 0;
    const auto root = what(count, sum).release();
    root.resume();
    root.destroy();
    return sum;
}

void* start(task what) {
    const auto root = what.release();
    root.resume();
    return root.address();
}

#ifdef BENCH_MIXIN
[[gnu::noinline]] task named() {
    corodump::set_name("order 42");
    co_return shapes_seed;
}
[[gnu::noinline]] task watched() {
    const int value = shapes_seed;
    const corodump::watch shown("value", value);
    co_return value;
}
task add_up_named(long count, long& sum) {
    for (long i = 0; i < count; ++i) sum += co_await named();
    co_return 0;
}
task add_up_watched(long count, long& sum) {
    for (long i = 0; i < count; ++i) sum += co_await watched();
    co_return 0;
}
#endif

}  // namespace BENCH_PASTE(shapes,BENCH_VARIANT)

namespace variant = BENCH_PASTE(shapes, BENCH_VARIANT);

extern "C" {
long BENCH_FUNCTION(create)(long count) {
    return variant::run(count, variant::add_up);
}
long BENCH_FUNCTION(create_plain)(long count) {
    return variant::run(count, variant::add_up_seeds);
}
void* BENCH_FUNCTION(waiter)() {
    return variant::start(variant::wait());
}
void* BENCH_FUNCTION(waiter_of)(int value) {
    return variant::start(variant::wait_for(value));
}
void BENCH_FUNCTION(resume)(void* frame, long times) {
    const auto handle = std::coroutine_handle<>::from_address(frame);
    for (long i = 0; i < times; ++i) handle.resume();
}
void BENCH_FUNCTION(resume_all)(void* const* frames, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
        std::coroutine_handle<>::from_address(frames[i]).resume();
}
void* BENCH_FUNCTION(chain)() {
    return variant::start(variant::handle_order(7));
}
void BENCH_FUNCTION(destroy)(void* frame) {
    std::coroutine_handle<>::from_address(frame).destroy();
}
#ifdef BENCH_MIXIN
long mixin_create_named(long count) {
    return variant::run(count, variant::add_up_named);
}
long mixin_create_watched(long count) {
    return variant::run(count, variant::add_up_watched);
}
#endif
}
