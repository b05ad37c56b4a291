// Threads that hold still, each in a way of its own, and some that run: what threads_test takes
// dumps of, and compares with gdb. Compiled in several ways; names are C's, so that they read alike
// everywhere.
//
//   zoo DIRECTORY [vfork]       says "ready", then a dump's path for each line it reads
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <corodump/agent.hpp>

namespace {

constexpr int for_long_ms = 1'000'000;
sem_t never_posted;
std::atomic<long> sink;

/// Ends a function that calls another, so that the call is none in tail position.
void stay() {
    asm volatile("" ::: "memory");
}

}  // namespace

#if defined(__clang__)
#define ZOO extern "C" __attribute__((noinline))
#else
#define ZOO extern "C" __attribute__((noinline, noclone))
#endif

ZOO void zoo_wait_for_ever() {
    while (sem_wait(&never_posted) != 0) stay();
    stay();
}

ZOO void* zoo_futex(void*) {
    zoo_wait_for_ever();
    return nullptr;
}

ZOO void* zoo_epoll_wait(void*) {
    const int set = epoll_create1(0);
    epoll_event event{};
    while (epoll_wait(set, &event, 1, for_long_ms) <= 0) stay();
    return nullptr;
}

ZOO void* zoo_read(void*) {
    int ends[2] = {};
    char byte = 0;
    if (pipe(ends) != 0) abort();
    while (read(ends[0], &byte, 1) != 1) stay();
    return nullptr;
}

ZOO void* zoo_nanosleep(void*) {
    const timespec long_time{1000, 0};
    while (nanosleep(&long_time, nullptr) != 0) stay();
    return nullptr;
}

ZOO void* zoo_poll(void*) {
    while (poll(nullptr, 0, for_long_ms) != 1) stay();
    return nullptr;
}

ZOO void* zoo_recv_timed(void*) {
    int ends[2] = {};
    char byte = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) abort();
    const timeval limit{1000, 0};
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    while (recv(ends[0], &byte, 1, 0) != 1) stay();
    return nullptr;
}

ZOO void zoo_handler(int) {
    while (poll(nullptr, 0, for_long_ms) != 1) stay();
}

ZOO void zoo_raise() {
    raise(SIGUSR2);
    stay();
}

ZOO void* zoo_altstack(void*) {
    stack_t stack{};
    stack.ss_size = 256 * 1024;
    stack.ss_sp = malloc(stack.ss_size);
    sigaltstack(&stack, nullptr);
    struct sigaction action = {};
    action.sa_handler = zoo_handler;
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR2, &action, nullptr);
    zoo_raise();
    return nullptr;
}

ZOO int zoo_recurse(int depth) {
    char room[48];
    memset(room, depth, sizeof room);
    if (depth == 0) zoo_wait_for_ever();
    const int below = depth == 0 ? 0 : zoo_recurse(depth - 1);
    sink.fetch_add(room[static_cast<unsigned>(depth) % sizeof room], std::memory_order_relaxed);
    return below + 1;
}

ZOO void* zoo_deep(void*) {
    sink.fetch_add(zoo_recurse(200));
    return nullptr;
}

ZOO int zoo_compare(const void*, const void*) {
    zoo_wait_for_ever();
    return 0;
}

ZOO void* zoo_qsort(void*) {
    int numbers[16] = {3, 1, 2};
    qsort(numbers, 16, sizeof numbers[0], zoo_compare);
    stay();
    return nullptr;
}

ZOO void* zoo_malloc(void*) {
    for (std::size_t size = 16;; size = size % 4096 + 16) {
        void* volatile made = malloc(size);
        free(made);
    }
}

ZOO void zoo_spin() {
    for (;;) stay();
}

ZOO void* zoo_busy(void*) {
    zoo_spin();
    stay();
    return nullptr;
}

ZOO void* zoo_clock(void*) {
    for (timespec now{};;) clock_gettime(CLOCK_MONOTONIC, &now);
}

ZOO void* zoo_deaf(void*) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    zoo_spin();
    stay();
    return nullptr;
}

/// The child has the parent's memory and stack until it ends: it makes system calls only.
ZOO void zoo_vforks() {
    int ends[2] = {};
    if (pipe(ends) != 0) abort();
    const pid_t child = vfork();
    if (child == 0) {
        close(ends[1]);
        char byte = 0;
        while (read(ends[0], &byte, 1) == -1) stay();  // until the parent is gone
        _exit(0);
    }
    stay();
}

ZOO void* zoo_vfork(void*) {
    zoo_vforks();
    return nullptr;
}

/// Who asks for a dump is in it too.
ZOO void zoo_dumps() {
    const auto dump = corodump::dump_now();
    puts(dump ? dump.path.c_str() : dump.error.message().c_str());
    fflush(stdout);
    stay();
}

ZOO void zoo_asks() {
    zoo_dumps();
    stay();
}

namespace {

struct animal {
    const char* name;
    void* (*routine)(void*);
    long call;  ///< what it is to block in; -1: it runs
};
#ifdef SYS_poll
constexpr long poll_call = SYS_poll, epoll_call = SYS_epoll_wait;
#else
constexpr long poll_call = SYS_ppoll, epoll_call = SYS_epoll_pwait;
#endif
constexpr animal animals[] = {
    {"futex", zoo_futex, SYS_futex},
    {"epoll_wait", zoo_epoll_wait, epoll_call},
    {"read", zoo_read, SYS_read},
    {"nanosleep", zoo_nanosleep, SYS_clock_nanosleep},
    {"poll", zoo_poll, poll_call},
    {"recv_timed", zoo_recv_timed, SYS_recvfrom},
    {"altstack", zoo_altstack, poll_call},
    {"deep", zoo_deep, SYS_futex},
    {"qsort", zoo_qsort, SYS_futex},
    {"malloc", zoo_malloc, -1},
    {"busy", zoo_busy, -1},
    {"clock", zoo_clock, -1},
    {"deaf", zoo_deaf, -1},
};
constexpr animal vfork_animal[] = {{"vfork", zoo_vfork, SYS_vfork}};

void* live(void* self) {
    const auto& kind = *static_cast<const animal*>(self);
    pthread_setname_np(pthread_self(), kind.name);
    return kind.routine(nullptr);
}

/// Some threads make other calls before they block in theirs.
void await_blocked(pid_t tid, long call) {
    char path[64], line[256] = {};
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", static_cast<int>(tid));
    while (call >= 0) {
        FILE* const file = fopen(path, "r");
        if (file == nullptr || fgets(line, sizeof line, file) == nullptr) abort();
        fclose(file);
        if (line[0] != 'r' && strtol(line, nullptr, 10) == call) return;
        sched_yield();
    }
}

void start(const animal& kind) {
    pthread_t thread{};
    if (pthread_create(&thread, nullptr, live, const_cast<animal*>(&kind)) != 0) abort();
    struct clock_of {
        static pid_t tid(pthread_t of) {
            clockid_t clock{};
            pthread_getcpuclockid(of, &clock);
            return ~(clock >> 3);  // as the kernel makes it of a thread's id
        }
    };
    await_blocked(clock_of::tid(thread), kind.call);
}

}  // namespace

int main(int, char** arguments) {
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sem_init(&never_posted, 0, 0);
    corodump::options options;
    options.directory = arguments[1];
    const corodump::agent agent(options);
    if (arguments[2] != nullptr)
        for (const animal& kind : vfork_animal) start(kind);
    else
        for (const animal& kind : animals) start(kind);
    puts("ready");
    fflush(stdout);
    for (char line[64]; fgets(line, sizeof line, stdin) != nullptr;) zoo_asks();
    _exit(0);
}
