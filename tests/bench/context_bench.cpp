// What context variables cost: reading the running task, reading a variable, and what coroutines
// pay once a variable was bound in the process. Rounds of the last take turns with nothing but the
// switch between them, in two processes' stead: what is noted before the first binding is nothing.
#include <benchmark/benchmark.h>

#include <corodump/agent.hpp>
#include <corodump/context.hpp>
#include <corodump/detail/log_line.hpp>
#include <corodump/task.hpp>
#include <coroutine>
#include <string>

#include "shapes/shapes.hpp"

int shapes_seed = 1;
std::size_t shapes_frame_bytes = 0;
