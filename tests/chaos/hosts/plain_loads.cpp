// A host that knows no corodump: it loads a library, calls the function of that name in it, and
// then closes the library as often as it can. Says whether the agent's library is still loaded.
//
//     plain_loads LIBRARY FUNCTION AGENT
#include <dlfcn.h>

#include "tests/chaos/host_side.hpp"
#include "tests/chaos/install_options.hpp"

int main(int count, char** arguments) {
    CHAOS_REQUIRE(count == 4);
    void* const library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    CHAOS_REQUIRE(library != nullptr);
    const chaos::install_options options;
    auto* const start =
        reinterpret_cast<int (*)(const chaos::install_options*)>(dlsym(library, arguments[2]));
    CHAOS_REQUIRE(start != nullptr);
    chaos::tell("started", start(&options));
    for (int i = 0; i < 3 && dlclose(library) == 0; ++i) {
    }
    chaos::tell(dlopen(arguments[3], RTLD_NOW | RTLD_NOLOAD) ? "agent loaded" : "agent gone");
    while (chaos::hear() == "ping") chaos::tell("pong");
}
