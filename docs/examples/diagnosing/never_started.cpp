// Symptom: something silently does not happen. Lazy tasks are made, kept, and never awaited.
#include "coroutines.hpp"

using example::loop, example::task;

namespace {

task send_mail(int& sent) {
    ++sent;
    co_return;
}

}  // namespace

int main() {
    const corodump::agent agent;
    loop on;
    int sent = 0;
    std::vector<task> mails;
    for (int i = 0; i < 3; ++i) mails.push_back(send_mail(sent));
    example::ready();
    on.run();
}
