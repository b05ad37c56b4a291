// corodump::throws: stands before the C++ runtime's __cxa_throw in a service that links it, so that
// the stack of a throw can be told for exceptions that leave a coroutine.
//
// An object of its own, linked into the executable and into nothing of the agent's: whoever does
// not ask for it has the runtime's own. It notes the stack (see agent/sources/throw_stacks.hpp) and
// goes on to the real one, a sanitizer's where there is one.
//
// Threads: any. Signals: as throwing itself. Blocks: never. Errors: none.
#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <typeinfo>

#include <corodump/detail/abi.hpp>

namespace {

using thrower = void (*)(void*, std::type_info*, void (*)(void*));

std::atomic<thrower> real{nullptr};

thrower look_up() noexcept {
    const auto found = reinterpret_cast<thrower>(dlsym(RTLD_NEXT, "__cxa_throw"));
    real.store(found, std::memory_order_release);
    return found;
}

/// Before main, so that no throw of a running service asks the loader.
[[gnu::constructor]] void look_up_early() noexcept {
    static_cast<void>(look_up());
}

}  // namespace

extern "C" [[noreturn, gnu::visibility("default")]] void __cxa_throw(void* exception,
                                                                     std::type_info* type,
                                                                     void (*destroy)(void*));

extern "C" void __cxa_throw(void* exception, std::type_info* type, void (*destroy)(void*)) {
    corodump_thrown_v1(exception, __builtin_frame_address(0));
    thrower go_on = real.load(std::memory_order_acquire);
    if (go_on == nullptr) go_on = look_up();
    if (go_on == nullptr) std::abort();  // a runtime without __cxa_throw throws nothing either
    go_on(exception, type, destroy);
    __builtin_unreachable();
}
