// A module that leaves a coroutine suspended, with all that a dump reads of it in the module's own
// memory: its code, its promise's type, texts, names of types. It uses no std::noop_coroutine,
// since libstdc++'s makes a module stay for good by itself.
#include <corodump/describe.hpp>
#include <corodump/task.hpp>

#include "tests/integration/styles/eager_task.hpp"

namespace plugin {

struct turn {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    void await_resume() const noexcept {}
    void describe(corodump::description& d) const noexcept {
        d.kind("kind of the plugin");
        d.name("name of the plugin");
        d.operation("plugin::operation");
    }
};

eager::forgotten waits(const char* text) {
    corodump::set_name("task of the plugin");
    corodump::watch shown{"shown by the plugin", text};
    co_await turn{};
}

}  // namespace plugin

extern "C" __attribute__((visibility("default"))) void chaos_start_task() {
    plugin::waits("text of the plugin");
}
