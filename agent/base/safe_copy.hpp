// Reads memory that may be gone: the host's coroutine frames, images it may dlclose, its stacks.
//
// Called by every source and by the symboliser. process_vm_readv(2) on the own process lets the
// kernel copy, so a bad address is an EFAULT or a short count instead of a SIGSEGV, a mapping that
// vanishes in the middle is no different, a file cut short under a mapping gives no SIGBUS, and
// ThreadSanitizer sees no racing load. Rejected: a SIGSEGV handler (the host owns that signal), and
// looking into /proc/self/maps first (stale at once).
//
// Where it is refused (old container profiles answer EPERM, some sandboxes ENOSYS) the copy goes
// through /proc/thread-self/mem, and where that cannot be opened (a process that is not dumpable)
// through a pipe, whose write(2) answers EFAULT. What worked is remembered for the process. Both
// fallbacks open their descriptors per call: one kept open could be closed and its number reused by
// the host. mem differs in one thing: it also reads PROT_NONE pages, so a guard page reads as
// zeros.
//
// Threads: any. Signals: safe. Blocks: never. Errors: a short count.
// Bounds: one call per 1,024 (IOV_MAX) elements, plus at most one per page of an unreadable range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace corodump::base {

/// One element of a batch.
struct copy_request {
    void* destination = nullptr;
    std::uint64_t source = 0;
    std::size_t size = 0;
    std::size_t copied = 0;  ///< out: bytes from the start of `source` that arrived

    [[nodiscard]] bool whole() const noexcept { return copied == size; }
};

/// Returns how many bytes from the start of the range could be read: `size`, or fewer where an
/// unreadable page comes first. Bytes of the destination beyond that are unspecified.
std::size_t safe_copy(void* destination, std::uint64_t source, std::size_t size) noexcept;

/// The same for many ranges; one that fails does not keep the later ones from being read. Returns
/// how many are whole.
std::size_t safe_copy(std::span<copy_request> batch) noexcept;

/// True when all of a trivially copyable object could be read.
template <class T>
[[nodiscard]] bool safe_read(T& into, std::uint64_t source) noexcept {
    return safe_copy(&into, source, sizeof(T)) == sizeof(T);
}

/// How memory is read. The order is the order of preference.
enum class copy_method : std::uint8_t { process_vm, proc_mem, pipe };

[[nodiscard]] copy_method current_copy_method() noexcept;
/// For tests, and for a host that knows that its sandbox kills on process_vm_readv.
void set_copy_method(copy_method method) noexcept;

}  // namespace corodump::base
