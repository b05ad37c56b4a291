// Symptom: memory growth. Every request starts a watcher of its session, and no watcher ever ends.
#include "coroutines.hpp"

using namespace std::chrono_literals;
using example::detached, example::loop;

namespace {

/// Set when a session ends. These never do.
struct event {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    void await_resume() const noexcept {}
};

detached watch_session() {
    co_await event{};
}

detached serve(loop& on) {
    for (;;) {
        watch_session();
        co_await on.after(20ms);
    }
}

}  // namespace

int main() {
    const corodump::agent agent;
    loop on;
    serve(on);
    example::ready();
    on.run();
}
