// Includes nothing of corodump's: corodump::auto has to.
#ifndef CORODUMP_NO_AUTO_FOR
#error "corodump::auto did not include its header"
#endif

#include <coroutine>
#include <exception>

extern "C" int legacy_answer(void);
int classic_answer();
int unexceptional_answer();

namespace {

struct task {
    struct promise_type {
        int value = 0;
        task get_return_object() {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_value(int v) { value = v; }
        void unhandled_exception() { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
};

task answer() {
    co_await std::suspend_never{};
    co_return legacy_answer() + classic_answer() + unexceptional_answer();
}

}  // namespace

int main() {
    const task done = answer();
    const int value = done.handle.promise().value;
    done.handle.destroy();
    return value == 45 ? 0 : 1;
}
