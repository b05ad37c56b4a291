// Cases 24 to 32: the life of the process. Forks, daemons, new programs, a second copy of the
// library, no threads to be had, another's rights, a seccomp filter, a pid that is given away.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <corodump/agent.hpp>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "tests/chaos/chaos_host.hpp"
#include "tests/chaos/orders.hpp"
#include "tests/chaos/refusal.hpp"

extern char** environ;

namespace {

namespace fs = std::filesystem;
using chaos::refusal;
using chaos::refuse;
using orders::count_of;
using orders::expect_orders;
using orders::expect_unharmed;
using orders::has_warning;
using orders::scratch;

constexpr uid_t nobody = 65534;

int ending_of(pid_t child) {
    int status = 0;
    CHAOS_REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// --- 24, 25: forks ------------------------------------------------------------------------------

TEST(Chaos, Case24_AForkStormDuringDumpsHarmsNeither) {
    const int forks = chaos::rounds(200, 5'000);
    chaos::setup with;
    with.deadline = std::chrono::seconds(300);
    chaos::host host(
        [forks] {
            const corodump::agent agent;
            orders::service waiting(100);
            std::thread([] { chaos::stay(); }).detach();
            chaos::tell("ready");
            for (int i = 0; i < forks; ++i) {
                const pid_t child = fork();
                CHAOS_REQUIRE(child >= 0);
                if (child == 0) {
                    alarm(60);
                    orders::service of_the_child(10);  // takes the pool's lock, and malloc's
                    _exit(of_the_child.finish() && waiting.finish() ? 0 : 1);
                }
                CHAOS_REQUIRE(ending_of(child) == 0);
            }
            chaos::tell("forked");
            orders::serve(waiting);
            _exit(0);
        },
        with);
    host.await_ready();
    std::atomic<bool> done{false};
    std::thread sender([&] {
        while (!done) {
            host.signal(SIGUSR1);
            usleep(1000);
        }
    });
    expect_orders(support::read_dump(host.await_dump()), 100);
    host.await("forked");
    done = true;
    sender.join();
    expect_unharmed(host);
}

/// As daemon(7) has it; the first process stays, since the test is its parent.
void run_daemonised(bool with_threads, int signals) {
    const corodump::agent agent;
    // The thread stands still when the process forks: AddressSanitizer's allocator has no fork handler, and
    // a thread that begins is inside of it.
    std::latch begun(1);
    if (with_threads)
        std::thread([&begun] {
            begun.count_down();
            chaos::stay();
        }).detach();
    if (with_threads) begun.wait();
    const pid_t first = fork();
    if (first != 0) {
        CHAOS_REQUIRE(ending_of(first) == 0);
        chaos::stay();
    }
    setsid();
    if (fork() != 0) _exit(0);
    alarm(60);
    orders::service waiting;
    for (int i = 0; i < signals; ++i) {
        chaos::tell(std::to_string(getpid()));
        CHAOS_REQUIRE(chaos::hear() == "next");
    }
    CHAOS_REQUIRE(waiting.finish());
    chaos::tell("ended well");
}

void expect_daemon_dumps(bool with_threads) {
    constexpr int signals = 3;
    chaos::host host([with_threads] { run_daemonised(with_threads, signals); });
    for (int i = 0; i < signals; ++i) {
        const int daemon = std::stoi(host.await_line());
        ASSERT_NE(daemon, host.pid());
        ASSERT_EQ(kill(daemon, SIGUSR1), 0);
        const std::string path = host.await_dump();
        expect_orders(support::read_dump(path));
        EXPECT_EQ(chaos::parse(path)["process"]["pid"], daemon);
        host.say("next");
    }
    host.await("ended well");
}

TEST(Chaos, Case25_ADaemonDumps) {
    expect_daemon_dumps(false);
}

TEST(Chaos, Case25_ADaemonOfAHostWithThreadsDumps) {
    expect_daemon_dumps(true);
}

// --- 26: new programs ---------------------------------------------------------------------------

constexpr int report = 9;  ///< where new programs write
constexpr char grep[] = "/bin/grep";
char* const grep_arguments[] = {const_cast<char*>("grep"), const_cast<char*>("^Sig[BI]"),
                                const_cast<char*>("/proc/self/status"), nullptr};

void fork_and_exec() {
    const pid_t child = fork();
    if (child == 0) {
        dup2(report, 1);
        execve(grep, grep_arguments, environ);
        _exit(127);
    }
    CHAOS_REQUIRE(ending_of(child) == 0);
}

void vfork_and_exec() {
    const pid_t child = vfork();
    if (child == 0) {
        dup2(report, 1);
        execv(grep, grep_arguments);
        _exit(127);
    }
    CHAOS_REQUIRE(ending_of(child) == 0);
}

void spawn() {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, report, 1);
    pid_t child = 0;
    CHAOS_REQUIRE(posix_spawnp(&child, "grep", &actions, nullptr, grep_arguments, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    CHAOS_REQUIRE(ending_of(child) == 0);
}

void run_shell() {
    CHAOS_REQUIRE(system("/bin/grep '^Sig[BI]' /proc/self/status >&9") == 0);
}

void open_shell() {
    FILE* const shell = popen("/bin/grep '^Sig[BI]' /proc/self/status >&9", "r");
    CHAOS_REQUIRE(shell != nullptr && pclose(shell) == 0);
}

std::string inherited_by_all() {
    std::string all;
    for (const auto& start : {fork_and_exec, vfork_and_exec, spawn, run_shell, open_shell}) {
        int ends[2];
        CHAOS_REQUIRE(pipe2(ends, O_CLOEXEC) == 0 && dup2(ends[1], report) == report);
        start();
        char text[512];
        const ssize_t bytes = read(ends[0], text, sizeof text);
        CHAOS_REQUIRE(bytes > 0);
        all.append(text, static_cast<std::size_t>(bytes)).append("--\n");
        close(ends[0]);
        close(ends[1]);
        close(report);
    }
    return all;
}

void block(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    CHAOS_REQUIRE(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
}

/// What new programs inherit, before there is an agent and while it dumps.
void expect_same_inheritance(void (*prepare)()) {
    chaos::host host([prepare] {
        prepare();
        const std::string before = inherited_by_all();
        const corodump::agent agent;
        orders::service waiting;
        chaos::tell("ready");
        CHAOS_REQUIRE(chaos::hear() == "start");
        std::string after;
        for (int i = 0; i < 5; ++i) {
            after = inherited_by_all();
            if (after != before) {
                dprintf(2, "before\n%safter\n%s", before.c_str(), after.c_str());
                _exit(chaos::gave_up);
            }
        }
        orders::serve(waiting);
    });
    host.await_ready();
    host.say("start");
    for (int i = 0; i < 20; ++i) host.signal(SIGUSR1);
    expect_orders(support::read_dump(host.await_dump()));
    expect_unharmed(host);
}

TEST(Chaos, Case26_NewProgramsOfAnOrdinaryHostInheritNothing) {
    expect_same_inheritance([] {});
}

TEST(Chaos, Case26_NewProgramsOfAHostThatBlocksTheSignalInheritThat) {
    expect_same_inheritance([] { block(SIGUSR1); });
}

TEST(Chaos, Case26_NewProgramsOfAHostThatIgnoresTheSignalInheritThat) {
    expect_same_inheritance([] { ::signal(SIGUSR1, SIG_IGN); });
}

TEST(Chaos, Case26_NewProgramsOfAHostWithAHandlerInheritNothing) {
    expect_same_inheritance([] { ::signal(SIGUSR1, [](int) {}); });
}

// --- 27, 28: loading and closing ----------------------------------------------------------------

void expect_survives_dlclose(const std::string& library, const std::string& function) {
    chaos::host host(chaos::program("plain_loads"), {library, function, CORODUMP_CHAOS_AGENT});
    host.await("started 0");
    host.await("agent loaded");
    for (int i = 0; i < 2; ++i) expect_orders(host.signal_and_await_dump(), 0);
    expect_unharmed(host);
}

TEST(Chaos, Case27_DlcloseOfTheAgentIsRefused) {
    expect_survives_dlclose(CORODUMP_CHAOS_AGENT, "corodump_install_v1");
}

TEST(Chaos, Case27_DlcloseOfAPluginThatBroughtTheAgentLeavesIt) {
    expect_survives_dlclose(chaos::program("auto_plugin_brings_agent.so"), "start_plugin");
}

/// One agent answers, whatever else was loaded: one dump a signal, one beacon, one pair of threads.
void expect_one_agent(chaos::host& host, std::size_t orders = 3) {
    host.await_ready();
    for (int i = 0; i < 2; ++i) expect_orders(host.signal_and_await_dump(), orders);
    const std::string proc = "/proc/" + std::to_string(host.pid());
    const auto beacons = chaos::run({"/bin/grep", "-c", "corodump-beacon", proc + "/maps"});
    EXPECT_EQ(beacons.output, "1\n");
    int watchdogs = 0;
    for (const auto& thread : fs::directory_iterator(proc + "/task"))
        watchdogs += chaos::run({"/bin/cat", thread.path() / "comm"}).output == "corodump-watch\n";
    EXPECT_EQ(watchdogs, 1);
    EXPECT_EQ(chaos::files_in(host.directory()).size(), 2U);
    expect_unharmed(host);
}

TEST(Chaos, Case28_TheSameLibraryPreloadedAndLinkedIsOneAgent) {
    ORDERS_NOT_UNDER_ASAN();
    chaos::setup with;
    with.preload = {CORODUMP_CHAOS_AGENT};
    chaos::host host(chaos::program("auto_serves"), {}, with);
    expect_one_agent(host);
}

TEST(Chaos, Case28_ACopyOfTheLibraryPreloadedIsOneAgent) {
    ORDERS_NOT_UNDER_ASAN();
    const scratch place;
    fs::copy_file(CORODUMP_CHAOS_AGENT, place.file("libcopy.so"));
    chaos::setup with;
    with.preload = {place.file("libcopy.so")};
    chaos::host host(chaos::program("auto_serves"), {}, with);
    expect_one_agent(host);
}

void expect_second_refused(const std::vector<std::string>& arguments, std::string_view line) {
    chaos::host host(chaos::program("auto_serves"), arguments);
    host.await("second " + std::to_string(EALREADY));
    EXPECT_EQ(count_of(host.await_error(line), "warning"), 1);
    expect_one_agent(host);
    EXPECT_EQ(count_of(host.errors(), line), 1) << host.errors();
}

TEST(Chaos, Case28_ASecondAgentInTheProgramIsRefused) {
    expect_second_refused({"twice"}, "an agent runs already");
}

TEST(Chaos, Case28_ASecondCopyOpenedIsRefused) {
    const scratch place;
    fs::copy_file(CORODUMP_CHAOS_AGENT, place.file("libcopy.so"));
    expect_second_refused({"dlopen", place.file("libcopy.so")}, "another copy of the agent");
}

TEST(Chaos, Case28_OfTwoCopiesInstalledAtTheSameMomentOneWins) {
    const scratch place;
    fs::copy_file(CORODUMP_CHAOS_AGENT, place.file("libcopy.so"));
    const int rounds = chaos::rounds(50, 1000);
    chaos::host host(chaos::program("plain_installs_two"),
                     {CORODUMP_CHAOS_AGENT, place.file("libcopy.so"), std::to_string(rounds)});
    const std::string first = host.await_line(), second = host.await_line();
    ASSERT_TRUE(first.starts_with("first ") && second.starts_with("second ")) << host.errors();
    printf("of %d rounds: %s, %s\n", rounds, first.c_str(), second.c_str());
    EXPECT_EQ(std::stoi(first.substr(6)) + std::stoi(second.substr(7)), rounds);
    EXPECT_EQ(count_of(host.errors(), "another copy of the agent's library"), rounds);
    expect_one_agent(host, 0);
}

#if !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)  // their runtimes load once only
TEST(Chaos, Case28_ASecondCopyInALinkNamespaceOfItsOwnIsRefused) {
    expect_second_refused({"dlmopen", CORODUMP_CHAOS_AGENT}, "another copy of the agent");
}
#endif

// --- 29: no threads -----------------------------------------------------------------------------

/// RLIMIT_NPROC does not bind root.
void forbid_threads_by_limit() {
    if (geteuid() == 0)
        CHAOS_REQUIRE(setgroups(0, nullptr) == 0 && setresgid(nobody, nobody, nobody) == 0 &&
                      setresuid(nobody, nobody, nobody) == 0);
    const rlimit none{0, 0};
    CHAOS_REQUIRE(setrlimit(RLIMIT_NPROC, &none) == 0);
}

void forbid_threads_by_filter() {
    refuse({{SYS_clone3, ENOSYS}, {SYS_clone, EAGAIN}});
}

void expect_harmless_without_threads(void (*forbid)()) {
    chaos::host host([forbid] {
        forbid();
        const corodump::agent agent;
        CHAOS_REQUIRE(agent.error().value() == EAGAIN);
        orders::service waiting;
        chaos::tell("ready");
        orders::serve(waiting);
    });
    host.await_ready();
    for (int i = 0; i < 100; ++i) host.signal(SIGUSR1);
    host.expect_answers();
    expect_unharmed(host);
    EXPECT_EQ(count_of(host.errors(), "\n"), 1) << host.errors();
    EXPECT_NE(host.errors().find("no thread could be made: SIGUSR1 will not dump"),
              std::string::npos);
    EXPECT_TRUE(chaos::files_in(host.directory()).empty());
}

TEST(Chaos, Case29_WithoutThreadsByTheLimitTheHostRunsOn) {
    expect_harmless_without_threads(forbid_threads_by_limit);
}

TEST(Chaos, Case29_WithoutThreadsByAFilterTheHostRunsOn) {
    expect_harmless_without_threads(forbid_threads_by_filter);
}

TEST(Chaos, Case29_WithoutThreadsTheHostsHandlerStillRuns) {
    chaos::host host([] {
        forbid_threads_by_filter();
        ::signal(SIGUSR1, [](int) { chaos::tell("mine"); });
        const corodump::agent agent;
        CHAOS_REQUIRE(agent.error().value() == EAGAIN);
        orders::service waiting;
        chaos::tell("ready");
        orders::serve(waiting);
    });
    host.await_ready();
    host.signal(SIGUSR1);
    host.await("mine");
    expect_unharmed(host);
}

// --- 30: another's rights -----------------------------------------------------------------------

/// The host says what it found; without an agent the signal does what it always did.
void expect_inactive(const std::string& program) {
    chaos::host host(program, {"secure"});
    const std::string said = host.await_line();
    if (said.starts_with("secure 0")) GTEST_SKIP() << "the file system is mounted nosuid";
    EXPECT_EQ(said, "secure 1 error " + std::to_string(ECANCELED));
    host.await_ready();
    host.expect_answers();
    EXPECT_NE(host.errors().find("AT_SECURE"), std::string::npos) << host.errors();
#ifdef CORODUMP_CLI
    EXPECT_EQ(chaos::run({CORODUMP_CLI, "trigger", std::to_string(host.pid())}).status, 4);
#endif
    host.signal(SIGUSR1);
    EXPECT_EQ(host.wait(), -SIGUSR1);
    EXPECT_TRUE(chaos::files_in(host.directory()).empty());
}

std::string marked_copy(const scratch& place, uid_t user, gid_t group, mode_t mode) {
    const std::string path = place.file("service");
    fs::copy_file(chaos::program("auto_serves"), path);
    EXPECT_EQ(chown(path.c_str(), user, group), 0);
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
}

TEST(Chaos, Case30_ASetGroupIdProgramHasNoAgent) {
    ORDERS_NOT_UNDER_ASAN();
    if (geteuid() != 0) GTEST_SKIP() << "it takes root to give a program another's group";
    const scratch place;
    expect_inactive(marked_copy(place, 0, nobody, 02755));
}

TEST(Chaos, Case30_ASetUserIdProgramHasNoAgent) {
    ORDERS_NOT_UNDER_ASAN();
    if (geteuid() != 0) GTEST_SKIP() << "it takes root to give a program another's identity";
    const scratch place;
    chmod(place.path().c_str(), 0755);
    // Root runs a program of nobody's: the loader then reads the libraries as nobody.
    for (fs::path at = fs::path(CORODUMP_CHAOS_AGENT).parent_path();; at = at.parent_path()) {
        struct stat status{};
        ASSERT_EQ(stat(at.c_str(), &status), 0);
        if ((status.st_mode & S_IXOTH) == 0)
            GTEST_SKIP() << at << " is closed to nobody, whose rights the program would have";
        if (at == at.root_path()) break;
    }
    expect_inactive(marked_copy(place, nobody, nobody, 04755));
}

/// A service that was started by root and then works as somebody else dumps as that one.
TEST(Chaos, Case30_AServiceThatDropsItsRightsDumpsAsItself) {
    if (geteuid() != 0) GTEST_SKIP() << "it takes root to have rights to drop";
    const scratch place;
    ASSERT_EQ(chown(place.path().c_str(), nobody, nobody), 0);
    chaos::setup with;
    with.directory = place.path();
    chaos::host host(
        [] {
            const corodump::agent agent;
            CHAOS_REQUIRE(setgroups(0, nullptr) == 0 && setresgid(nobody, nobody, nobody) == 0 &&
                          setresuid(nobody, nobody, nobody) == 0);
            orders::service waiting;
            chaos::tell("ready");
            orders::serve(waiting);
        },
        with);
    host.await_ready();
    const std::string path = (host.signal(SIGUSR1), host.await_dump());
    struct stat status{};
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, nobody);
    EXPECT_EQ(status.st_mode & 07777, 0600U);
    expect_orders(support::read_dump(path));
    expect_unharmed(host);
}

// --- 31: seccomp --------------------------------------------------------------------------------

std::vector<refusal> optional_calls(std::uint32_t error) {
    std::vector<refusal> calls;
    for (const long call :
         {SYS_process_vm_readv, SYS_memfd_create, SYS_renameat2, SYS_rt_sigpending,
          SYS_rt_sigtimedwait, SYS_madvise, SYS_munlock, SYS_pipe2, SYS_uname, SYS_prlimit64,
          SYS_getdents64, SYS_readlinkat, SYS_getsockname, SYS_getpeername, SYS_sched_getaffinity,
          SYS_statx, SYS_clone3})
        // The C library falls back to clone where clone3 is not known, not where it is refused.
        calls.push_back({call, call == SYS_clone3 ? std::uint32_t{ENOSYS} : error});
    calls.push_back(chaos::no_tmpfile);
    return calls;
}

void expect_alive_without(const std::vector<refusal>& calls, int dumps) {
    chaos::host host([&calls] {
        refuse(calls);
        orders::run();
    });
    host.await_ready();
    for (int i = 0; i < dumps; ++i) expect_orders(host.signal_and_await_dump());
    expect_unharmed(host);
}

TEST(Chaos, Case31_WithoutAnyOptionalCallItIsDegradedAndAlive) {
    ORDERS_NOT_UNDER_ASAN();
    expect_alive_without(optional_calls(EPERM), 2);
    expect_alive_without(optional_calls(ENOSYS), 2);
}

TEST(Chaos, Case31_WithoutOneOptionalCallItIsDegradedAndAlive) {
    ORDERS_NOT_UNDER_ASAN();
    for (const std::uint32_t error : {std::uint32_t{EPERM}, std::uint32_t{ENOSYS}})
        for (const refusal& each : optional_calls(error)) {
            SCOPED_TRACE("system call " + std::to_string(each.call));
            expect_alive_without({each}, chaos::rounds(1, 3));
        }
}

// --- 32: a pid that is given away ---------------------------------------------------------------

#ifdef CORODUMP_CLI

/// What happened when the target's pid went to another process at a system call of the command's.
struct swap_outcome {
    bool reached = false;         ///< the command came as far as that
    bool innocent_lived = false;  ///< the process that has the pid now was left alone
    int status = 0;               ///< the command's
};

/// The first process of a pid namespace of its own, where it can choose pids. It reports by a pipe.
class pid_namespace {
public:
    explicit pid_namespace(int swap_at) : swap_at_(swap_at) {}

    swap_outcome run() {
        CHAOS_REQUIRE(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
        CHAOS_REQUIRE(mount("proc", "/proc", "proc", 0, nullptr) == 0);
        start_target();
        start_command();
        swap_outcome outcome;
        outcome.reached = go_to_system_call();
        if (outcome.reached) {
            CHAOS_REQUIRE(kill(target_, SIGKILL) == 0 && ending_of(target_) == -SIGKILL);
            const pid_t innocent = take_pid(target_);
            ptrace(PTRACE_CONT, command_, nullptr, nullptr);
            outcome.status = ending_of(command_);
            outcome.innocent_lived = waitpid(innocent, nullptr, WNOHANG) == 0;
        }
        return outcome;
    }

private:
    void start_target() {
        int ready[2];
        CHAOS_REQUIRE(pipe2(ready, O_CLOEXEC) == 0);
        target_ = fork();
        if (target_ == 0) {
            const corodump::agent agent;
            orders::service waiting;
            CHAOS_REQUIRE(write(ready[1], "r", 1) == 1);
            chaos::stay();
        }
        char byte = 0;
        CHAOS_REQUIRE(read(ready[0], &byte, 1) == 1);
    }

    void start_command() {
        command_ = fork();
        if (command_ == 0) {
            const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
            dup2(nowhere, 1);
            dup2(nowhere, 2);
            CHAOS_REQUIRE(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0);
            execl(CORODUMP_CLI, CORODUMP_CLI, "trigger", "--timeout", "20",
                  std::to_string(target_).c_str(), nullptr);
            _exit(127);
        }
        int status = 0;
        CHAOS_REQUIRE(waitpid(command_, &status, 0) == command_ && WIFSTOPPED(status));
        CHAOS_REQUIRE(ptrace(PTRACE_SETOPTIONS, command_, nullptr,
                             PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0);
    }

    /// Stops the command before its n-th system call after the one that holds the target.
    bool go_to_system_call() {
        for (int after = -1; after < swap_at_;) {
            ptrace(PTRACE_SYSCALL, command_, nullptr, nullptr);
            int status = 0;
            CHAOS_REQUIRE(waitpid(command_, &status, 0) == command_);
            if (WIFEXITED(status)) return false;
            if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80)) continue;
            __ptrace_syscall_info info{};
            ptrace(static_cast<__ptrace_request>(PTRACE_GET_SYSCALL_INFO), command_, sizeof info,
                   &info);
            if (info.op != PTRACE_SYSCALL_INFO_ENTRY) continue;
            if (after >= 0 || info.entry.nr == SYS_pidfd_open) ++after;
        }
        return true;
    }

    /// Somebody else's process, which SIGUSR1 would kill.
    static pid_t take_pid(pid_t pid) {
        clone_args arguments{};
        arguments.exit_signal = SIGCHLD;
        arguments.set_tid = reinterpret_cast<std::uintptr_t>(&pid);
        arguments.set_tid_size = 1;
        const auto made = static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof arguments));
        if (made == 0) chaos::stay();
        CHAOS_REQUIRE(made == pid);
        return made;
    }

    int swap_at_;
    pid_t target_ = 0, command_ = 0;
};

/// In a child of a child, since unshare(CLONE_NEWPID) concerns the children of who calls it.
swap_outcome swap_at_system_call(int number, const std::string& directory) {
    swap_outcome outcome;
    int result[2];
    EXPECT_EQ(pipe2(result, O_CLOEXEC), 0);
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("CORODUMP_DIR", directory.c_str(), 1);
        close(2);
        open("/dev/null", O_WRONLY);
        if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) _exit(1);
        const pid_t first = fork();
        if (first == 0) {
            alarm(60);
            outcome = pid_namespace(number).run();
            CHAOS_REQUIRE(write(result[1], &outcome, sizeof outcome) == sizeof outcome);
            _exit(0);  // and with it everything in the namespace
        }
        _exit(ending_of(first));
    }
    close(result[1]);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(read(result[0], &outcome, sizeof outcome), ssize_t{sizeof outcome});
    close(result[0]);
    return outcome;
}

std::string why_no_pid_namespace() {
    const pid_t child = fork();
    if (child == 0) _exit(unshare(CLONE_NEWPID | CLONE_NEWNS) == 0 ? 0 : errno);
    const int error = ending_of(child);
    return error == 0 ? "" : "no pid namespace can be made: " + std::string(strerror(error));
}

TEST(Chaos, Case32_APidThatWasGivenAwayIsNotSignalled) {
    if (const std::string why = why_no_pid_namespace(); !why.empty()) GTEST_SKIP() << why;
    const scratch place;
    const int step = chaos::rounds(6, 1);
    int aborted = 0;
    for (int at = 1;; at += step) {
        SCOPED_TRACE("system call " + std::to_string(at) + " after pidfd_open");
        const swap_outcome outcome = swap_at_system_call(at, place.path());
        if (!outcome.reached) break;
        ASSERT_TRUE(outcome.innocent_lived);
        // "It has ended", unless the command had its answer before.
        EXPECT_TRUE(outcome.status == 1 || outcome.status == 0) << outcome.status;
        aborted += outcome.status == 1 ? 1 : 0;
    }
    EXPECT_GE(aborted, 3);
}

#endif

}  // namespace
