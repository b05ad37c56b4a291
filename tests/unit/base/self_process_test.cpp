#include "agent/base/self_process.hpp"

#include <dirent.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/base/clock.hpp"

namespace corodump::base {
namespace {

std::int64_t descriptors() {
    DIR* const directory = ::opendir("/proc/self/fd");
    std::int64_t count = 0;
    while (const dirent* entry = ::readdir(directory)) count += entry->d_name[0] != '.' ? 1 : 0;
    ::closedir(directory);
    return count - 1;
}

TEST(SelfProcess, KnowsItself) {
    process_facts facts;
    read_process_facts(facts);
    EXPECT_EQ(facts.pid, ::getpid());
    EXPECT_EQ(facts.uid, static_cast<std::int64_t>(::getuid()));
    char exe[4096];
    const ssize_t size = ::readlink("/proc/self/exe", exe, sizeof exe);
    EXPECT_EQ(facts.exe, std::string_view(exe, static_cast<std::size_t>(size)));
    char host[256];
    ASSERT_EQ(::gethostname(host, sizeof host), 0);
    EXPECT_EQ(facts.hostname, host);
    EXPECT_FALSE(facts.comm.empty());
    EXPECT_GT(facts.rss_bytes, 100'000);
    EXPECT_GE(facts.threads, 1);
    EXPECT_EQ(facts.open_fds, descriptors());
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT_EQ(facts.fd_limit,
              limit.rlim_cur == RLIM_INFINITY ? -1 : static_cast<std::int64_t>(limit.rlim_cur));
    if (!facts.cgroup.empty()) {
        EXPECT_EQ(facts.cgroup.view()[0], '/');
    }
}

TEST(SelfProcess, KnowsWhenItStarted) {
    process_facts facts;
    read_process_facts(facts);
    EXPECT_GT(facts.start_ticks, 0);
    EXPECT_GE(facts.uptime_seconds, 0);
    EXPECT_LT(facts.uptime_seconds, 3600);
    EXPECT_LE(facts.start_time_unix_ns, realtime_ns());
    EXPECT_GT(facts.start_time_unix_ns, realtime_ns() - 3'600'000'000'000);
}

TEST(SelfProcess, CountsDescriptorsAsTheyCome) {
    process_facts before, after;
    read_process_facts(before);
    const int one = ::dup(0);
    const int two = ::dup(0);
    read_process_facts(after);
    EXPECT_EQ(after.open_fds, before.open_fds + 2);
    ::close(one);
    ::close(two);
}

// As pthread_exit does, but without unwinding through the test's frames.
[[noreturn]] void leave_main() {
    ::syscall(SYS_exit, 0);
    std::abort();
}

// Its memory goes a moment after its thread: then its executable is no longer to be seen.
void wait_until_main_has_left() {
    char path[16];
    while (::readlink("/proc/self/exe", path, sizeof path) > 0) ::sched_yield();
}

// In children, which change their own name and lose their first thread.
template <class Body>
int exit_code_of_child(Body body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#if defined(__SANITIZE_THREAD__)
constexpr std::int64_t threads_of_a_child = 2;  // ThreadSanitizer's own is one of them
#else
constexpr std::int64_t threads_of_a_child = 1;
#endif

TEST(SelfProcess, ReadsPastStrangeNames) {
    EXPECT_EQ(exit_code_of_child([] {
                  ::prctl(PR_SET_NAME, "a) R 1 (b\n");
                  process_facts facts;
                  read_process_facts(facts);
                  return facts.comm == "a) R 1 (b\n" && facts.threads == threads_of_a_child &&
                                 facts.start_ticks > 0
                             ? 0
                             : 1;
              }),
              0);
}

TEST(SelfProcess, KnowsItselfAfterMainHasLeft) {
    EXPECT_EQ(exit_code_of_child([]() -> int {
                  pthread_t thread;
                  ::pthread_create(
                      &thread, nullptr,
                      [](void* /*unused*/) -> void* {
                          wait_until_main_has_left();
                          process_facts facts;
                          read_process_facts(facts);
                          ::_exit(!facts.exe.empty() && facts.rss_bytes > 0 && facts.open_fds > 0
                                      ? 0
                                      : 1);
                      },
                      nullptr);
                  leave_main();
              }),
              0);
}

}  // namespace
}  // namespace corodump::base
