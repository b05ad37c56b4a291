// A host that knows no corodump: it loads a library, calls the function of that name in it, and
// then closes the library as often as it can. Says whether the agent's library is still loaded.
//
//     plain_loads LIBRARY FUNCTION AGENT
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace {

std::string hear() {
    std::string line;
    for (char byte = 0; read(0, &byte, 1) == 1 && byte != '\n';) line += byte;
    return line;
}

/// What corodump_install_v1 takes, as a plain C host would write it.
struct install_options {
    unsigned size_bytes = sizeof(install_options);
    int signal = 0;
    const char* directory = nullptr;
    unsigned long max_tasks = 0;
    unsigned max_files = 0, flags = 0;
    const char* redact = nullptr;
};

}  // namespace

int main(int count, char** arguments) {
    if (count != 4) return 2;
    void* const library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        dprintf(2, "%s\n", dlerror());
        return 3;
    }
    const install_options options;
    auto* const start =
        reinterpret_cast<int (*)(const install_options*)>(dlsym(library, arguments[2]));
    dprintf(1, "started %d\n", start == nullptr ? -1 : start(&options));
    for (int i = 0; i < 3 && dlclose(library) == 0; ++i) {
    }
    dprintf(1, "agent %s\n", dlopen(arguments[3], RTLD_NOW | RTLD_NOLOAD) ? "loaded" : "gone");
    while (hear() == "ping") dprintf(1, "pong\n");
    return 0;
}
