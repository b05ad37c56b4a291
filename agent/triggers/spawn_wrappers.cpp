// Symbols that stand before the C library's: a program that the host starts must not inherit our
// block of the signal (exec keeps the mask), nor lose SIG_IGN (exec resets a handler to SIG_DFL).
//
// Each wrapper arranges what the new program is to inherit, calls the C library's function and puts
// things back. Before install_signal, and for signals that the host had blocked itself, they only
// pass on. A signal taken meanwhile by the calling thread runs our handler there: no call of the
// host's is under way that it could interrupt.
//
//   exec*        unblock in this thread (and SIG_IGN) ─> real ─> on failure undo
//   posix_spawn  a copy of the attributes with the wanted mask, unless the host set one
//   system/popen unblock in this thread ─> real (which spawns with this thread's mask) ─> undo
//
// Where SIGUSR1 was SIG_IGN, posix_spawn and popen must have it ignored in *this* process while the
// child is made: there is no attribute for it. A request in that window is lost; it is short, and
// few hosts ignore the signal. system() cannot keep it so for the whole command, and has the shell
// ignore it instead.
//
// Threads: any. Signals: exec wrappers as safe as what they wrap: after vfork they use the stack
// only. Blocks:  as what they wrap. Errors: theirs; errno is theirs. Bounds:  the real functions
// are looked up in a constructor, never after fork or vfork.
#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "agent/triggers/request_state.hpp"

#define CORODUMP_INTERPOSED extern "C" __attribute__((visibility("default")))

namespace corodump::triggers {
namespace {

/// A function of the C library. A call from another library's constructor can come before ours.
template <class Function>
class real_function {
public:
    explicit constexpr real_function(const char* name) noexcept : name_(name) {}

    void resolve() noexcept { (void)get(); }

    Function get() noexcept {
        Function found = function_.load(std::memory_order_relaxed);
        if (found != nullptr) return found;
        found = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name_));
        function_.store(found, std::memory_order_relaxed);
        return found;
    }

    template <class... Args>
    auto operator()(Args... args) noexcept(false) -> decltype(Function{}(args...)) {
        using result = decltype(Function{}(args...));
        if (Function found = get(); found != nullptr) return found(args...);
        errno = ENOSYS;
        if constexpr (std::is_pointer_v<result>)
            return nullptr;
        else
            return -1;
    }

private:
    const char* name_;
    std::atomic<Function> function_{nullptr};
};

using exec_function = int (*)(const char*, char* const*);
using exec_environment_function = int (*)(const char*, char* const*, char* const*);
using fexecve_function = int (*)(int, char* const*, char* const*);
using execveat_function = int (*)(int, const char*, char* const*, char* const*, int);
using spawn_function = int (*)(pid_t*, const char*, const posix_spawn_file_actions_t*,
                               const posix_spawnattr_t*, char* const*, char* const*);

constinit real_function<exec_function> real_execv{"execv"};
constinit real_function<exec_function> real_execvp{"execvp"};
constinit real_function<exec_environment_function> real_execve{"execve"};
constinit real_function<exec_environment_function> real_execvpe{"execvpe"};
constinit real_function<fexecve_function> real_fexecve{"fexecve"};
constinit real_function<execveat_function> real_execveat{"execveat"};
constinit real_function<spawn_function> real_posix_spawn{"posix_spawn"};
constinit real_function<spawn_function> real_posix_spawnp{"posix_spawnp"};
constinit real_function<int (*)(const char*)> real_system{"system"};
constinit real_function<FILE* (*)(const char*, const char*)> real_popen{"popen"};

__attribute__((constructor)) void resolve_all() noexcept {
    real_execv.resolve();
    real_execvp.resolve();
    real_execve.resolve();
    real_execvpe.resolve();
    real_fexecve.resolve();
    real_execveat.resolve();
    real_posix_spawn.resolve();
    real_posix_spawnp.resolve();
    real_system.resolve();
    real_popen.resolve();
}

/// The signal whose block is ours to undo, or 0.
int blocked_by_us() noexcept {
    const int signal = requests.signal.load(std::memory_order_acquire);
    return requests.host_blocked.load(std::memory_order_relaxed) ? 0 : signal;
}

/// The signal that a new program must find ignored, or 0.
int ignored_by_host() noexcept {
    const bool ours = requests.handler_active.load(std::memory_order_acquire) &&
                      requests.host_ignored.load(std::memory_order_relaxed);
    return ours ? requests.signal.load(std::memory_order_relaxed) : 0;
}

