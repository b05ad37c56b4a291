// A service whose allocator is a preloaded one, and whose main thread gets stuck in it: in the
// system call by which it asks for memory, with the locks it holds then.
#include <sys/syscall.h>

#include <corodump/agent.hpp>
#include <cstdlib>

#include "tests/chaos/host_side.hpp"
#include "tests/chaos/waiting_task.hpp"

namespace {

void allocate_until_stuck() noexcept {
    // Page by page up to a few MiB: each allocator must sooner or later ask for more.
    for (std::size_t bytes = 4096; bytes < (std::size_t{64} << 20U); bytes += 4096)
        static_cast<volatile char*>(std::malloc(bytes))[0] = 1;
}

}  // namespace

int main() {
    const corodump::agent agent;
    const app::waiting_task waiting;
    chaos::start_probe(allocate_until_stuck);
    chaos::stick_this_thread_in({SYS_mmap, SYS_brk, SYS_mprotect, SYS_madvise, SYS_munmap});
    allocate_until_stuck();
    chaos::tell("the allocator asked for nothing");
}
