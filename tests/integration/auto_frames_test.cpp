// The recompile tier on where frames lie and what they are made of: own allocation, alignment,
// arguments, and every sort of function that can be a coroutine.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "styles/allocating.hpp"
#include "styles/lazy_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace app {

int at;

// clang-format off: a line is noted on the line itself
places::task_of<places::plain_promise> plain(int) { at = __LINE__; co_await places::park(); }
places::task_of<places::arena_promise> from_arena(std::allocator_arg_t, places::arena&, int) { at = __LINE__; co_await places::park(); }
places::modest modest(int) { at = __LINE__; co_await places::park(); }
places::hopeful hopeful(int) { at = __LINE__; co_await places::park(); }
places::last last(int) { at = __LINE__; co_await places::park(); }
places::task_of<places::aligned_promise<32>> aligned_32() { at = __LINE__; co_await places::park(); }
places::task_of<places::aligned_promise<64>> aligned_64() { at = __LINE__; co_await places::park(); }
places::task_of<places::polymorphic_promise> polymorphic(int, const int&) { at = __LINE__; co_await places::park(); }
lazy::task<char> large(synced::event& until) {
    volatile char bytes[20000] = {};
    bytes[19999] = 'x';
    at = __LINE__; co_await until;
    co_return bytes[19999];
}

enum class colour : std::uint8_t { red, green };
lazy::task<> by_value(synced::event& until, int a, bool b, char c, double d, float e, colour f,
                      std::string g, std::string_view h, const char* i, unsigned long long j) {
    at = __LINE__; co_await until;
    static_cast<void>(a + b + c + static_cast<int>(d + e) + static_cast<int>(f));
    static_cast<void>(g.size() + h.size() + (i != nullptr) + j);
}
lazy::task<> by_reference(synced::event& until, int& a, const std::string& b, std::string&& c, const double& d) {
    at = __LINE__; co_await until;
    static_cast<void>(a + static_cast<int>(b.size() + c.size()) + static_cast<int>(d));
}
lazy::task<> hidden_argument(synced::event& until, std::unique_ptr<int> p, int* q, void (*r)(), int last) {
    at = __LINE__; co_await until;
    static_cast<void>(p); static_cast<void>(q); static_cast<void>(r); static_cast<void>(last);
}

struct service {
    int number = 5;
    lazy::task<int> member(synced::event& until, int n) { at = __LINE__; co_await until; co_return number + n; }
    lazy::task<int> const_member(synced::event& until) const { at = __LINE__; co_await until; co_return number; }
    static lazy::task<int> static_member(synced::event& until) { at = __LINE__; co_await until; co_return 1; }
    template <class T> lazy::task<T> member_template(synced::event& until, T value) { at = __LINE__; co_await until; co_return value; }
    lazy::task<int> operator()(synced::event& until) { at = __LINE__; co_await until; co_return 2; }
};
template <class T, int N>
lazy::task<int> function_template(synced::event& until, T value) { at = __LINE__; co_await until; co_return static_cast<int>(value) + N; }
namespace {
lazy::task<int> nameless(synced::event& until) { at = __LINE__; co_await until; co_return 4; }
}  // namespace
// clang-format on

}  // namespace app

namespace {

using support::expect_chain;
using support::take_dump;

class AutoFrames : public ::testing::Test {
protected:
    void SetUp() override {
        places::counts::made = places::counts::freed = 0;
        places::counts::refuse = false;
    }
    static void expect_parked(std::string_view function) {
        const auto dump = take_dump();
        expect_chain(dump, {{function, app::at}}, "places::park");
        EXPECT_EQ(dump.frames, 1U) << dump.chains();
        places::park::resume();
    }
    /// The one task's function and result.
    void expect_function(lazy::task<int> task, std::string_view function, int result) {
        task.start();
        const auto dump = take_dump();
        ASSERT_EQ(dump.tasks.size(), 1U) << dump.chains();
        // clang leaves template arguments out.
        const std::string& name = dump.tasks[0].last().function;
        EXPECT_EQ(name.substr(0, name.find('<')), function);
        EXPECT_EQ(dump.tasks[0].last().line, app::at);
        until.set();
        EXPECT_EQ(task.result(), result);
    }
    static std::string value(const support::frame& of, const std::string& name) {
        const auto at = of.locals.find(name);
        return at == of.locals.end() ? "absent" : at->second.value;
    }

