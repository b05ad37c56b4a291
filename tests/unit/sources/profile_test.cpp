#include "agent/sources/profile.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <corodump/detail/tracking.hpp>
#include <corodump/profile.hpp>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/clock.hpp"
#include "agent/sources/profile_nodes.hpp"
#include "tests/unit/child_process.hpp"

namespace corodump::sources {
namespace {

using detail::record;

/// A coroutine's frame as a compiler would lay it out, with a promise of one word: its awaiter's
/// frame.
struct frame {
    void* resume;
    void* destroy;
    std::atomic<void*> continuation;
    detail::frame_tag tag;
    alignas(8) char awaiter[8];
};

constinit detail::promise_info promise{.version = detail::layout_version,
                                       .promise_bytes = sizeof(void*),
                                       .promise_offset = offsetof(frame, continuation),
                                       .flags = 0,
                                       .continuation_offset = -1,
                                       .tag_offset = offsetof(frame, tag)};
constexpr detail::awaitable_info awaitable{
    .version = detail::layout_version, .kind = detail::awaits_something, .size_bytes = 8};

/// A function that coroutines are made of.
struct function {
    detail::site_data site{"file", "function", 1, 1};
    [[nodiscard]] std::uint64_t key() const { return reinterpret_cast<std::uint64_t>(&site); }
};

/// Something happened between these.
struct moment {
    std::int64_t before = 0, after = 0;
};
template <class Do>
moment during(Do what, clockid_t clock = CLOCK_MONOTONIC) {
    moment when;
    when.before = base::clock_ns(clock);
    what();
    when.after = base::clock_ns(clock);
    return when;
}

/// What the headers do at each step of a coroutine's life.
class coroutine {
public:
    explicit coroutine(const function& of, const coroutine* awaiter = nullptr)
        : frame_(new(corodump_allocate_v1(sizeof(frame))) frame{}) {
        if (awaiter != nullptr) awaited_by(*awaiter);
        own_ = detail::begin(frame_, frame_->tag, promise, &of.site);
        detail::rest(own_, detail::rests_before_start, 1);
    }
    coroutine(const coroutine&) = delete;
    coroutine& operator=(const coroutine&) = delete;
    ~coroutine() {
        detail::end(frame_, frame_->tag);
        corodump_release_v1(frame_, sizeof(frame));
    }
    void awaited_by(const coroutine& other) { frame_->continuation = other.frame_; }
    moment resume(clockid_t clock = CLOCK_MONOTONIC) {
        return during([this] { detail::resume(own_); }, clock);
    }
    moment suspend(clockid_t clock = CLOCK_MONOTONIC) {
        return during([this] { detail::suspend(own_, awaitable, frame_->awaiter); }, clock);
    }
    void run_once() {
        resume();
        suspend();
    }
    [[nodiscard]] record* own() const { return own_; }
    [[nodiscard]] void* address() const { return frame_; }

private:
    frame* frame_;
    record* own_;
};

constexpr std::int64_t ms = 1'000'000;

/// The machine may take the processor away at any place, also between the profiler's look at the
/// clock and the test's: so that what is true of a time lies between two bounds.
struct bounds {
    std::int64_t least = 0, most = 0;
    bounds& operator+=(const bounds& other) {
        least += other.least;
        most += other.most;
        return *this;
    }
};
bounds operator-(const moment& later, const moment& earlier) {
    return {later.before - earlier.after, later.after - earlier.before};
}

void spin(std::int64_t ns) {
    const std::int64_t began = base::monotonic_ns();
    while (base::monotonic_ns() - began < ns) {
    }
}

/// To 1 %, for what is known of the counter's pace after some milliseconds.
void expect_within(std::int64_t measured, const bounds& known) {
    EXPECT_GE(measured, known.least - known.least / 100);
    EXPECT_LE(measured, known.most + known.most / 100);
}

class Profile : public ::testing::Test {
protected:
    ~Profile() override { corodump_profile_stop_v1(); }

