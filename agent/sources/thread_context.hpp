// What the agent keeps of each thread for context variables, beside the thread's state.
//
// Threads: the thread itself. Signals: unsafe.
#pragma once

#include <atomic>
#include <cstdint>

namespace corodump::sources {

struct bound_list;

struct thread_context {
    /// What is bound outside of coroutines.
    std::atomic<bound_list*> bound{nullptr};
    /// While a library starts what a coroutine awaits: what is bound there.
    bound_list* starter = nullptr;
    bool starts = false;
    std::uintptr_t started_in = 0;  ///< the record that ran then; 0: none

    /// A start that is to come: the library's call, and the list of the coroutine that waits for
    /// it. One at most: it comes when the coroutine that suspends has returned.
    void (*start)(void*) = nullptr;
    void* with = nullptr;
    bound_list* starter_to_be = nullptr;
};

}  // namespace corodump::sources
