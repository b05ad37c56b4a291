// Preloaded into a host: the functions that a dump must do without. Each forwards to the next
// definition, except on the agent's watchdog thread, where it names itself and aborts. So a dump
// that comes to be under it called none of them: no allocator, no loader, no stdio, no lock of
// pthread's, no exception, no directory stream.
//
// There is no "before the file is in place" here: the watchdog may call them at no time at all,
// which is the stronger promise and needs no knowledge of when the file has its name. The thread is
// known by its name, asked of the kernel at each call.
//
// What this cannot see: calls inside of the C library that do not go through the linker. All that
// the agent, libstdc++ and libgcc import does.
// The headers of the C library define some of these inline where it optimises; not with this.
#define __NO_INLINE__ 1  // NOLINT(bugprone-reserved-identifier): glibc's own switch, features.h
#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

bool on_the_watchdog() noexcept {
    char name[16] = {};
    syscall(SYS_prctl, PR_GET_NAME, name, 0, 0, 0);
    return strcmp(name, "corodump-watch") == 0;
}

void say(const char* text) noexcept {
    if (write(2, text, strlen(text)) < 0) return;
}

void check(const char* function) noexcept {
    if (!on_the_watchdog()) return;
    say("forbidden on the watchdog: ");
    say(function);
    say("\n");
    abort();
}

// --- the next definitions ------------------------------------------------------------------------

// dlsym may allocate while the allocator is being looked up: from here, and never freed.
alignas(64) char early[64 * 1024];
size_t early_used = 0;
bool looking_up = false;

bool is_early(const void* at) noexcept {
    return at >= early && at < early + sizeof early;
}

void* early_allocate(size_t bytes) noexcept {
    const size_t begin = (early_used + 15) / 16 * 16;
    if (bytes > sizeof early - begin) return nullptr;
    early_used = begin + bytes;
    return early + begin;
}

#if defined(__x86_64__)
constexpr char oldest_version[] = "GLIBC_2.2.5";
#else
constexpr char oldest_version[] = "GLIBC_2.17";
#endif

/// Our own dlsym stands before the real one, which is found by its version: hence dlvsym alone is
/// not forbidden here (tests/contract has the list of what the agent imports).
void* (*real_dlsym)(void*, const char*) = nullptr;

template <class Function>
void look_up(Function*& forward, const char* name) noexcept {
    if (forward != nullptr) return;
    looking_up = true;
    if (real_dlsym == nullptr)
        real_dlsym = reinterpret_cast<void* (*)(void*, const char*)>(
            dlvsym(RTLD_NEXT, "dlsym", oldest_version));
    forward = reinterpret_cast<Function*>(real_dlsym(RTLD_NEXT, name));
    looking_up = false;
}

}  // namespace

