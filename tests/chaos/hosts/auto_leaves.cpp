// A service that ends in the way its argument names, slowly: in static destructors and exit
// handlers it says where it is and waits for a word, while the test floods it with signals. Ends
// with 7.
#include <unistd.h>

#include <corodump/agent.hpp>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <thread>

#include "tests/chaos/order_tasks.hpp"

namespace {

int said = 0;

void await_word() {
    char byte = 0;
    while (read(0, &byte, 1) == 1 && byte != '\n') {
    }
}

void say_and_wait() {
    dprintf(1, "leaving %d\n", said++);
    await_word();
}

struct slow_to_end {
    ~slow_to_end() { say_and_wait(); }
};

const slow_to_end outlives_the_agent;

std::optional<corodump::agent>& static_agent() {
    static std::optional<corodump::agent> agent;
    return agent;
}

void leave(std::string_view way) {
    if (way == "exit") std::exit(7);
    if (way == "thread") std::thread([] { std::exit(7); }).join();
    if (way == "quick_exit") {
        std::at_quick_exit(say_and_wait);
        std::quick_exit(7);
    }
    if (way == "_exit") _exit(7);
}

int serve(std::string_view way) {
    static orders::service waiting;
    dprintf(1, "ready\n");
    await_word();
    leave(way);
    return 7;
}

}  // namespace

int main(int, char** arguments) {
    const std::string_view way = arguments[1];
    if (way == "static") {
        static_agent().emplace();
        static const slow_to_end before_the_agent;
        return serve(way);
    }
    const corodump::agent agent;
    static const slow_to_end also_static;
    return serve(way);
}