/// This thread's mask as it would be without the agent, while it lives.
class mask_without_us {
public:
    mask_without_us() noexcept {
        const int signal = blocked_by_us();
        if (signal == 0) return;
        sigemptyset(&ours_);
        sigaddset(&ours_, signal);
        sigset_t before;
        pthread_sigmask(SIG_UNBLOCK, &ours_, &before);
        changed_ = sigismember(&before, signal) == 1;
    }
    ~mask_without_us() {
        const int saved_errno = errno;
        if (changed_) pthread_sigmask(SIG_BLOCK, &ours_, nullptr);
        errno = saved_errno;
    }
    mask_without_us(const mask_without_us&) = delete;
    mask_without_us& operator=(const mask_without_us&) = delete;

private:
    sigset_t ours_{};
    bool changed_ = false;
};

void ignore(int signal) noexcept {
    struct sigaction action{};
    action.sa_handler = SIG_IGN;
    sigaction(signal, &action, nullptr);
}

/// Leaves alone what somebody else installed meanwhile.
void stop_ignoring(int signal) noexcept {
    struct sigaction action{};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_IGN) return;
    action = {};
    action.sa_sigaction = corodump_handle_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigaction(signal, &action, nullptr);
}

/// For exec, which does not come back when it worked: nothing may be counted here, since a child of
/// vfork would count in its parent's memory. The actions it changes are its own.
class ignored_for_exec {
public:
    ignored_for_exec() noexcept : signal_(ignored_by_host()) {
        if (signal_ != 0) ignore(signal_);
    }
    ~ignored_for_exec() {
        const int saved_errno = errno;
        if (signal_ != 0) stop_ignoring(signal_);
        errno = saved_errno;
    }
    ignored_for_exec(const ignored_for_exec&) = delete;
    ignored_for_exec& operator=(const ignored_for_exec&) = delete;

private:
    int signal_;
};

/// For posix_spawn and popen. The windows of several threads overlap: the last one that closes puts
/// the handler back, and looks again for one that opened meanwhile.
class ignored_for_spawn {
public:
    ignored_for_spawn() noexcept : signal_(ignored_by_host()) {
        if (signal_ == 0) return;
        requests.ignore_window.fetch_add(1, std::memory_order_acq_rel);
        ignore(signal_);
    }
    ~ignored_for_spawn() {
        const int saved_errno = errno;
        if (signal_ != 0 && requests.ignore_window.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            stop_ignoring(signal_);
            if (requests.ignore_window.load(std::memory_order_acquire) != 0) ignore(signal_);
        }
        errno = saved_errno;
    }
    ignored_for_spawn(const ignored_for_spawn&) = delete;
    ignored_for_spawn& operator=(const ignored_for_spawn&) = delete;

private:
    int signal_;
};

template <class Call>
int exec_without_us(Call call) {
    const ignored_for_exec ignored;
    const mask_without_us mask;
    return call();
}

int spawn(real_function<spawn_function>& real, pid_t* pid, const char* path,
          const posix_spawn_file_actions_t* actions, const posix_spawnattr_t* attributes,
          char* const* argv, char* const* environment) {
    const ignored_for_spawn ignored;
    const int signal = blocked_by_us();
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    short flags = 0;
    if (attributes != nullptr) posix_spawnattr_getflags(attributes, &flags);
    const bool host_chose = (flags & POSIX_SPAWN_SETSIGMASK) != 0;
    if (signal == 0 || host_chose || sigismember(&mask, signal) != 1)
        return real(pid, path, actions, attributes, argv, environment);

    // A copy of the whole struct: attributes that newer C libraries add go with it. It owns
    // nothing.
    posix_spawnattr_t ours;
    posix_spawnattr_init(&ours);
    if (attributes != nullptr) std::memcpy(&ours, attributes, sizeof(ours));
    sigdelset(&mask, signal);
    posix_spawnattr_setsigmask(&ours, &mask);
    posix_spawnattr_setflags(&ours, static_cast<short>(flags | POSIX_SPAWN_SETSIGMASK));
    return real(pid, path, actions, &ours, argv, environment);
}

