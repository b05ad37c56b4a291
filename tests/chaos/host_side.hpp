// What a chaos host uses of itself: lines to and from the test, and ways to get a thread stuck in
// the middle of something. All of it goes without malloc, stdio and the loader, since one of these
// may be what is stuck.
//
// Threads: any. Signals: safe, except trap_this_thread and probe. Errors: end the host with a
// message and the status `gave_up`.
#pragma once

#include <initializer_list>
#include <string_view>

namespace chaos {

/// Ends the host unless the condition holds.
#define CHAOS_REQUIRE(condition) \
    ((condition) ? static_cast<void>(0) : ::chaos::give_up(__FILE__, __LINE__, #condition))
[[noreturn]] void give_up(const char* file, int line, const char* condition) noexcept;
inline constexpr int gave_up = 99;

/// Lines of at most 500 bytes, to stdout and from stdin.
/// @{
void tell(std::string_view line) noexcept;
void tell(std::string_view word, long number) noexcept;
[[nodiscard]] std::string_view hear() noexcept;  ///< empty when the test is gone
/// @}

/// For ever, as a hung process does.
[[noreturn]] void stay() noexcept;
/// Likewise, but as the kernel has the parent of vfork wait: uninterruptibly ("D"), with no signal
/// taken, until the child is gone. The child ends with the host.
[[noreturn]] void stay_in_vfork() noexcept;
/// Tells "ready", and "pong" to each "ping", until the test says something else, which it returns.
std::string_view serve() noexcept;

/// From now on the calling thread gets stuck when it makes one of these system calls: it tells
/// "stuck", and stays where it is, with what it holds. (A seccomp filter of this thread's alone and
/// a SIGSYS handler.)
void stick_this_thread_in(std::initializer_list<int> system_calls) noexcept;

/// Starts a thread that, when the test says "probe", tells "probe <tid>", runs the action and tells
/// "came back". The test learns from /proc whether it blocks.
void start_probe(void (*action)() noexcept);

}  // namespace chaos