    corodump::agent agent;
    synced::event until;
};

TEST_F(AutoFrames, OwnOperatorNewIsCalled) {
    auto task = app::plain(99);
    expect_parked("app::plain");
    EXPECT_EQ(task.owned.promise().untouched, 17);
    task.destroy();
    EXPECT_EQ(places::counts::made, 1);
    EXPECT_EQ(places::counts::freed, 1);
    support::expect_no_frames();
}

TEST_F(AutoFrames, OperatorNewIsGivenTheArguments) {
    places::arena arena;
    auto task = app::from_arena(std::allocator_arg, arena, 8);
    expect_parked("app::from_arena");
    EXPECT_EQ(task.owned.promise().number, 8);
    EXPECT_GT(arena.used, 0U);
    EXPECT_EQ(task.owned.address(), static_cast<void*>(arena.memory));
    task.destroy();
    EXPECT_EQ(places::counts::freed, 1);
}

TEST_F(AutoFrames, AllocationFailureIsTold) {
    places::counts::refuse = true;
    EXPECT_FALSE(app::modest(1).owned);
    EXPECT_FALSE(app::last(1).owned);
    support::expect_no_frames();
    places::counts::refuse = false;
    const auto modest = app::modest(1);
    expect_parked("app::modest");
    modest.owned.destroy();
    const auto hopeful = app::hopeful(1);
    expect_parked("app::hopeful");
    hopeful.owned.destroy();
    const auto last = app::last(1);
    expect_parked("app::last");
    EXPECT_EQ(last.owned.promise().untouched, 23);
    last.owned.destroy();
    EXPECT_EQ(places::counts::made, 2);
    EXPECT_EQ(places::counts::freed, 2);
}

TEST_F(AutoFrames, OverAlignedPromises) {
    auto narrow = app::aligned_32();
    EXPECT_EQ(narrow.owned.promise().aligned.byte, 0x5A);
    expect_parked("app::aligned_32");
    narrow.destroy();
    auto wide = app::aligned_64();
    EXPECT_EQ(wide.owned.promise().aligned.byte, 0x5A);
    expect_parked("app::aligned_64");
    wide.destroy();
    support::expect_no_frames();
}

TEST_F(AutoFrames, PolymorphicPromiseIsGivenTheArguments) {
    auto task = app::polymorphic(3, 4);
    EXPECT_EQ(task.owned.promise().sum, 7);
    const places::polymorphic_base& base = task.owned.promise();
    EXPECT_EQ(base.kind(), 2);
    expect_parked("app::polymorphic");
    task.destroy();
}

TEST_F(AutoFrames, LargerThanThePools) {
    auto task = app::large(until);
    task.start();
    expect_chain(take_dump(), {{"app::large", app::at}});
    until.set();
    EXPECT_EQ(task.result(), 'x');
}

TEST_F(AutoFrames, ArgumentsByValueAreLocals) {
    auto task = app::by_value(until, -3, true, 'c', 2.5, 0.25F, app::colour::green,
                              "a string too long to lie inside of its own object", "view", "chars",
                              18'000'000'000'000'000'000U);
    task.start();
    const auto dump = take_dump();
    const auto* const found = expect_chain(dump, {{"app::by_value", app::at}});
    ASSERT_NE(found, nullptr);
    const support::frame& f = found->last();
    EXPECT_EQ(value(f, "arg1"), "-3");
    EXPECT_EQ(value(f, "arg2"), "true");
    EXPECT_EQ(value(f, "arg3"), "\"c\"");
    EXPECT_EQ(value(f, "arg4"), "2.5");
    EXPECT_EQ(value(f, "arg5"), "0.25");
    EXPECT_EQ(value(f, "arg6"), "1");
    EXPECT_EQ(value(f, "arg7"), "\"a string too long to lie inside of its own object\"");
    EXPECT_EQ(value(f, "arg8"), "\"view\"");
    EXPECT_EQ(value(f, "arg9"), "\"chars\"");
    EXPECT_EQ(value(f, "arg10"), "18000000000000000000");
    EXPECT_EQ(f.locals.at("arg6").type, "app::colour");
    EXPECT_EQ(f.locals.at("arg7").type, "std::string");
}

TEST_F(AutoFrames, ArgumentsByReferenceAreReadWhenTheDumpIsMade) {
    int a = 1;
    std::string b = "first";
    auto task = app::by_reference(until, a, b, std::string("moved"), 1.5);
    a = 8;
    b = "second";
    const auto dump = take_dump();
    const auto* const found = dump.ending_in("app::by_reference");
    ASSERT_NE(found, nullptr) << dump.chains();
    EXPECT_EQ(value(found->last(), "arg1"), "8");
    EXPECT_EQ(value(found->last(), "arg2"), "\"second\"");
}

TEST_F(AutoFrames, ArgumentsOfOtherTypesAreLeftOut) {
    int n = 0;
    auto task = app::hidden_argument(until, std::make_unique<int>(1), &n, nullptr, 42);
    task.start();
    const auto dump = take_dump();
    const auto* const found = expect_chain(dump, {{"app::hidden_argument", app::at}});
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->last().locals.size(), 1U);
    EXPECT_EQ(value(found->last(), "arg4"), "42");
}

TEST_F(AutoFrames, NamelessNamespaces) {
    expect_function(app::nameless(until), "app::(anonymous namespace)::nameless", 4);
}

TEST_F(AutoFrames, FunctionTemplates) {
    expect_function(app::function_template<long, 3>(until, 4L), "app::function_template", 7);
}

TEST_F(AutoFrames, MemberFunctions) {
    app::service service;
    expect_function(service.member(until, 2), "app::service::member", 7);
}

TEST_F(AutoFrames, OtherMembers) {
    app::service service;
    expect_function(service.const_member(until), "app::service::const_member", 5);
}
TEST_F(AutoFrames, StaticMembers) {
    expect_function(app::service::static_member(until), "app::service::static_member", 1);
}
TEST_F(AutoFrames, MemberTemplates) {
    app::service service;
    expect_function(service.member_template(until, 6), "app::service::member_template", 6);
}
TEST_F(AutoFrames, CallOperators) {
    app::service service;
    expect_function(service(until), "app::service::operator()", 2);
}

TEST_F(AutoFrames, LambdasKeepTheirCaptures) {
    int captured = 30;
    // clang-format off
    const auto lambda = [captured](synced::event& wait, int n) -> lazy::task<int> {
        app::at = __LINE__; co_await wait;
        co_return captured + n;
    };
    // clang-format on
    auto task = lambda(until, 12);
    task.start();
    const auto dump = take_dump();
    ASSERT_EQ(dump.tasks.size(), 1U) << dump.chains();
    EXPECT_EQ(dump.tasks[0].last().line, app::at);
    EXPECT_NE(dump.tasks[0].last().function.find("lambda"), std::string::npos) << dump.chains();
    EXPECT_EQ(value(dump.tasks[0].last(), "arg2"), "12");
    until.set();
    EXPECT_EQ(task.result(), 42);
}

}  // namespace
