// Coroutines that never outlive their caller, so that clang at -O1 and more lays their frames into
// the caller's own: a generator and a lazy task, with canaries around, dumped half way. Tells for
// each caller in how many rounds the frame lay on the stack; ends with gave_up where a canary has
// changed.
#include <corodump/agent.hpp>
#include <corodump/tracked_promise.hpp>
#include <coroutine>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <source_location>
#include <utility>

#include "tests/chaos/host_side.hpp"

// A coroutine's frame is laid into its caller's only where its beginning is inlined there, and that
// of a tracked one is longer than clang takes by itself.
#if defined(__clang__)
#pragma clang diagnostic ignored "-Walways-inline-coroutine"  // only the beginning is, as wanted
#define CHAOS_INLINED [[gnu::always_inline]] inline
#else
#define CHAOS_INLINED inline
#endif

namespace app {

/// The promise of the last coroutine that was made.
const void* last_made = nullptr;

#if CHAOS_MIXIN
template <class Promise>
struct promise_base : corodump::tracked_promise<Promise> {
    promise_base() noexcept { last_made = this; }
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
    promise_base() noexcept { last_made = this; }
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

private:
    std::coroutine_handle<promise_type> handle_;
};

CHAOS_INLINED numbers count(long from, long to) {
    for (long i = from; i < to; ++i) co_yield i;
}
CHAOS_INLINED lazy_sum twice(long of) {
    co_return 2 * of;
}
CHAOS_INLINED lazy_sum nested(long of) {
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

std::uintptr_t main_frame = 0;

/// Whether the coroutine that was made last lies on the stack, between its caller and main.
[[gnu::noinline]] long is_elided() {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    const auto made = reinterpret_cast<std::uintptr_t>(app::last_made);
    return here < made && made < main_frame ? 1 : 0;
}

struct {
    long generates = 0, computes = 0, unseen = 0;
} elided;

void dump() {
    const auto made = corodump::dump_now();
    CHAOS_REQUIRE(made);
    chaos::tell("dumped");
}

[[gnu::noinline]] long generates(long from, bool dumped) {
    const canary before;
    long sum = 0;
    auto all = app::count(from, from + 10);
    elided.generates += is_elided();
    const canary after;
    while (all.next()) {
        sum += all.value();
        if (dumped && all.value() == from + 5) dump();
    }
    return sum;
}

[[gnu::noinline]] long computes(long of, bool dumped) {
    const canary before;
    auto sum = app::nested(of);
    elided.computes += is_elided();
    const canary after;
    if (dumped) dump();
    return sum.get();
}

/// Two that are done with one after the other, whose frames may share a place.
[[gnu::noinline]] long unseen(long of) {
    const canary before;
    long sum = 0;
    {
        auto all = app::count(of, of + 10);
        const canary between;
        while (all.next()) sum += all.value();
    }
    elided.unseen += is_elided();
    const canary after;
    return sum + app::nested(of).get();
}

}  // namespace

int main(int count, char** arguments) {
    main_frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    const corodump::agent agent;
    const long rounds = count > 1 ? std::atol(arguments[1]) : 10'000;
    for (long i = 0; i < rounds; ++i) {
        const bool dumped = i == rounds / 2;
        CHAOS_REQUIRE(generates(i, dumped) == 10 * i + 45);
        CHAOS_REQUIRE(computes(i, dumped) == 4 * i + 2);
        CHAOS_REQUIRE(unseen(i) == 10 * i + 45 + 4 * i + 2);
    }
    chaos::tell("generates", elided.generates);
    chaos::tell("computes", elided.computes);
    chaos::tell("unseen", elided.unseen);
}
