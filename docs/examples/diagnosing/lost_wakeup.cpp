// Symptom: hang, now and then. The consumer looks whether there is work, is told of work while nobody is
// enlisted yet, and then goes to sleep.
#include "coroutines.hpp"

using namespace std::chrono_literals;
using example::detached, example::loop;

namespace {

struct mailbox {
    int letters = 0;
    std::coroutine_handle<> waiting;

    void deliver() {
        ++letters;
        if (waiting) std::exchange(waiting, nullptr).resume();
    }
    struct receiving {
        mailbox& of;
        bool await_ready() const noexcept { return of.letters != 0; }
        void await_suspend(std::coroutine_handle<> handle) const {
            of.deliver();         // the producer, on another thread, comes just now ...
            of.waiting = handle;  // ... and finds nobody to wake
        }
        int await_resume() const noexcept { return of.letters--; }
        // corodump: what it waits for, and when that is there
        void describe(corodump::description& d) const noexcept {
            d.kind("mailbox");
            d.object(&of);
            d.ready_when_not_zero(&of.letters);
        }
    };
    receiving receive() noexcept { return {*this}; }
};

detached consume(mailbox& box) {
    corodump::set_name("consumer");
    for (;;) co_await box.receive();
}

}  // namespace

int main() {
    const corodump::agent agent;
    loop on;
    mailbox box;
    consume(box);
    example::ready();
    on.run();
}
