// What the agent keeps of each thread for the tracing of creations, beside the thread's state:
// where its stack lies, when the next stack is to be taken, and what was counted.
//
// Threads: the thread itself writes; the watchdog reads the counts. Signals: unsafe.
#pragma once

#include <atomic>
#include <cstdint>

namespace corodump::sources {

struct thread_births {
    /// Of the thread's stack: asked for once, before the first stack is taken. The end is 0 until
    /// then, and 1 where nobody knows.
    std::uintptr_t stack_begin = 0;
    std::uintptr_t stack_end = 0;

    // Sampling. Times are those of the time stamp counter.
    std::uint64_t sampled_at = 0;
    std::uint64_t cost = 0;          ///< of one sample, smoothed; 0: none was taken yet
    std::uint32_t until_sample = 0;  ///< births
    std::uint32_t since_sample = 0;  ///< births from the last sample to the one that is waited for
    std::uint32_t sampled_tick = 0;

    // Relaxed: one writer.
    std::atomic<std::uint64_t> noted{0};
    std::atomic<std::uint64_t> stacks{0};
    std::atomic<std::uint64_t> short_stacks{0};  ///< of fewer than two frames
    std::atomic<std::uint64_t> missed{0};        ///< births not noted, stacks not kept: no memory

    /// The state goes to another thread; what was counted stays.
    void forget_thread() noexcept {
        stack_begin = stack_end = 0;
        sampled_at = cost = 0;
        until_sample = since_sample = sampled_tick = 0;
    }
};

}  // namespace corodump::sources