/// Defines `name`: checks, then forwards.
#define FORBID(result, name, parameters, arguments) \
    EXPORTED result name parameters {               \
        static result(*forward) parameters;         \
        check(#name);                               \
        look_up(forward, #name);                    \
        return forward arguments;                   \
    }                                               \
    static_assert(true)

/// The same for a function of variable arguments, which forwards to its variant of a va_list.
#define FORBID_VARIADIC(name, last, variant, parameters, arguments) \
    EXPORTED int name parameters {                                  \
        check(#name);                                               \
        va_list list;                                               \
        va_start(list, last);                                       \
        const int done = variant arguments;                         \
        va_end(list);                                               \
        return done;                                                \
    }                                                               \
    static_assert(true)

// Those that take no name from the headers' inline versions and no attribute of theirs.
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

// --- the allocator -------------------------------------------------------------------------------

EXPORTED void* malloc(size_t bytes) {
    static void* (*forward)(size_t);
    check("malloc");
    if (looking_up) return early_allocate(bytes);
    look_up(forward, "malloc");
    return forward(bytes);
}

EXPORTED void* calloc(size_t count, size_t bytes) {
    static void* (*forward)(size_t, size_t);
    check("calloc");
    if (looking_up) return early_allocate(count * bytes);  // static memory: zero
    look_up(forward, "calloc");
    return forward(count, bytes);
}

EXPORTED void* realloc(void* old, size_t bytes) {
    static void* (*forward)(void*, size_t);
    check("realloc");
    look_up(forward, "realloc");
    if (!is_early(old)) return forward(old, bytes);
    void* const moved = malloc(bytes);
    const size_t rest = static_cast<size_t>(early + sizeof early - static_cast<char*>(old));
    return moved == nullptr ? nullptr : memcpy(moved, old, bytes < rest ? bytes : rest);
}

EXPORTED void free(void* old) {
    static void (*forward)(void*);
    check("free");
    if (old == nullptr || is_early(old) || looking_up) return;
    look_up(forward, "free");
    forward(old);
}

FORBID(int, posix_memalign, (void** to, size_t alignment, size_t bytes), (to, alignment, bytes));
FORBID(void*, aligned_alloc, (size_t alignment, size_t bytes), (alignment, bytes));
FORBID(void*, memalign, (size_t alignment, size_t bytes), (alignment, bytes));
FORBID(void*, reallocarray, (void* old, size_t count, size_t bytes), (old, count, bytes));

// --- the loader ----------------------------------------------------------------------------------

FORBID(void*, dlopen, (const char* path, int flags), (path, flags));
FORBID(void*, dlsym, (void* handle, const char* name), (handle, name));
FORBID(int, dladdr, (const void* address, Dl_info* info), (address, info));
FORBID(int, dladdr1, (const void* address, Dl_info* info, void** extra, int flags),
       (address, info, extra, flags));
FORBID(int, dl_iterate_phdr, (int (*callback)(dl_phdr_info*, size_t, void*), void* data),
       (callback, data));
FORBID(int, dlclose, (void* handle), (handle));
FORBID(char*, dlerror, (), ());
FORBID(int, dlinfo, (void* handle, int request, void* to), (handle, request, to));

// --- stdio ---------------------------------------------------------------------------------------

FORBID(FILE*, fopen, (const char* path, const char* mode), (path, mode));
FORBID(FILE*, fdopen, (int fd, const char* mode), (fd, mode));
FORBID(int, fclose, (FILE * file), (file));
FORBID(size_t, fwrite, (const void* from, size_t bytes, size_t count, FILE* to),
       (from, bytes, count, to));
FORBID(size_t, fread, (void* to, size_t bytes, size_t count, FILE* from), (to, bytes, count, from));
FORBID(char*, fgets, (char* to, int bytes, FILE* from), (to, bytes, from));
FORBID(int, fputs, (const char* text, FILE* to), (text, to));
FORBID(int, fputc, (int c, FILE* to), (c, to));
FORBID(int, puts, (const char* text), (text));
FORBID(int, putchar, (int c), (c));
FORBID(int, fflush, (FILE * file), (file));
FORBID(int, vfprintf, (FILE * to, const char* format, va_list list), (to, format, list));
FORBID(int, vprintf, (const char* format, va_list list), (format, list));
FORBID(int, vdprintf, (int fd, const char* format, va_list list), (fd, format, list));
FORBID(int, vsnprintf, (char* to, size_t bytes, const char* format, va_list list),
       (to, bytes, format, list));
FORBID_VARIADIC(fprintf, format, vfprintf, (FILE * to, const char* format, ...),
                (to, format, list));
FORBID_VARIADIC(printf, format, vprintf, (const char* format, ...), (format, list));
FORBID_VARIADIC(dprintf, format, vdprintf, (int fd, const char* format, ...), (fd, format, list));
FORBID_VARIADIC(snprintf, format, vsnprintf, (char* to, size_t bytes, const char* format, ...),
                (to, bytes, format, list));

// --- locks, threads, and others that take one ----------------------------------------------------

FORBID(int, pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex));
FORBID(int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock));
FORBID(int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock));
FORBID(int, pthread_cond_wait, (pthread_cond_t * condition, pthread_mutex_t* mutex),
       (condition, mutex));
FORBID(int, pthread_once, (pthread_once_t * once, void (*routine)()), (once, routine));
FORBID(int, pthread_create,
       (pthread_t * to, const pthread_attr_t* with, void* (*routine)(void*), void* argument),
       (to, with, routine, argument));
FORBID(int, sem_wait, (sem_t * semaphore), (semaphore));
FORBID(DIR*, opendir, (const char* path), (path));
FORBID(dirent*, readdir, (DIR * directory), (directory));
FORBID(tm*, localtime_r, (const time_t* when, tm* to), (when, to));
FORBID(tm*, gmtime_r, (const time_t* when, tm* to), (when, to));
FORBID(size_t, strftime, (char* to, size_t bytes, const char* format, const tm* when),
       (to, bytes, format, when));
FORBID(char*, getenv, (const char* name), (name));
FORBID(void*, __cxa_allocate_exception, (size_t bytes), (bytes));
FORBID(char*, __cxa_demangle, (const char* name, char* to, size_t* bytes, int* status),
       (name, to, bytes, status));