/// system() with the signal ignored by the shell, and so by what it starts.
int system_ignoring(int signal, const char* command) {
    char prefix[32] = "trap '' ";
    char* end = std::to_chars(prefix + 8, prefix + sizeof(prefix) - 2, signal).ptr;
    *end++ = ';';
    const auto prefix_bytes = static_cast<std::size_t>(end - prefix);
    const std::size_t command_bytes = std::strlen(command) + 1;
    void* const memory = mmap(nullptr, prefix_bytes + command_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return real_system(command);
    auto* const text = static_cast<char*>(memory);
    std::memcpy(text, prefix, prefix_bytes);
    std::memcpy(text + prefix_bytes, command, command_bytes);
    const int status = real_system(text);
    const int saved_errno = errno;
    munmap(memory, prefix_bytes + command_bytes);
    errno = saved_errno;
    return status;
}

/// A va_list in a struct: as a parameter it would be a copy on some machines, a pointer on others.
struct argument_list {
    va_list rest;
};

std::size_t count_arguments(argument_list& list) noexcept {
    va_list copy;
    va_copy(copy, list.rest);
    std::size_t count = 1;
    while (va_arg(copy, const char*) != nullptr) ++count;
    va_end(copy);
    return count;
}

/// `argv` has room for what count_arguments said and the null. Leaves `list` behind the null.
char** collect_arguments(char** argv, const char* first, argument_list& list) noexcept {
    char** next = argv;
    *next++ = const_cast<char*>(first);
    while ((*next++ = va_arg(list.rest, char*)) != nullptr) {
    }
    return argv;
}

}  // namespace
}  // namespace corodump::triggers

using namespace corodump::triggers;  // NOLINT(google-build-using-namespace): C symbols below

CORODUMP_INTERPOSED int execve(const char* path, char* const argv[], char* const envp[]) noexcept {
    return exec_without_us([&] { return real_execve(path, argv, envp); });
}

CORODUMP_INTERPOSED int execv(const char* path, char* const argv[]) noexcept {
    return exec_without_us([&] { return real_execv(path, argv); });
}

CORODUMP_INTERPOSED int execvp(const char* file, char* const argv[]) noexcept {
    return exec_without_us([&] { return real_execvp(file, argv); });
}

CORODUMP_INTERPOSED int execvpe(const char* file, char* const argv[], char* const envp[]) noexcept {
    return exec_without_us([&] { return real_execvpe(file, argv, envp); });
}

CORODUMP_INTERPOSED int fexecve(int fd, char* const argv[], char* const envp[]) noexcept {
    return exec_without_us([&] { return real_fexecve(fd, argv, envp); });
}

CORODUMP_INTERPOSED int execveat(int fd, const char* path, char* const argv[], char* const envp[],
                                 int flags) noexcept {
    return exec_without_us([&] { return real_execveat(fd, path, argv, envp, flags); });
}

// The C library collects these arguments on the stack too: there is nowhere else after vfork. The
// memory is each wrapper's own frame, so that it lives until the exec.
#define CORODUMP_ARGUMENTS(list, first)                                                         \
    collect_arguments(static_cast<char**>(alloca((count_arguments(list) + 1) * sizeof(char*))), \
                      first, list)

CORODUMP_INTERPOSED int execl(const char* path, const char* argument, ...) noexcept {
    argument_list list;
    va_start(list.rest, argument);
    char** const argv = CORODUMP_ARGUMENTS(list, argument);
    va_end(list.rest);
    return execv(path, argv);
}

CORODUMP_INTERPOSED int execlp(const char* file, const char* argument, ...) noexcept {
    argument_list list;
    va_start(list.rest, argument);
    char** const argv = CORODUMP_ARGUMENTS(list, argument);
    va_end(list.rest);
    return execvp(file, argv);
}

CORODUMP_INTERPOSED int execle(const char* path, const char* argument, ...) noexcept {
    argument_list list;
    va_start(list.rest, argument);
    char** const argv = CORODUMP_ARGUMENTS(list, argument);
    char* const* const envp = va_arg(list.rest, char* const*);
    va_end(list.rest);
    return execve(path, argv, envp);
}

CORODUMP_INTERPOSED int posix_spawn(pid_t* pid, const char* path,
                                    const posix_spawn_file_actions_t* actions,
                                    const posix_spawnattr_t* attributes, char* const argv[],
                                    char* const envp[]) {
    return spawn(real_posix_spawn, pid, path, actions, attributes, argv, envp);
}

CORODUMP_INTERPOSED int posix_spawnp(pid_t* pid, const char* file,
                                     const posix_spawn_file_actions_t* actions,
                                     const posix_spawnattr_t* attributes, char* const argv[],
                                     char* const envp[]) {
    return spawn(real_posix_spawnp, pid, file, actions, attributes, argv, envp);
}

CORODUMP_INTERPOSED int system(const char* command) {
    const mask_without_us mask;
    const int ignored = ignored_by_host();
    return command == nullptr || ignored == 0 ? real_system(command)
                                              : system_ignoring(ignored, command);
}

CORODUMP_INTERPOSED FILE* popen(const char* command, const char* mode) {
    const ignored_for_spawn ignored;
    const mask_without_us mask;
    return real_popen(command, mode);
}
