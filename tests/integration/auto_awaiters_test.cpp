// The recompile tier on awaiters and await_transforms of every form: results unchanged, each
// suspension seen.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <stdexcept>
#include <string>

#include "styles/awaiters.hpp"
#include "support_dump.hpp"

namespace app {

using namespace std::chrono_literals;
int at;

// clang-format off: a line is noted on the line itself
forms::task<int> pinned_prvalue() { at = __LINE__; co_return co_await forms::pinned(4); }
forms::task<int> pinned_lvalue() { forms::pinned p(5); at = __LINE__; co_return co_await p; }
forms::task<int> const_lvalue() { const forms::pinned p(6); at = __LINE__; co_return co_await p; }
forms::task<int> of_aggregate() { at = __LINE__; co_return co_await forms::aggregate{2, 5}; }
forms::task<int> of_member_operator() { at = __LINE__; co_return co_await forms::member_operator{8}; }
forms::task<int> of_free_operator() { at = __LINE__; co_return co_await forms::free_operator{9}; }
forms::task<int> of_reference_operator() {
    forms::pinned p(10);
    const forms::refers_elsewhere r{p};
    at = __LINE__; co_return co_await r;
}
forms::task<int> convertible_answer() { at = __LINE__; co_await forms::convertible_ready{}; co_return 11; }
forms::task<int> global_operator() { at = __LINE__; co_return co_await 12us; }
forms::task<int> in_an_expression() {
    at = __LINE__; const int sum = co_await forms::pinned(6) + co_await forms::says_no() - 2;
    co_return sum;
}
// clang-format on

forms::task<bool> result_is_same_reference(int& n) {
    int& same = co_await forms::by_reference{n};
    co_return &same == &n;
}
forms::task<int> never_suspends() {
    const int n = co_await forms::says_no();
    co_await forms::transfers_to_itself();
    co_return n;
}
forms::task<std::string> throws(forms::throws_in::where where) {
    std::string seen;
    try {
        co_await forms::throws_in{where};
    } catch (const std::runtime_error& e) {
        seen = e.what();
    }
    co_await forms::aggregate{0, 0};
    co_return seen;
}
forms::picky overloads() {
    int sum = 0;
    sum += co_await 7;
    sum += co_await 3ms;
    sum += co_await 1s;  // the template fits better than the conversion
    forms::pinned p(20);
    sum += co_await p;
    sum += co_await forms::member_operator{1};
    sum += co_await forms::aggregate{1, 1};
    co_return sum;
}
forms::picky own_place(int& expected) {
    // clang-format off
    expected = __LINE__; const int line = co_await forms::picky::asks_line{};
    // clang-format on
    co_return line;
}
forms::picky_final transformed_in_final() {
    const int n = co_await forms::pinned(3);
    const int m = co_await forms::aggregate{4, 5};
    co_return {n, m};
}

}  // namespace app

namespace {

using support::expect_chain;
using support::take_dump;

class AutoAwaiters : public ::testing::Test {
protected:
    corodump::agent agent;

