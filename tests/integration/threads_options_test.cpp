// What the options say of the threads in a dump: whether threads are asked for their stacks in
// calls that end early for it, and how long all of them may take.
#include <alloca.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <corodump/agent.hpp>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support_dump.hpp"

namespace {

using nlohmann::json;

json thread_of(const json& dump, pid_t tid) {
    for (const json& thread : dump["threads"])
        if (thread["tid"] == tid) return thread;
    ADD_FAILURE() << "no thread " << tid << " in " << dump["threads"];
    return {{"stack", json::object()}, {"frames", json::array()}};
}

bool runs_in(const json& thread, std::string_view function) {
    for (const json& frame : thread["frames"])
        if (frame["function"].is_string() &&
            frame["function"].get<std::string>().find(function) != std::string::npos)
            return true;
    return false;
}

// --- threads in calls that do not restart --------------------------------------------------------

struct poller {
    std::atomic<pid_t> tid{0};
    std::atomic<int> interrupted{0};
    int ends[2] = {-1, -1};
};

/// The caller's place depends on a register that the kernel does not tell of a blocked thread, and
/// a frame whose size is known only here has none that could be worked out.
[[gnu::noinline]] void poll_in_a_frame_of_any_size(poller& self, std::size_t bytes) {
    auto* const room = static_cast<volatile char*>(alloca(bytes));
    room[0] = 1;
    pollfd event{self.ends[0], POLLIN, 0};
    while (syscall(SYS_ppoll, &event, 1, nullptr, nullptr, 0) != 1)
        if (errno == EINTR) self.interrupted.fetch_add(1);
    room[bytes - 1] = 1;
}

[[gnu::noinline]] void outermost_of_the_poller(poller& self) {
    self.tid = static_cast<pid_t>(syscall(SYS_gettid));
    poll_in_a_frame_of_any_size(self, 4096 + static_cast<std::size_t>(self.tid) % 64);
    self.tid = 0;
}

void await_call(pid_t tid, long number) {
    const std::string path = "/proc/self/task/" + std::to_string(tid) + "/syscall";
    for (std::string call; call != std::to_string(number); sched_yield())
        std::ifstream(path) >> call;
}

/// A dump with a thread that polls, and how often its call ended early.
json dump_with_poller(const corodump::options& with, int& interrupted) {
    const corodump::agent agent(with);
    EXPECT_FALSE(agent.error());
    poller self;
    if (pipe(self.ends) != 0) abort();
    std::thread thread([&self] { outermost_of_the_poller(self); });
    while (self.tid == 0) sched_yield();
    const pid_t tid = self.tid;
    await_call(tid, SYS_ppoll);
    const json dump = support::dump_as_json(support::schema::not_checked);
    await_call(tid, SYS_ppoll);
    EXPECT_EQ(write(self.ends[1], "", 1), 1);
    thread.join();
    interrupted = self.interrupted;
    for (const int end : self.ends) close(end);
    return thread_of(dump, tid);
}

TEST(BlockedThreads, AreNotDisturbedInCallsThatDoNotRestart) {
    int interrupted = -1;
    const json thread = dump_with_poller({}, interrupted);
    EXPECT_EQ(interrupted, 0);
    EXPECT_EQ(thread["syscall"], "ppoll");
    EXPECT_EQ(thread["stack"]["source"], "no_signal") << thread;
    EXPECT_EQ(thread["stack"]["quality"], "partial") << thread;
    EXPECT_EQ(thread["stack"]["reason"],
              "the caller depends on a register whose value is not known");
    EXPECT_TRUE(runs_in(thread, "poll_in_a_frame_of_any_size")) << thread;
    EXPECT_FALSE(runs_in(thread, "outermost_of_the_poller")) << thread;
}

TEST(BlockedThreads, AreAskedInCallsThatDoNotRestartWhereTheHostAllowsIt) {
    corodump::options allowed;
    allowed.signal_blocked = true;
    int interrupted = -1;
    const json thread = dump_with_poller(allowed, interrupted);
    EXPECT_EQ(interrupted, 1);
    EXPECT_EQ(thread["stack"]["source"], "signal") << thread;
    EXPECT_NE(thread["stack"]["quality"], "partial") << thread;
    EXPECT_TRUE(runs_in(thread, "poll_in_a_frame_of_any_size")) << thread;
    EXPECT_TRUE(runs_in(thread, "outermost_of_the_poller")) << thread;
}

TEST(BlockedThreads, AreAskedWhereTheEnvironmentAllowsIt) {
    ASSERT_EQ(setenv("CORODUMP_SIGNAL_BLOCKED", "1", 1), 0);
    int interrupted = -1;
    const json thread = dump_with_poller({}, interrupted);
    ASSERT_EQ(unsetenv("CORODUMP_SIGNAL_BLOCKED"), 0);
    EXPECT_EQ(interrupted, 1);
    EXPECT_EQ(thread["stack"]["source"], "signal") << thread;
}

TEST(BlockedThreads, AreNotDisturbedWhereTheirStacksAreWholeWithoutIt) {
    corodump::options allowed;
    allowed.signal_blocked = true;
    const corodump::agent agent(allowed);
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    std::atomic<pid_t> tid{0};
    std::atomic<int> returned{0};
    std::thread thread([&] {
        tid = static_cast<pid_t>(syscall(SYS_gettid));
        pollfd event{ends[0], POLLIN, 0};
        returned = static_cast<int>(syscall(SYS_ppoll, &event, 1, nullptr, nullptr, 0));
    });
    while (tid == 0) sched_yield();
    await_call(tid, SYS_ppoll);
    const json told = thread_of(support::dump_as_json(support::schema::not_checked), tid);
    EXPECT_EQ(write(ends[1], "", 1), 1);
    thread.join();
    EXPECT_EQ(returned, 1);
    EXPECT_EQ(told["stack"]["source"], "no_signal") << told;
    EXPECT_NE(told["stack"]["quality"], "partial") << told;
}

// --- the time for all of them --------------------------------------------------------------------

/// More threads that spin than processors: each has to be scheduled before it can answer.
class spinners {
public:
    explicit spinners(int count) {
        for (int i = 0; i < count; ++i)
            threads_.emplace_back([this] {
                started_.fetch_add(1);
                while (!stop_.load(std::memory_order_relaxed)) turns_.fetch_add(1);
            });
        while (started_ < count) sched_yield();  // until then a thread blocks all signals
    }
    spinners(const spinners&) = delete;
    spinners& operator=(const spinners&) = delete;
    ~spinners() {
        stop_ = true;
        for (std::thread& one : threads_) one.join();
    }

private:
    std::atomic<bool> stop_{false};
    std::atomic<int> started_{0};
    std::atomic<long> turns_{0};
    std::vector<std::thread> threads_;
};

TEST(ThreadsDeadline, LeavesOutStacksWithAReasonForEach) {
    constexpr int count = 64;
    corodump::options brief;
    brief.deadline = std::chrono::milliseconds(40);  // ten or less of it for threads
    const corodump::agent agent(brief);
    const spinners running(count);
    const json dump = support::dump_as_json(support::schema::not_checked);
    ASSERT_GE(dump["threads"].size(), static_cast<std::size_t>(count));
    std::uint64_t late = 0;
    for (const json& thread : dump["threads"]) {
        const json& stack = thread["stack"];
        EXPECT_EQ(stack["quality"] == "partial", stack.contains("reason")) << thread;
        if (stack["source"] == "none" && stack["reason"] != "it writes this dump") ++late;
    }
    EXPECT_GT(late, 0U);
    EXPECT_FALSE(dump["dump"]["complete"].get<bool>());
    const std::string warning = std::to_string(late) +
                                " threads have no stack: the time for that "
                                "was over; each says why";
    EXPECT_NE(dump["dump"]["warnings"].dump().find(warning), std::string::npos)
        << dump["dump"] << dump["threads"];
}

TEST(ThreadsDeadline, GrowsWithTheOption) {
    constexpr int count = 64;
    corodump::options ample;
    ample.deadline = std::chrono::minutes(5);
    const corodump::agent agent(ample);
    const spinners running(count);
    int asked = 0;
    const json dump = support::dump_as_json(support::schema::not_checked);
    for (const json& thread : dump["threads"]) asked += thread["stack"]["source"] == "signal";
    EXPECT_EQ(asked, count);
}

}  // namespace
