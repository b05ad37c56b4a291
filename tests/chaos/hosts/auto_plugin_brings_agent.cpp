// A plugin that brings the agent into a host which knows no corodump, and runs an order to its end.
#include <corodump/agent.hpp>

#include "tests/chaos/order_tasks.hpp"

extern "C" __attribute__((visibility("default"))) int start_plugin(const void*) {
    const int error = corodump::install().value();
    orders::service waiting(1);
    return waiting.finish() ? error : -2;
}
