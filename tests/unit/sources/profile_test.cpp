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
constexpr detail::awaitable_info awaitable{.version = detail::layout_version,
                                           .kind = detail::awaits_something,
                                           .size_bytes = 8};

/// A function that coroutines are made of.
struct function {
    detail::site_data site{"file", "function", 1, 1};
    [[nodiscard]] std::uint64_t key() const { return reinterpret_cast<std::uint64_t>(&site); }
};

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
    void resume() { detail::resume(own_); }
    void suspend() { detail::suspend(own_, awaitable, frame_->awaiter); }
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

std::int64_t cpu_ns() {
    return base::clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/// Runs for as long, and says how long it was.
std::int64_t spin(std::int64_t ns) {
    const std::int64_t began = base::monotonic_ns();
    while (base::monotonic_ns() - began < ns) {
    }
    return base::monotonic_ns() - began;
}

constexpr std::int64_t ms = 1'000'000;

/// The machine may take the processor away between the profiler's look and the test's, so the test
/// is of what both saw: 5 %, and what a few looks take.
void expect_agree(std::int64_t measured, std::int64_t known) {
    const std::int64_t slack = known / 20 + ms / 2;
    EXPECT_GE(measured, known - slack);
    EXPECT_LE(measured, known + slack);
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
    one.resume();
    std::int64_t ran = spin(20 * ms);
    one.suspend();
    const std::int64_t waited = spin(10 * ms);
    one.resume();
    const std::int64_t longest = ran;
    ran += spin(5 * ms);
    one.suspend();
    expect_agree(at({&f}).running(), ran);
    expect_agree(at({&f}).longest(), longest);
    expect_agree(at({&f}).suspended(), waited);
}

TEST_F(Profile, TimeOfACoroutineInsideOfAnotherIsItsOwn) {
    static const function outer_function, inner_function;
    start();
    coroutine outer(outer_function), inner(inner_function);
    outer.resume();
    std::int64_t outer_ran = spin(10 * ms);
    inner.resume();
    const std::int64_t inner_ran = spin(20 * ms);
    inner.suspend();
    outer_ran += spin(10 * ms);
    outer.suspend();
    expect_agree(at({&outer_function}).running(), outer_ran);
    expect_agree(at({&outer_function}).longest(), outer_ran);
    expect_agree(at({&inner_function}).running(), inner_ran);
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
    std::int64_t ran = 0;
    {
        coroutine one(f);
        one.resume();
        ran = spin(10 * ms);
    }
    spin(10 * ms);
    expect_agree(at({&f}).running(), ran);
    coroutine next(g);
    next.run_once();
    EXPECT_EQ(at({&g}).sum.resumes, 1U);
}

TEST_F(Profile, ARunThatEndsOutOfOrderTakesNothingFromTheOthers) {
    static const function outer_function, inner_function;
    start();
    auto outer = std::make_unique<coroutine>(outer_function);
    coroutine inner(inner_function);
    outer->resume();
    const std::int64_t outer_ran = spin(5 * ms);
    inner.resume();
    std::int64_t inner_ran = spin(5 * ms);
    outer.reset();  // destroyed by the coroutine that it resumed
    inner_ran += spin(5 * ms);
    inner.suspend();
    spin(5 * ms);
    expect_agree(at({&outer_function}).running(), outer_ran);
    expect_agree(at({&inner_function}).running(), inner_ran);
    expect_agree(at({&inner_function}).longest(), inner_ran);
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
    std::int64_t ran = 0, waited = 0;
    std::thread([&] {
        one.resume();
        ran += spin(5 * ms);
        one.suspend();
    }).join();
    const std::int64_t left = base::monotonic_ns();
    spin(5 * ms);
    std::thread([&] {
        waited = base::monotonic_ns() - left;
        one.resume();
        ran += spin(5 * ms);
        one.suspend();
    }).join();
    EXPECT_EQ(at({&f}).sum.calls, 1U);
    EXPECT_EQ(at({&f}).sum.resumes, 2U) << "threads that have ended leave their counts";
    expect_agree(at({&f}).running(), ran);
    EXPECT_GE(at({&f}).suspended(), waited * 95 / 100);
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
    one.resume();
    const std::int64_t ran = spin(10 * ms);
    expect_agree(at({&f}).running(), ran);
    expect_agree(at({&f}).longest(), ran);
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
    one.run_once();
    const std::int64_t waited = spin(10 * ms);
    const profile_view view = view_profile();
    ASSERT_TRUE(find_profile(view, key, one.own()->generation, found));
    EXPECT_EQ(node_at(found.node).definition, f.key());
    expect_agree(
        static_cast<std::int64_t>(static_cast<double>(found.suspended) * view.ns_per_step), waited);
    EXPECT_FALSE(find_profile(view, key, one.own()->generation + 2, found));
}

TEST_F(Profile, StoppedItKeepsItsCountsAndTakesNoMore) {
    static const function f;
    start();
    coroutine one(f);
    one.resume();
    const std::int64_t ran = spin(10 * ms);
    ASSERT_EQ(stop_profile(), 0);
    const double seconds = view_profile().seconds;
    spin(10 * ms);
    one.suspend();
    one.run_once();
    EXPECT_EQ(at({&f}).sum.resumes, 1U);
    expect_agree(at({&f}).running(), ran);
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
    one.resume();
    const std::int64_t began_cpu = cpu_ns(), began = base::monotonic_ns();
    spin(20 * ms);
    timespec pause{.tv_sec = 0, .tv_nsec = 20 * ms};
    nanosleep(&pause, nullptr);
    const std::int64_t cpu = cpu_ns() - began_cpu, wall = base::monotonic_ns() - began;
    std::thread([&] {  // another thread's view of a run under way
        expect_agree(static_cast<std::int64_t>(at({&f}).sum.cpu), cpu);
    }).join();
    one.suspend();
    expect_agree(at({&f}).running(), wall);
    expect_agree(static_cast<std::int64_t>(at({&f}).sum.cpu), cpu);
    EXPECT_LT(static_cast<std::int64_t>(at({&f}).sum.cpu), wall * 3 / 4);
}

TEST_F(Profile, ProcessorTimeOfARunUnderWayEndsWithTheSession) {
    static const function f;
    start(profile_clock::cpu);
    coroutine one(f);
    one.resume();
    const std::int64_t began = cpu_ns();
    spin(10 * ms);
    stop_profile();
    const std::int64_t cpu = cpu_ns() - began;
    spin(10 * ms);
    expect_agree(static_cast<std::int64_t>(at({&f}).sum.cpu), cpu);
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
    for (std::size_t i = 0; i < max_nodes && node != no_node; ++i) node = node_below(above, key += 8);
    EXPECT_EQ(node, no_node) << "full";
}

}  // namespace
}  // namespace corodump::sources
