// An executable and two shared libraries, all with tracked coroutines: makes one chain through all
// of them, dumps it, and prints the dump's path and the three lines.
#include <corodump/agent.hpp>
#include <cstdio>

#include "modules.hpp"

namespace {

int at_own, at_first, at_second;

lazy::task<int> own(synced::event& until) {
    // clang-format off
    at_own = __LINE__; co_return 100 + co_await modules::first(modules::second(until, at_second), at_first);
    // clang-format on
}

}  // namespace

int main() {
    const corodump::agent agent;
    synced::event until;
    auto task = own(until);
    task.start();
    const auto dump = corodump::dump_now();
    if (!dump) return 1;
    std::printf("%s %d %d %d\n", dump.path.c_str(), at_own, at_first, at_second);
    until.set();
    return task.result() == 111 ? 0 : 2;
}
