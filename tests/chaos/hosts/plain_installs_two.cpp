// A host with two copies of the agent's library, which two threads install at the same moment, over
// and over. Each time one of them has to win; tells how often each did. The last winner stays.
//
//     plain_installs_two LIBRARY COPY ROUNDS
#include <dlfcn.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <thread>

#include "tests/chaos/host_side.hpp"
#include "tests/chaos/install_options.hpp"

namespace {

struct copy {
    int (*install)(const chaos::install_options*) = nullptr;
    void (*uninstall)(int) = nullptr;
    int result = -1;
    long won = 0;

    explicit copy(const char* path) {
        void* const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        CHAOS_REQUIRE(library != nullptr);
        install = reinterpret_cast<decltype(install)>(dlsym(library, "corodump_install_v1"));
        uninstall = reinterpret_cast<decltype(uninstall)>(dlsym(library, "corodump_uninstall_v1"));
        CHAOS_REQUIRE(install != nullptr && uninstall != nullptr);
    }
};

void install_both(copy (&copies)[2]) {
    std::atomic<int> arrived{0};
    const auto start = [&arrived](copy& one) {
        const chaos::install_options options;
        arrived.fetch_add(1);
        while (arrived.load() < 2) {
        }
        one.result = one.install(&options);
    };
    std::thread other(start, std::ref(copies[1]));
    start(copies[0]);
    other.join();
}

}  // namespace

int main(int count, char** arguments) {
    CHAOS_REQUIRE(count == 4);
    copy copies[2] = {copy(arguments[1]), copy(arguments[2])};
    const long rounds = std::atol(arguments[3]);
    for (long i = 0; i < rounds; ++i) {
        install_both(copies);
        const bool first = copies[0].result == 0;
        copy& winner = copies[first ? 0 : 1];
        CHAOS_REQUIRE(winner.result == 0);
        CHAOS_REQUIRE(copies[first ? 1 : 0].result == EALREADY);
        ++winner.won;
        if (i + 1 < rounds) winner.uninstall(0);
    }
    chaos::tell("first", copies[0].won);
    chaos::tell("second", copies[1].won);
    chaos::serve();
}
