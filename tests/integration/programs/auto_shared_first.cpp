// A shared library with coroutines.
#include <utility>

#include "modules.hpp"

namespace modules {

__attribute__((visibility("default"))) lazy::task<int> first(lazy::task<int> inner, int& line) {
    // clang-format off
    line = __LINE__; co_return 10 + co_await std::move(inner);
    // clang-format on
}

}  // namespace modules
