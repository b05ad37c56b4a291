// What a dump tells of tasks that are gone, or that failed: exceptions that left coroutines, and
// the last tasks that ended.
//
// Threads: one owner (the watchdog). Signals: unsafe. Blocks: never.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "agent/model/snapshot.hpp"

namespace corodump::model {

struct failure_frame {
    std::uint64_t site = 0, definition = 0;  ///< keys for details::where
    bool library = false;
};

struct failure {
    std::int64_t time_unix_ns = 0;
    std::uint64_t task_address = 0;  ///< 0: unknown
    std::uint32_t task_generation = 0;
    std::string_view name;  ///< empty: none
    std::span<const label> labels;
    std::string_view type;  ///< demangled; empty: unknown
    std::string_view message;
    bool has_message = false;
    std::span<const failure_frame> chain;  ///< outermost first; the last one threw
    bool has_stack = false;                ///< `thrown_at` is known
    std::span<const native_frame> thrown_at;
    bool observed = false;
};

struct finished_task {
    std::uint64_t address = 0;
    std::uint32_t generation = 0;
    std::string_view name;
    std::uint64_t definition = 0;
    task_state outcome = task_state::done;
    std::int64_t ended_unix_ns = -1;  ///< -1: unknown
    double duration_seconds = -1;     ///< negative: unknown
    std::uint64_t by_address = 0;     ///< 0: nobody known
    std::uint32_t by_generation = 0;
};

struct failure_section {
    std::span<const failure> failures;                     ///< newest last
    std::span<const finished_task> finished;               ///< newest last
    std::uint64_t failures_total = 0, finished_total = 0;  ///< since the agent was installed
};

}  // namespace corodump::model
