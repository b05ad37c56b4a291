// What the test's shared libraries and its plugin offer to who loads them.
#pragma once

#include "../styles/lazy_task.hpp"
#include "../styles/synced.hpp"

namespace modules {

/// In auto_shared_first: awaits `inner` at `line`.
lazy::task<int> first(lazy::task<int> inner, int& line);
/// In auto_shared_second: awaits the event at `line`.
lazy::task<int> second(synced::event& until, int& line);

/// The plugin's entry "corodump_test_plugin": starts a coroutine that awaits the event at `line`.
using plugin_function = void(synced::event& until, int& line, int& done);

}  // namespace modules
