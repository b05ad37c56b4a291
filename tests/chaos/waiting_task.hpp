// The task that hosts of chaos tests have waiting, so that a dump has something to show: a
// coroutine that awaits another, which is parked on an event.
#pragma once

#include "tests/integration/styles/lazy_task.hpp"
#include "tests/integration/styles/synced.hpp"

namespace app {

inline lazy::task<int> inner(synced::event& until) {
    co_await until;
    co_return 1;
}
inline lazy::task<int> outer(synced::event& until) {
    co_return 1 + co_await inner(until);
}

/// Started, and suspended for as long as the event is not set.
struct waiting_task {
    synced::event until;
    lazy::task<int> task = outer(until);
    waiting_task() { task.start(); }
};

}  // namespace app