    static void start(profile_clock clock = profile_clock::wall) {
        ASSERT_EQ(start_profile(clock), 0);
    }
    struct counts {
        profile_sum sum;
        [[nodiscard]] std::int64_t running() const {
            return static_cast<std::int64_t>(static_cast<double>(sum.running) * scale);
        }
        [[nodiscard]] std::int64_t suspended() const {
            return static_cast<std::int64_t>(static_cast<double>(sum.suspended) * scale);
        }
        [[nodiscard]] std::int64_t longest() const {
            return static_cast<std::int64_t>(static_cast<double>(sum.longest) * scale);
        }
        double scale;
    };
    /// Of the function below a chain of others, outermost first.
    static counts at(const std::vector<const function*>& chain) {
        const profile_view view = view_profile();
        std::vector<profile_sum> sums(nodes_end());
        read_profile(view, sums);
        for (std::uint32_t node = cut_node + 1; node < sums.size(); ++node) {
            std::uint32_t up = node;
            std::size_t left = chain.size();
            while (left > 0 && up > cut_node && node_at(up).definition == chain[left - 1]->key()) {
                up = node_at(up).parent;
                --left;
            }
            if (left == 0 && up == no_node) return {sums[node], view.ns_per_step};
        }
        return {{}, view.ns_per_step};
    }
};

TEST_F(Profile, CountsFirstRunsAndResumes) {
    static const function f;
    start();
    coroutine one(f), other(f);
    one.run_once();
    one.run_once();
    other.run_once();
    EXPECT_EQ(at({&f}).sum.calls, 2U);
    EXPECT_EQ(at({&f}).sum.resumes, 3U);
}

TEST_F(Profile, TimesRunsAndSuspensions) {
    static const function f;
    start();
    coroutine one(f);
    const moment first = one.resume();
    spin(20 * ms);
    const moment left = one.suspend();
    spin(10 * ms);
    const moment second = one.resume();
    spin(5 * ms);
    const moment last = one.suspend();
    bounds ran = left - first;
    expect_within(at({&f}).longest(), ran);
    ran += last - second;
    expect_within(at({&f}).running(), ran);
    expect_within(at({&f}).suspended(), second - left);
}

TEST_F(Profile, TimeOfACoroutineInsideOfAnotherIsItsOwn) {
    static const function outer_function, inner_function;
    start();
    coroutine outer(outer_function), inner(inner_function);
    const moment first = outer.resume();
    spin(10 * ms);
    const moment into = inner.resume();
    spin(20 * ms);
    const moment out = inner.suspend();
    spin(10 * ms);
    const moment last = outer.suspend();
    bounds outer_ran = into - first;
    outer_ran += last - out;
    expect_within(at({&outer_function}).running(), outer_ran);
    expect_within(at({&outer_function}).longest(), outer_ran);
    expect_within(at({&inner_function}).running(), out - into);
    EXPECT_EQ(at({&outer_function}).sum.suspended, 0U) << "it was inside of it all the time";
}

TEST_F(Profile, ACoroutineThatIsAwaitedStandsBelowWhatAwaitsIt) {
    static const function root, middle, leaf;
    start();
    coroutine a(root);
    a.resume();
    coroutine b(middle, &a);
    a.suspend();  // symmetric transfer: out of one, into the next
    b.resume();
    coroutine c(leaf, &b);
    b.suspend();
    c.resume();
    c.suspend();
    EXPECT_EQ(at({&root}).sum.resumes, 1U);
    EXPECT_EQ(at({&root, &middle}).sum.resumes, 1U);
    EXPECT_EQ(at({&root, &middle, &leaf}).sum.calls, 1U);
    EXPECT_EQ(at({&leaf}).sum.resumes, 0U);
}

TEST_F(Profile, FindsTheAwaiterAlsoWhereAnotherRanInBetween) {
    static const function root, other, leaf;
    start();
    coroutine a(root), x(other);
    a.run_once();
    coroutine c(leaf, &a);
    x.run_once();
    c.run_once();
    EXPECT_EQ(at({&root, &leaf}).sum.calls, 1U);
}

TEST_F(Profile, FindsTheAwaitersOfChainsThatHaveNotRunSinceItStarted) {
    static const function root, middle, leaf;
    coroutine a(root);
    a.run_once();
    coroutine b(middle, &a);
    b.run_once();
    start();
    coroutine c(leaf, &b);
    c.run_once();
    EXPECT_EQ(at({&root, &middle, &leaf}).sum.calls, 1U);
}

TEST_F(Profile, ACoroutineThatIsAwaitedAfterItsFirstRunMovesBelowItsAwaiter) {
    static const function root, eager;
    start();
    coroutine a(root);
    a.resume();
    coroutine b(eager);
    b.run_once();  // inside of a, which awaits it only now
    b.awaited_by(a);
    a.suspend();
    b.run_once();
    b.run_once();
    EXPECT_EQ(at({&eager}).sum.calls, 1U);
    EXPECT_EQ(at({&eager}).sum.resumes, 1U);
    EXPECT_EQ(at({&root, &eager}).sum.resumes, 2U);
    EXPECT_EQ(at({&root, &eager}).sum.calls, 0U) << "it was called once";
}

TEST_F(Profile, DestructionEndsARun) {
    static const function f, g;
    start();
    auto one = std::make_unique<coroutine>(f);
    const moment began = one->resume();
    spin(10 * ms);
    const moment ended = during([&] { one.reset(); });
    spin(10 * ms);
    expect_within(at({&f}).running(), ended - began);
    coroutine next(g);
    next.run_once();
    EXPECT_EQ(at({&g}).sum.resumes, 1U);
}

TEST_F(Profile, ARunThatEndsOutOfOrderTakesNothingFromTheOthers) {
    static const function outer_function, inner_function;
    start();
    auto outer = std::make_unique<coroutine>(outer_function);
    coroutine inner(inner_function);
    const moment first = outer->resume();
    spin(5 * ms);
    const moment into = inner.resume();
    spin(5 * ms);
    outer.reset();  // destroyed by the coroutine that it resumed
    spin(5 * ms);
    const moment last = inner.suspend();
    spin(5 * ms);
    expect_within(at({&outer_function}).running(), into - first);
    expect_within(at({&inner_function}).running(), last - into);
    expect_within(at({&inner_function}).longest(), last - into);
}

TEST_F(Profile, AFrameThatIsRecycledIsCalledAgain) {
    static const function f, g;
    start();
    const void* address = nullptr;
    {
        coroutine first(f);
        address = first.address();
        first.run_once();
    }
    coroutine second(g);
    ASSERT_EQ(second.address(), address);
    spin(5 * ms);
    second.run_once();
    EXPECT_EQ(at({&g}).sum.calls, 1U);
    EXPECT_EQ(at({&g}).sum.suspended, 0U) << "the wait was another frame's";
    EXPECT_EQ(at({&f}).sum.calls, 1U);
}

TEST_F(Profile, FollowsACoroutineFromThreadToThread) {
    static const function f;
    start();
    coroutine one(f);
    moment began[2], ended[2];
    for (int i = 0; i < 2; ++i)
        std::thread([&] {
            began[i] = one.resume();
            spin(5 * ms);
            ended[i] = one.suspend();
        }).join();
    EXPECT_EQ(at({&f}).sum.calls, 1U);
    EXPECT_EQ(at({&f}).sum.resumes, 2U) << "threads that have ended leave their counts";
    bounds ran = ended[0] - began[0];
    ran += ended[1] - began[1];
    expect_within(at({&f}).running(), ran);
    expect_within(at({&f}).suspended(), began[1] - ended[0]);
}

TEST_F(Profile, ManyThreadsCountWithoutLoss) {
    static const function f;
    start(profile_clock::off);
    constexpr std::uint64_t threads = 4, runs = 10'000;
    std::vector<std::thread> all;
    for (std::uint64_t i = 0; i < threads; ++i)
        all.emplace_back([] {
            coroutine one(f);
            for (std::uint64_t run = 0; run < runs; ++run) one.run_once();
        });
    while (at({&f}).sum.resumes < threads * runs) std::this_thread::yield();  // reads meanwhile
    for (std::thread& one : all) one.join();
    EXPECT_EQ(at({&f}).sum.resumes, threads * runs);
    EXPECT_EQ(at({&f}).sum.calls, threads);
}

TEST_F(Profile, ARunThatWasUnderWayAtTheStartIsNotCounted) {
    static const function f;
    coroutine one(f);
    one.resume();
    start();
    spin(5 * ms);
    one.suspend();
    EXPECT_EQ(at({&f}).sum.resumes, 0U);
    one.run_once();
    EXPECT_EQ(at({&f}).sum.resumes, 1U);
    EXPECT_EQ(at({&f}).sum.calls, 1U);
}

TEST_F(Profile, ARunUnderWayIsSeen) {
    static const function f;
    start();
    coroutine one(f);
    const moment began = one.resume();
    spin(10 * ms);
    std::int64_t running = 0, longest = 0;
    const moment first = during([&] { running = at({&f}).running(); });
    expect_within(running, first - began);
    const moment second = during([&] { longest = at({&f}).longest(); });
    expect_within(longest, second - began);
    one.suspend();
}

TEST_F(Profile, SaysHowLongALiveFrameHasWaited) {
    static const function f;
    start();
    coroutine one(f);
    const auto key = reinterpret_cast<std::uint64_t>(one.own());
    profile_of_frame found;
    EXPECT_FALSE(find_profile(view_profile(), key, one.own()->generation, found))
        << "it has not run";
    one.resume();
    const moment left = one.suspend();
    spin(10 * ms);
    profile_view view;
    const moment seen = during([&] { view = view_profile(); });
    ASSERT_TRUE(find_profile(view, key, one.own()->generation, found));
    EXPECT_EQ(node_at(found.node).definition, f.key());
    expect_within(
        static_cast<std::int64_t>(static_cast<double>(found.suspended) * view.ns_per_step),
        seen - left);
    EXPECT_FALSE(find_profile(view, key, one.own()->generation + 2, found));
}

TEST_F(Profile, StoppedItKeepsItsCountsAndTakesNoMore) {
    static const function f;
    start();
    coroutine one(f);
    const moment began = one.resume();
    spin(10 * ms);
    const moment stopped = during([] { ASSERT_EQ(stop_profile(), 0); });
    const double seconds = view_profile().seconds;
    spin(10 * ms);
    one.suspend();
    one.run_once();
    EXPECT_EQ(at({&f}).sum.resumes, 1U);
    expect_within(at({&f}).running(), stopped - began);
    EXPECT_FALSE(view_profile().running);
    EXPECT_NEAR(view_profile().seconds, seconds, seconds / 100);
    EXPECT_EQ(stop_profile(), ESRCH);
}

TEST_F(Profile, StartAndResetBeginFromZero) {
    static const function f;
    start();
    coroutine one(f);
    one.run_once();
    EXPECT_EQ(start_profile(profile_clock::wall), EALREADY);
    ASSERT_EQ(reset_profile(), 0);
    EXPECT_EQ(at({&f}).sum.resumes, 0U) << "of a thread that has not run since, too";
    spin(5 * ms);
    one.run_once();
    EXPECT_EQ(at({&f}).sum.resumes, 1U);
    EXPECT_EQ(at({&f}).sum.suspended, 0U) << "it was left before";
    stop_profile();
    EXPECT_EQ(reset_profile(), ESRCH);
    start();
    EXPECT_EQ(at({&f}).sum.resumes, 0U);
}

TEST_F(Profile, WithItsClockOffItOnlyCounts) {
    static const function f;
    start(profile_clock::off);
    coroutine one(f);
    one.run_once();
    one.run_once();
    const profile_sum sum = at({&f}).sum;
    EXPECT_EQ(sum.resumes, 2U);
    EXPECT_EQ(sum.running + sum.suspended + sum.longest + sum.cpu, 0U);
}

TEST_F(Profile, ProcessorTimeIsThatOfTheThread) {
    static const function f;
    start(profile_clock::cpu);
    coroutine one(f);
    const std::int64_t wall = base::monotonic_ns();
    const moment began = one.resume(CLOCK_THREAD_CPUTIME_ID);
    spin(20 * ms);
    timespec pause{.tv_sec = 0, .tv_nsec = 40 * ms};
    nanosleep(&pause, nullptr);
    std::int64_t seen = 0;
    const moment looked = during(
        [&] {
            // Another thread's view of a run under way.
            std::thread([&] { seen = static_cast<std::int64_t>(at({&f}).sum.cpu); }).join();
        },
        CLOCK_THREAD_CPUTIME_ID);
    expect_within(seen, looked - began);
    const moment ended = one.suspend(CLOCK_THREAD_CPUTIME_ID);
    expect_within(static_cast<std::int64_t>(at({&f}).sum.cpu), ended - began);
    EXPECT_LE(static_cast<std::int64_t>(at({&f}).sum.cpu),
              base::monotonic_ns() - wall - pause.tv_nsec);
}

TEST_F(Profile, ProcessorTimeOfARunUnderWayEndsWithTheSession) {
    static const function f;
    start(profile_clock::cpu);
    coroutine one(f);
    const moment began = one.resume(CLOCK_THREAD_CPUTIME_ID);
    spin(10 * ms);
    const moment stopped = during([] { stop_profile(); }, CLOCK_THREAD_CPUTIME_ID);
    spin(10 * ms);
    expect_within(static_cast<std::int64_t>(at({&f}).sum.cpu), stopped - began);
    one.suspend();
}

TEST_F(Profile, IsOffUntilItIsStarted) {
    EXPECT_FALSE(profile::running());
    {
        const profiling while_here;
        EXPECT_FALSE(while_here.error());
        EXPECT_TRUE(profile::running());
        const profiling inner({.clock = profile::clock::off});
        EXPECT_EQ(inner.error(), std::errc::connection_already_in_progress);
    }
    EXPECT_FALSE(profile::running());
    EXPECT_EQ(profile::stop(), std::errc::no_such_process);
    EXPECT_EQ(corodump_profile_start_v1(3), EINVAL);
}

TEST(ProfileNodes, AreTheSameForTheSameChain) {
    static const function f, g;
    const std::uint32_t root = node_below(no_node, f.key());
    EXPECT_EQ(node_below(no_node, f.key()), root);
    const std::uint32_t below = node_below(root, g.key());
    EXPECT_NE(below, node_below(no_node, g.key()));
    EXPECT_EQ(node_at(below).parent, root);
    EXPECT_EQ(node_at(below).depth, node_at(root).depth + 1);
}

TEST(ProfileNodes, CutChainsThatAreTooDeep) {
    static const function f;
    std::uint32_t node = no_node;
    for (std::uint32_t i = 0; i < max_node_depth; ++i) {
        node = node_below(node, f.key());
        ASSERT_EQ(node_at(node).depth, i + 1);
    }
    node = node_below(node, f.key());
    EXPECT_EQ(node_at(node).parent, cut_node);
}

TEST(ProfileFork, LeavesTheChildFreeToStartAndStop) {
    corodump_release_v1(corodump_allocate_v1(100), 100);  // this thread is one of the pool's
    std::atomic<bool> done{false};
    std::thread other([&] {
        while (!done.load()) {
            start_profile(profile_clock::wall);
            reset_profile();
            stop_profile();
        }
    });
    int failed = 0;
    for (int i = 0; i < 100 && failed == 0; ++i) {
        failed = test::run_in_child([] {
            stop_profile();
            REQUIRE(start_profile(profile_clock::off) == 0);
            REQUIRE(stop_profile() == 0);
        });
    }
    done = true;
    other.join();
    EXPECT_EQ(failed, 0) << "or the deadline was missed";
}

/// Last of all: the table is never emptied.
TEST(ProfileNodes, KeepRoomForFunctionsWhenChainsAreMany) {
    static const function root;
    const std::uint32_t above = node_below(no_node, root.key());
    std::uint64_t key = 0x1000;
    std::uint32_t node = no_node;
    do {
        key += 8;
        node = node_below(above, key);
        ASSERT_NE(node, no_node);
    } while (node_at(node).parent == above);
    EXPECT_EQ(node_at(node).parent, cut_node);
    EXPECT_LT(node, max_nodes - 1024);
    EXPECT_EQ(node_below(above, key), node) << "the function's, whoever awaits it";
    for (std::size_t i = 0; i < max_nodes && node != no_node; ++i)
        node = node_below(above, key += 8);
    EXPECT_EQ(node, no_node) << "full";
}

}  // namespace
}  // namespace corodump::sources
