// Another shared library with coroutines of the same types.
#include "modules.hpp"

namespace modules {

__attribute__((visibility("default"))) lazy::task<int> second(synced::event& until, int& line) {
    // clang-format off
    line = __LINE__; co_await until;
    // clang-format on
    co_return 1;
}

}  // namespace modules
