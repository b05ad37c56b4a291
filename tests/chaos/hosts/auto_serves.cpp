// A service with an agent, as a program: it can be preloaded, made set-user-id, and asked to load a
// second agent. Says what came of that, then "ready", and answers until it hears anything but
// "ping".
#include <dlfcn.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <corodump/agent.hpp>
#include <cstdio>
#include <string>
#include <string_view>

#include "tests/chaos/order_tasks.hpp"

namespace {

std::string hear() {
    std::string line;
    for (char byte = 0; read(0, &byte, 1) == 1 && byte != '\n';) line += byte;
    return line;
}

/// Installs the agent that is in another copy of the library; what that says.
int install_from(void* library) {
    if (library == nullptr) {
        dprintf(2, "%s\n", dlerror());
        return -1;
    }
    auto* const install =
        reinterpret_cast<decltype(&corodump_install_v1)>(dlsym(library, "corodump_install_v1"));
    if (install == nullptr || install == corodump_install_v1) return -2;
    const corodump_options_v1 options{sizeof options, 0, nullptr, 0, 0, 0, nullptr};
    return install(&options);
}

int install_second(std::string_view way, const char* path) {
    if (way == "twice") return corodump::agent().error().value();
    if (way == "dlmopen") return install_from(dlmopen(LM_ID_NEWLM, path, RTLD_NOW));
    return install_from(dlopen(path, RTLD_NOW | RTLD_LOCAL));
}

}  // namespace

int main(int count, char** arguments) {
    const std::string_view way = count > 1 ? arguments[1] : "";
    const corodump::agent agent;
    orders::service waiting;
    if (way == "secure")
        dprintf(1, "secure %lu error %d\n", getauxval(AT_SECURE), agent.error().value());
    else if (!way.empty())
        dprintf(1, "second %d\n", install_second(way, count > 2 ? arguments[2] : nullptr));
    dprintf(1, "ready\n");
    while (hear() == "ping") dprintf(1, "pong\n");
    return waiting.finish() ? 0 : 1;
}
