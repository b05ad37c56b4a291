#include "agent/cli/trigger.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <new>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>

#include "agent/cli/exit_code.hpp"
#include "agent/cli/target_process.hpp"
#include "agent/model/beacon.hpp"

namespace corodump::cli {
namespace {

/// A process of ours that runs `body` and then sleeps until it is killed.
class child_process {
public:
    explicit child_process(const std::function<void()>& body) {
        std::array<int, 2> ready{};
        if (::pipe2(ready.data(), O_CLOEXEC) != 0) std::abort();
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            body();
            const char done = '+';
            if (::write(ready[1], &done, 1) != 1) ::_exit(1);
            for (;;) ::pause();
        }
        ::close(ready[1]);
        char done = 0;
        started_ = ::read(ready[0], &done, 1) == 1;
        ::close(ready[0]);
    }
    ~child_process() {
        ::kill(pid_, SIGKILL);
        ::kill(pid_, SIGCONT);
        ::waitpid(pid_, nullptr, 0);
    }
    child_process(const child_process&) = delete;
    child_process& operator=(const child_process&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] bool started() const { return started_; }
    /// Still alive, without reaping it.
    [[nodiscard]] bool alive() const {
        siginfo_t info{};
        ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
        return info.si_pid == 0;
    }

private:
    pid_t pid_ = -1;
    bool started_ = false;
};

/// The agent's side of the rendezvous, with nothing behind it.
class fake_agent {
public:
    std::string path = "/tmp/corodump-fake.json";
    std::string error_text;
    bool answers = true;
    bool installs_handler = true;
    bool dies = false;

    void start() {
        sigset_t signals;
        sigemptyset(&signals);
        sigaddset(&signals, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &signals, nullptr);
        map_beacon();
        if (installs_handler) install();
        std::atomic<bool> running = false;
        std::thread([this, &running] { signal_thread(running); }).detach();
        running.wait(false);
    }

private:
    void map_beacon() {
        const int descriptor = ::memfd_create(model::beacon_mapping_name, MFD_CLOEXEC);
        if (descriptor < 0 || ::ftruncate(descriptor, 4096) != 0) ::_exit(2);
        void* const page =
            ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
        ::close(descriptor);
        beacon = new (page) model::beacon{};
        std::memcpy(beacon->magic, "corodump", sizeof beacon->magic);
        beacon->version = model::beacon::current_version;
        beacon->size_bytes = sizeof(model::beacon);
        beacon->pid = ::getpid();
        beacon->signal = SIGUSR1;
    }

    static void install() {
        struct sigaction action{};
        action.sa_flags = SA_SIGINFO | SA_RESTART;
        action.sa_sigaction = [](int, siginfo_t* info, void*) {
            sender = info->si_pid;
            code = info->si_code;
            taker = static_cast<pid_t>(::syscall(SYS_gettid));
            beacon->requests.fetch_add(1);
        };
        ::sigaction(SIGUSR1, &action, nullptr);
    }

    void signal_thread(std::atomic<bool>& running) {
        ::prctl(PR_SET_NAME, model::signal_thread_name);
        beacon->signal_tid = static_cast<std::int32_t>(::syscall(SYS_gettid));
        sigset_t none;
        sigemptyset(&none);
        running = true;
        running.notify_all();
        for (;;) {
            // Unblocked only while it waits, so that no request comes between test and sleep.
            ::ppoll(nullptr, 0, nullptr, &none);
            if (beacon->requests.load() > beacon->answered.load()) answer();
        }
    }

    void answer() const {
        if (dies) ::_exit(3);
        if (!answers) return;
        beacon->revision.fetch_add(1);
        // What the test looks at travels in the fields of the answer.
        const std::string told =
            taker == beacon->signal_tid && code == SI_QUEUE && sender == ::getppid()
                ? path
                : "/tmp/wrong-thread-or-sender";
        told.copy(beacon->last_path, sizeof beacon->last_path - 1);
        error_text.copy(beacon->last_error_text, sizeof beacon->last_error_text - 1);
        beacon->last_error = error_text.empty() ? 0 : ENOSPC;
        beacon->revision.fetch_add(1);
        beacon->dumps.fetch_add(1);
        beacon->answered.store(beacon->requests.load());
    }

