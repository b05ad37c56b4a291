// A coroutine of a service that is compiled without exceptions, with an awaiter that does not say noexcept.
#include <coroutine>

#if defined(__cpp_exceptions)
#error "this file is compiled with -fno-exceptions"
#endif

namespace {

struct plain {
    struct promise_type {
        plain get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
    };
};

struct passes {
    bool await_ready() { return false; }
    bool await_suspend(std::coroutine_handle<>) { return false; }
    int await_resume() { return 3; }
};

plain add(int& sum) {
    sum += co_await passes{};
}

}  // namespace

int unexceptional_answer() {
    int sum = 0;
    add(sum);
    return sum;
}
