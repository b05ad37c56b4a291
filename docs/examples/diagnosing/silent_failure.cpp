// Symptom: silent failure. Mails are sent by tasks that nobody awaits; one in three fails, and its
// exception goes nowhere.
#include <stdexcept>
#include <string>

#include "coroutines.hpp"

using namespace std::chrono_literals;
using example::detached, example::loop;

namespace {

void deliver(int number) {
    if (number % 3 == 0) throw std::runtime_error("no route to mail host");
}

detached send_mail(loop& on, int number) {
    co_await on.after(1ms);
    deliver(number);
}

}  // namespace

int main() {
    const corodump::agent agent;
    loop on;
    for (int i = 0; i < 9; ++i) send_mail(on, i);
    example::ready();
    on.run();
}
