// Coroutines that never outlive their caller, so that clang at -O1 and more lays their frames into
// the caller's own: a generator and a lazy task, with canaries around, dumped half way. Tells how
// many frames lay on the stack; ends with gave_up where a canary has changed.
#include <corodump/agent.hpp>
#include <corodump/tracked_promise.hpp>
#include <coroutine>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <source_location>
#include <utility>

#include "tests/chaos/host_side.hpp"

namespace app {

#if CHAOS_MIXIN
template <class Promise>
struct promise_base : corodump::tracked_promise<Promise> {
    auto initial_suspend() noexcept { return this->track_start(std::suspend_always{}); }
    auto final_suspend() noexcept { return this->track_end(std::suspend_always{}); }
    void unhandled_exception() noexcept { std::terminate(); }
    auto yielding(std::source_location where) noexcept {
        return this->track_yield(std::suspend_always{}, where);
    }
    void made(std::source_location where) noexcept { this->created_at(where); }
};
#else
template <class Promise>
struct promise_base {
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void unhandled_exception() noexcept { std::terminate(); }
    std::suspend_always yielding(std::source_location) noexcept { return {}; }
    void made(std::source_location) noexcept {}
};
#endif

class numbers {
public:
    struct promise_type : promise_base<promise_type> {
        long value = 0;
        numbers get_return_object(
            std::source_location where = std::source_location::current()) noexcept {
            this->made(where);
            return numbers(*this);
        }
        auto yield_value(long next,
                         std::source_location where = std::source_location::current()) noexcept {
            value = next;
            return this->yielding(where);
        }
        void return_void() noexcept {}
    };
    explicit numbers(promise_type& of) noexcept
        : handle_(std::coroutine_handle<promise_type>::from_promise(of)) {}
    numbers(numbers&&) = delete;
    ~numbers() { handle_.destroy(); }
    bool next() {
        handle_.resume();
        return !handle_.done();
    }
    [[nodiscard]] long value() const noexcept { return handle_.promise().value; }
    [[nodiscard]] const void* frame() const noexcept { return handle_.address(); }

private:
    std::coroutine_handle<promise_type> handle_;
};

class lazy_sum {
public:
    struct promise_type : promise_base<promise_type> {
        long value = 0;
        lazy_sum get_return_object(
            std::source_location where = std::source_location::current()) noexcept {
            this->made(where);
            return lazy_sum(*this);
        }
        void return_value(long made) noexcept { value = made; }
    };
    explicit lazy_sum(promise_type& of) noexcept
        : handle_(std::coroutine_handle<promise_type>::from_promise(of)) {}
    lazy_sum(lazy_sum&&) = delete;
    ~lazy_sum() { handle_.destroy(); }
    bool await_ready() {
        handle_.resume();
        return true;
    }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    long await_resume() const noexcept { return handle_.promise().value; }
    [[nodiscard]] long get() {
        handle_.resume();
        return handle_.promise().value;
    }
    [[nodiscard]] const void* frame() const noexcept { return handle_.address(); }

private:
    std::coroutine_handle<promise_type> handle_;
};

inline numbers count(long from, long to) {
    for (long i = from; i < to; ++i) co_yield i;
}
inline lazy_sum twice(long of) {
    co_return 2 * of;
}
inline lazy_sum nested(long of) {
    co_return co_await twice(of) + co_await twice(of + 1);
}

}  // namespace app

namespace {

constexpr std::uint64_t mark = 0x6361'6e61'7279'2121;

class canary {
public:
    canary() {
        for (auto& each : words_) each = mark;
    }
    ~canary() {
        for (const auto& each : words_) CHAOS_REQUIRE(each == mark);
    }

private:
    volatile std::uint64_t words_[16];
};

long elided = 0;

[[gnu::noinline]] void note(const void* frame) {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    const std::uintptr_t distance = reinterpret_cast<std::uintptr_t>(frame) - here;
    if (distance < 65'536) ++elided;
}

void dump() {
    const auto made = corodump::dump_now();
    CHAOS_REQUIRE(made);
    chaos::tell("dumped");
}

[[gnu::noinline]] long generates(long from, bool dumped) {
    const canary before;
    long sum = 0;
    auto all = app::count(from, from + 10);
    const canary after;
    while (all.next()) {
        sum += all.value();
        if (dumped && all.value() == from + 5) dump();
    }
    if (dumped) note(all.frame());
    return sum;
}

[[gnu::noinline]] long computes(long of, bool dumped) {
    const canary before;
    auto sum = app::nested(of);
    const canary after;
    if (dumped) dump();
    const long made = sum.get();
    if (dumped) note(sum.frame());
    return made;
}

/// Whether the handle's address is taken decides about elision: here nobody looks at it.
[[gnu::noinline]] long unseen(long of) {
    const canary before;
    long sum = 0;
    {
        auto all = app::count(of, of + 10);
        const canary between;
        while (all.next()) sum += all.value();
    }
    const canary after;
    return sum + app::nested(of).get();
}

}  // namespace

int main(int count, char** arguments) {
    const corodump::agent agent;
    const long rounds = count > 1 ? std::atol(arguments[1]) : 10'000;
    for (long i = 0; i < rounds; ++i) {
        const bool dumped = i == rounds / 2;
        CHAOS_REQUIRE(generates(i, dumped) == 10 * i + 45);
        CHAOS_REQUIRE(computes(i, dumped) == 4 * i + 2);
        CHAOS_REQUIRE(unseen(i) == 10 * i + 45 + 4 * i + 2);
    }
    chaos::tell("elided", elided);
}
