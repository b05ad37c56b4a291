// The recompile tier on generators: co_yield by value, braced, overloaded and nested; asynchronous
// ones; and those whose frames an optimiser would place in the caller's.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "styles/generators.hpp"
#include "styles/lazy_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace app {

// clang-format off: a line is noted on the line itself

struct point {
    int x = 0, y = 0;
};

int at_first, at_second, at_outer, at_await;

gen::generator<int> numbers(int first, int count) {
    for (int i = 0; i < count; ++i) {
        at_first = __LINE__; co_yield first + i;
    }
}
gen::generator<point> points() {
    co_yield {1, 2};
    at_second = __LINE__; co_yield {.x = 3, .y = 4};
    const point last{5, 6};
    co_yield last;
}
gen::generator<std::string> converted() {
    co_yield "text";
}
gen::generator<int> throwing() {
    co_yield 1;
    throw std::runtime_error("in the generator");
}

gen::recursive<int> range(int first, int last) {
    for (int i = first; i < last; ++i) {
        at_first = __LINE__; co_yield i;
    }
}
gen::recursive<int> twice() {
    int zero = 0;
    co_yield zero;
    co_yield range(1, 3);
    at_outer = __LINE__; co_yield range(3, 5);
    co_yield 5;
}
gen::recursive<int> thrice() {
    at_second = __LINE__; co_yield twice();
}

gen::async_generator<std::string> lines(synced::event& more) {
    at_first = __LINE__; co_yield "first";
    at_await = __LINE__; co_await more;
    co_yield std::string("second");
}
lazy::task<std::string> reader(synced::event& more, synced::event& between) {
    auto source = lines(more);
    std::string all = *co_await source.next();
    at_second = __LINE__; co_await between;
    at_outer = __LINE__; all += *co_await source.next();
    if (co_await source.next() != nullptr) all += "too many";
    co_return all;
}

// clang-format on

}  // namespace app

namespace {

using support::expect_chain;
using support::expect_no_frames;
using support::take_dump;

class AutoGenerators : public ::testing::Test {
protected:
    corodump::agent agent;
};

TEST_F(AutoGenerators, YieldedValuesAreUnchanged) {
    int sum = 0;
    for (const int n : app::numbers(1, 10)) sum += n;
    EXPECT_EQ(sum, 55);
    std::vector<int> all;
    for (const app::point& p : app::points()) all.insert(all.end(), {p.x, p.y});
    EXPECT_EQ(all, (std::vector{1, 2, 3, 4, 5, 6}));
    for (const std::string& text : app::converted()) EXPECT_EQ(text, "text");
    expect_no_frames();
}

TEST_F(AutoGenerators, SuspendedAtItsYield) {
    auto generator = app::points();
    auto at = generator.begin();
    ++at;
    const auto dump = take_dump();
    const auto* const found = expect_chain(dump, {{"app::points", app::at_second}});
    ASSERT_NE(found, nullptr);
    EXPECT_FALSE(found->awaits.has_value()) << dump.chains();
    EXPECT_EQ(found->resumes, 2);
    EXPECT_EQ((*at).x, 3);
}

TEST_F(AutoGenerators, RethrowingOneFails) {
    auto generator = app::throwing();
    auto at = generator.begin();
    EXPECT_THROW(++at, std::runtime_error);
    const auto dump = take_dump();
    const auto* const found = dump.ending_in("app::throwing");
    ASSERT_NE(found, nullptr) << dump.chains();
    EXPECT_EQ(found->state, "failed");
}

TEST_F(AutoGenerators, NestedOnesAreOneChain) {
    auto generator = app::thrice();
    for (int i = 0; i < 4; ++i) EXPECT_EQ(*generator.next(), i);
    const auto dump = take_dump();
    expect_chain(dump, {{"app::thrice", app::at_second},
                        {"app::twice", app::at_outer},
                        {"app::range", app::at_first}});
    EXPECT_EQ(dump.tasks.size(), 1U) << dump.chains();
    EXPECT_EQ(*generator.next(), 4);
    EXPECT_EQ(*generator.next(), 5);
    EXPECT_EQ(generator.next(), nullptr);
}

TEST_F(AutoGenerators, AsynchronousOneIsBelowItsConsumerOnlyWhileAwaited) {
    synced::event more;
    synced::event between;
    auto task = app::reader(more, between);
    task.start();
    {
        const auto dump = take_dump();
        expect_chain(dump, {{"app::reader", app::at_second}}, "synced::event::awaiter");
        expect_chain(dump, {{"app::lines", app::at_first}});
        EXPECT_EQ(dump.tasks.size(), 2U) << dump.chains();
    }
    between.set();
    {
        const auto dump = take_dump();
        expect_chain(dump, {{"app::reader", app::at_outer}, {"app::lines", app::at_await}},
                     "synced::event::awaiter");
        EXPECT_EQ(dump.tasks.size(), 1U) << dump.chains();
    }
    more.set();
    EXPECT_EQ(task.result(), "firstsecond");
}

// An optimiser may place a frame in the caller's: what is written beside it must not reach the
// caller's variables, and the frame must still be listed.
[[gnu::noinline]] int sum_between_canaries(bool dump_inside, std::string& seen) {
    volatile std::uint64_t before[8];
    for (auto& word : before) word = 0xABCDEF0123456789U;
    auto generator = app::numbers(10, 3);
    volatile std::uint64_t after[8];
    for (auto& word : after) word = 0x1122334455667788U;
    int sum = 0;
    for (const int n : generator) {
        sum += n;
        if (dump_inside && n == 11) {
            const auto dump = take_dump();
            const auto* const found = expect_chain(dump, {{"app::numbers", app::at_first}});
            if (found != nullptr) seen = found->root().address;
        }
    }
    for (auto& word : before) EXPECT_EQ(word, 0xABCDEF0123456789U);
    for (auto& word : after) EXPECT_EQ(word, 0x1122334455667788U);
    return sum;
}

TEST_F(AutoGenerators, FramesThatMightBeElidedAreListedAndHarmless) {
    std::string seen;
    EXPECT_EQ(sum_between_canaries(false, seen), 33);
    EXPECT_EQ(sum_between_canaries(true, seen), 33);
    EXPECT_FALSE(seen.empty());
    expect_no_frames();
}

}  // namespace