    /// Parked once, at the line noted, on `awaitable`; `result` afterwards.
    static void expect_parked(forms::task<int> task, std::string_view function, int result,
                              std::string_view awaitable = "forms::pinned") {
        const auto dump = take_dump();
        const auto* const found = expect_chain(dump, {{function, app::at}}, awaitable);
        EXPECT_EQ(dump.tasks.size(), 1U) << dump.chains();
        ASSERT_NE(found, nullptr);
        EXPECT_EQ(found->resumes, 1) << dump.chains();
        EXPECT_TRUE(forms::lot.resume_one());
        EXPECT_TRUE(task.done());
        EXPECT_EQ(task.result(), result);
        EXPECT_TRUE(task.owned.promise().ended_as_itself);
    }
};

TEST_F(AutoAwaiters, NotMovable) {
    expect_parked(app::pinned_prvalue(), "app::pinned_prvalue", 4);
    expect_parked(app::pinned_lvalue(), "app::pinned_lvalue", 5);
    expect_parked(app::const_lvalue(), "app::const_lvalue", 6);
}

TEST_F(AutoAwaiters, Aggregate) {
    expect_parked(app::of_aggregate(), "app::of_aggregate", 7, "forms::aggregate");
}

TEST_F(AutoAwaiters, Operators) {
    expect_parked(app::of_member_operator(), "app::of_member_operator", 8);
    expect_parked(app::of_free_operator(), "app::of_free_operator", 9);
    expect_parked(app::of_reference_operator(), "app::of_reference_operator", 10);
}

TEST_F(AutoAwaiters, OperatorWhereNoArgumentDependentLookupLeads) {
    expect_parked(app::global_operator(), "app::global_operator", 12);
}

TEST_F(AutoAwaiters, AnswerThatConvertsToBool) {
    expect_parked(app::convertible_answer(), "app::convertible_answer", 11,
                  "forms::convertible_ready");
}

TEST_F(AutoAwaiters, SeveralInOneExpression) {
    expect_parked(app::in_an_expression(), "app::in_an_expression", 13);
}

TEST_F(AutoAwaiters, ReferenceResultsAreTheSame) {
    int n = 0;
    auto task = app::result_is_same_reference(n);
    EXPECT_TRUE(forms::lot.resume_one());
    EXPECT_TRUE(task.result());
}

TEST_F(AutoAwaiters, NotSuspendedAfterAll) {
    auto task = app::never_suspends();
    EXPECT_TRUE(task.done());
    EXPECT_EQ(task.result(), 9);
    const auto dump = take_dump();
    ASSERT_EQ(dump.tasks.size(), 1U);
    EXPECT_EQ(dump.tasks[0].state, "done") << dump.chains();
}

TEST_F(AutoAwaiters, ThrowingAwaitersLeaveTheCoroutineRunning) {
    for (const auto where :
         {forms::throws_in::ready, forms::throws_in::suspend, forms::throws_in::resume}) {
        auto task = app::throws(where);
        const auto dump = take_dump();
        ASSERT_EQ(dump.tasks.size(), 1U) << dump.chains();
        EXPECT_EQ(dump.tasks[0].activity, "suspended");
        EXPECT_EQ(dump.tasks[0].awaits.value_or(support::leaf{}).awaitable, "forms::aggregate");
        ASSERT_TRUE(forms::lot.resume_one());
        EXPECT_EQ(task.result(), std::vector<std::string>({"ready", "suspend", "resume"})[where]);
    }
}

TEST_F(AutoAwaiters, OverloadedTransformsAreCalledAsBefore) {
    auto task = app::overloads();
    while (forms::lot.size() != 0) {
        const auto dump = take_dump();
        ASSERT_EQ(dump.tasks.size(), 1U) << dump.chains();
        EXPECT_EQ(dump.tasks[0].activity, "suspended");
        ASSERT_TRUE(forms::lot.resume_one());
    }
    EXPECT_TRUE(task.owned.done());
    EXPECT_EQ(task.owned.promise().result, 7 + 103 + 1'000'000 + 20 + 1 + 2);
    EXPECT_EQ(task.owned.promise().transformed, 3);
    task.owned.destroy();
}

TEST_F(AutoAwaiters, TransformWithAPlaceOfItsOwnSeesTheSame) {
    int expected = 0;
    auto task = app::own_place(expected);
    EXPECT_EQ(task.owned.promise().result, expected);
    task.owned.destroy();
}

TEST_F(AutoAwaiters, FinalPromisesTransformIsCalled) {
    auto task = app::transformed_in_final();
    EXPECT_EQ(task.owned.promise().transformed, 1);
    ASSERT_TRUE(forms::lot.resume_one());
    ASSERT_TRUE(forms::lot.resume_one());
    EXPECT_TRUE(task.owned.done());
    EXPECT_EQ(task.owned.promise().transformed, 2);
    EXPECT_EQ(task.owned.promise().result, 12);
    task.owned.destroy();
}

}  // namespace
