// Symptom: hang of single requests. A request waits for three answers; one of the tasks that were to bring
// them was destroyed by a time-out, and nobody told the join.
#include "coroutines.hpp"

using namespace std::chrono_literals;
using example::detached, example::loop;

namespace {

struct join {
    int remaining;
    std::coroutine_handle<> waiting;

    void one_ended() {
        if (--remaining == 0 && waiting) waiting.resume();
    }
    struct all {
        join& of;
        bool await_ready() const noexcept { return of.remaining == 0; }
        void await_suspend(std::coroutine_handle<> handle) const noexcept { of.waiting = handle; }
        void await_resume() const noexcept {}
        // corodump: what it waits for
        void describe(corodump::description& d) const noexcept {
            d.kind("join");
            d.object(&of);
            d.joins(&of.remaining, 3);
        }
    };
};

struct abandon {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const noexcept { handle.destroy(); }
    void await_resume() const noexcept {}
};

detached answer(loop& on, join& to, bool times_out) {
    co_await on.after(5ms);
    if (times_out) co_await abandon{};
    to.one_ended();
}

detached request(join& answers) {
    corodump::set_name("request");
    co_await join::all{answers};
}

}  // namespace

int main() {
    const corodump::agent agent;
    loop on;
    join answers{3, {}};
    request(answers);
    for (int i = 0; i < 3; ++i) answer(on, answers, i == 1);
    example::ready();
    on.run();
}