    static inline model::beacon* beacon = nullptr;
    static inline std::atomic<pid_t> sender = 0;
    static inline std::atomic<pid_t> taker = 0;
    static inline std::atomic<int> code = 0;
};

struct outcome {
    int code = -1;
    std::string out, problems;
    [[nodiscard]] bool tells(std::string_view text) const {
        return problems.find(text) != std::string::npos &&
               std::count(problems.begin(), problems.end(), '\n') == 1;
    }
};

outcome trigger(pid_t pid, bool force = false,
                std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
    std::ostringstream out;
    std::ostringstream problems;
    outcome result;
    result.code = run_trigger({pid, force, timeout}, out, problems);
    result.out = out.str();
    result.problems = problems.str();
    return result;
}

TEST(Trigger, PrintsThePathOfTheDumpItAskedFor) {
    const child_process child([] { (new fake_agent)->start(); });
    ASSERT_TRUE(child.started());
    const outcome first = trigger(child.pid());
    EXPECT_EQ(first.code, exit_ok) << first.problems;
    EXPECT_EQ(first.out, "/tmp/corodump-fake.json\n");
    EXPECT_EQ(trigger(child.pid()).code, exit_ok);
    EXPECT_TRUE(child.alive());
}

TEST(Trigger, ReportsWhyADumpFailed) {
    const child_process child([] {
        auto* agent = new fake_agent;
        agent->error_text = "No space left on device\x1b[2J";
        agent->start();
    });
    const outcome o = trigger(child.pid());
    EXPECT_EQ(o.code, exit_problem);
    EXPECT_TRUE(o.tells("could not write its dump: No space left on device\\x1b[2J")) << o.problems;
}

TEST(Trigger, GivesUpAfterTheTimeout) {
    const child_process child([] {
        auto* agent = new fake_agent;
        agent->answers = false;
        agent->start();
    });
    const outcome o = trigger(child.pid(), false, std::chrono::milliseconds(300));
    EXPECT_EQ(o.code, exit_no_answer);
    EXPECT_TRUE(o.tells("took the request but has not finished")) << o.problems;
}

TEST(Trigger, NoticesADeathWhileItWaits) {
    const child_process child([] {
        auto* agent = new fake_agent;
        agent->dies = true;
        agent->start();
    });
    const outcome o = trigger(child.pid());
    EXPECT_EQ(o.code, exit_problem);
    EXPECT_NE(o.problems.find("ended"), std::string::npos) << o.problems;
}

TEST(Trigger, DoesNotWaitForAStoppedProcess) {
    const child_process child([] { (new fake_agent)->start(); });
    ASSERT_EQ(::kill(child.pid(), SIGSTOP), 0);
    ASSERT_EQ(::waitpid(child.pid(), nullptr, WUNTRACED), child.pid());
    const outcome o = trigger(child.pid());
    EXPECT_EQ(o.code, exit_no_answer);
    EXPECT_TRUE(o.tells("is stopped")) << o.problems;
}

TEST(Trigger, RefusesAnAgentWhoseHandlerIsGone) {
    const child_process child([] {
        auto* agent = new fake_agent;
        agent->installs_handler = false;
        agent->start();
    });
    const outcome o = trigger(child.pid(), true);
    EXPECT_EQ(o.code, exit_refused);
    EXPECT_TRUE(o.tells("no longer its handler for SIGUSR1")) << o.problems;
    EXPECT_TRUE(child.alive());
}

TEST(Trigger, NeverKillsAProcessWithoutAnAgent) {
    const child_process child([] { ::signal(SIGUSR1, SIG_DFL); });
    for (const bool force : {false, true}) {
        const outcome o = trigger(child.pid(), force);
        EXPECT_EQ(o.code, exit_refused);
        EXPECT_TRUE(o.tells("SIGUSR1 would kill it")) << o.problems;
    }
    EXPECT_TRUE(child.alive());
}

TEST(Trigger, RefusesAProcessThatIgnoresTheSignal) {
    const child_process child([] { ::signal(SIGUSR1, SIG_IGN); });
    const outcome o = trigger(child.pid(), true);
    EXPECT_EQ(o.code, exit_refused);
    EXPECT_TRUE(o.tells("ignores SIGUSR1")) << o.problems;
}

TEST(Trigger, SignalsAForeignHandlerOnlyByForce) {
    std::array<int, 2> heard{};
    ASSERT_EQ(::pipe(heard.data()), 0);
    static int heard_by_handler = -1;
    const child_process child([&] {
        heard_by_handler = heard[1];
        ::signal(SIGUSR1, [](int) {
            if (::write(heard_by_handler, "!", 1) != 1) ::_exit(1);
        });
    });
    const outcome refused = trigger(child.pid());
    EXPECT_EQ(refused.code, exit_refused);
    EXPECT_TRUE(refused.tells("which --force would call")) << refused.problems;
    pollfd hears{heard[0], POLLIN, 0};
    EXPECT_EQ(::poll(&hears, 1, 0), 0);
    const outcome forced = trigger(child.pid(), true);
    EXPECT_EQ(forced.code, exit_ok);
    EXPECT_EQ(::poll(&hears, 1, 20'000), 1);
    ::close(heard[0]);
    ::close(heard[1]);
}

TEST(Trigger, RefusesAForkOfAProcessWithAnAgent) {
    std::array<int, 2> pids{};
    ASSERT_EQ(::pipe(pids.data()), 0);
    const child_process child([&] {
        (new fake_agent)->start();
        if (::fork() != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        // Told only now: before, the death of its parent would not end it, and it would outlive us.
        const pid_t grandchild = ::getpid();
        if (::write(pids[1], &grandchild, sizeof grandchild) != sizeof grandchild) ::_exit(1);
        for (;;) ::pause();
    });
    pid_t grandchild = 0;
    ASSERT_EQ(::read(pids[0], &grandchild, sizeof grandchild),
              static_cast<ssize_t>(sizeof grandchild));
    const outcome o = trigger(grandchild);
    EXPECT_EQ(o.code, exit_refused);
    EXPECT_TRUE(o.tells("no agent runs in it")) << o.problems;
    ::close(pids[0]);
    ::close(pids[1]);
}

TEST(Trigger, RefusesWhatIsNoProcess) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
    const outcome zombie = trigger(pid);
    EXPECT_EQ(zombie.code, exit_refused);
    EXPECT_TRUE(zombie.tells("is a zombie")) << zombie.problems;
    ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
    const outcome gone = trigger(pid);
    EXPECT_EQ(gone.code, exit_refused);
    EXPECT_TRUE(gone.tells("there is no process")) << gone.problems;
}

TEST(Trigger, SaysWhenItIsNotPermitted) {
    if (::geteuid() != 0) GTEST_SKIP() << "becoming another user takes root";
    const child_process target([] { (new fake_agent)->start(); });
    const pid_t pid = ::fork();
    if (pid == 0) {
        constexpr uid_t nobody = 65534;
        if (::setgid(nobody) != 0 || ::setuid(nobody) != 0) ::_exit(99);
        const outcome o = trigger(target.pid(), true);
        ::_exit(o.tells("may not read") ? o.code : 98);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(WEXITSTATUS(status), exit_permission);
    EXPECT_TRUE(target.alive());
}

TEST(Trigger, FindsTheThreadInAnInnerPidNamespace) {
    if (::geteuid() != 0) GTEST_SKIP() << "a pid namespace takes root";
    std::array<int, 2> pids{};
    ASSERT_EQ(::pipe(pids.data()), 0);
    const child_process outer([&] {
        if (::unshare(CLONE_NEWPID) != 0) ::_exit(1);
        std::array<int, 2> ready{};
        if (::pipe(ready.data()) != 0) ::_exit(1);
        const pid_t inner = ::fork();
        if (inner == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            (new fake_agent)->start();
            if (::getpid() != 1 || ::write(ready[1], "+", 1) != 1) ::_exit(1);
            for (;;) ::pause();
        }
        char done = 0;
        if (::read(ready[0], &done, 1) != 1) ::_exit(1);
        if (::write(pids[1], &inner, sizeof inner) != sizeof inner) ::_exit(1);
    });
    ASSERT_TRUE(outer.started());
    pid_t inner = 0;
    ASSERT_EQ(::read(pids[0], &inner, sizeof inner), static_cast<ssize_t>(sizeof inner));
    const outcome o = trigger(inner);
    EXPECT_EQ(o.code, exit_ok) << o.problems;
    EXPECT_EQ(o.out, "/tmp/corodump-fake.json\n");
    ::close(pids[0]);
    ::close(pids[1]);
}

TEST(Trigger, RefusesAThreadThatIsNoProcess) {
    std::atomic<pid_t> thread = 0;
    std::atomic<bool> done = false;
    std::thread other([&] {
        thread = static_cast<pid_t>(::syscall(SYS_gettid));
        thread.notify_all();
        done.wait(false);
    });
    thread.wait(0);
    EXPECT_EQ(trigger(thread).code, exit_refused);
    done = true;
    done.notify_all();
    other.join();
}

TEST(ParseStatus, ReadsWhatTheKernelPrints) {
    const process_status s = parse_status(
        "Name:\ta b\nState:\tS (sleeping)\nTgid:\t12\nNSpid:\t12\t3\nSigIgn:\t0000000000001000\n"
        "SigCgt:\t0000000000000200\n");
    EXPECT_EQ(s.name, "a b");
    EXPECT_EQ(s.state, 'S');
    EXPECT_EQ(s.thread_group, 12);
    EXPECT_EQ(s.own_pid(12), 3);
    EXPECT_EQ(s.on(SIGUSR1), disposition::handled);
    EXPECT_EQ(s.on(SIGPIPE), disposition::ignored);
    EXPECT_EQ(s.on(SIGUSR2), disposition::fatal);
    EXPECT_EQ(parse_status("").state, '?');
}

TEST(BeaconMappings, FindsOnlyTheBeacon) {
    const auto found = beacon_mappings(
        "7f00-7f10 r--p 00000000 00:01 9   /memfd:corodump-beacon (deleted)\n"
        "7f20-7f30 ---p 00000000 00:01 9   /memfd:corodump-beacon (deleted)\n"
        "7f40-7f50 r--p 00000000 00:01 9   /memfd:corodump-beacon2 (deleted)\n"
        "7f60-7f70 rw-p 00000000 00:00 0\n"
        "junk /memfd:corodump-beacon (deleted)");
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].start, 0x7f00U);
    EXPECT_EQ(found[0].end, 0x7f10U);
}

TEST(PathFromHere, IsThePathWhereTheRootIsShared) {
    const target_process self(::getpid());
    EXPECT_EQ(self.path_from_here("/tmp/x.json"), "/tmp/x.json");
    EXPECT_EQ(self.path_from_here("x.json"), "/proc/" + std::to_string(::getpid()) + "/cwd/x.json");
}

TEST(PathFromHere, GoesThroughTheRootOfAnotherMountNamespace) {
    if (::geteuid() != 0) GTEST_SKIP() << "chroot takes root";
    const child_process child([] {
        if (::chroot("/proc") != 0) ::_exit(1);
    });
    ASSERT_TRUE(child.started());
    const target_process target(child.pid());
    EXPECT_EQ(target.path_from_here("/x.json"),
              "/proc/" + std::to_string(child.pid()) + "/root/x.json");
}

}  // namespace
}  // namespace corodump::cli
