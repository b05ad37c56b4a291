// A module that is loaded, makes coroutines, and is unloaded: with its templates, types and places.
// It uses no std::noop_coroutine: libstdc++'s makes a module stay for good by itself.
#include "../styles/eager_task.hpp"
#include "../styles/synced.hpp"

namespace plugin {

struct only_here {
    synced::event& until;
    auto operator co_await() const noexcept { return until.operator co_await(); }
};

template <class Until>
eager::forgotten waits(Until& until, int& line, int& done) {
    // clang-format off
    line = __LINE__; co_await only_here{until};
    // clang-format on
    done = 1;
}

}  // namespace plugin

extern "C" __attribute__((visibility("default"))) void corodump_test_plugin(synced::event& until,
                                                                            int& line, int& done) {
    plugin::waits(until, line, done);
}
