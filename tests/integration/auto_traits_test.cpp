// The recompile tier on libraries that specialise std::coroutine_traits themselves.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>

#include "styles/own_traits.hpp"
#include "support_dump.hpp"

namespace left_out {
struct task {
    struct promise_type {
        task get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept {}
    };
};
}  // namespace left_out

CORODUMP_NO_AUTO_FOR(left_out::task);

namespace app {

int at;

// clang-format off: a line is noted on the line itself
traits::box<int> boxed(int n) { at = __LINE__; co_await traits::park(); co_return n; }
traits::ticket ticketed() { at = __LINE__; co_await traits::park(); }
traits::other_ticket also_ticketed(int) { at = __LINE__; co_await traits::park(); }
traits::secretive secret() { at = __LINE__; co_await traits::park(); }
traits::asks asking() { at = __LINE__; co_await traits::park(); }
void nothing_returned(traits::marked, int& done) { at = __LINE__; co_await traits::park(); done = 1; }
std::future<int> of_the_standard(int n) { at = __LINE__; co_await traits::park(); co_return n + 1; }
left_out::task not_tracked() { co_await traits::park(); }
// clang-format on

}  // namespace app

namespace {

class AutoTraits : public ::testing::Test {
protected:
    corodump::agent agent;

    static void expect_parked(std::string_view function) {
        const auto dump = support::take_dump();
        support::expect_chain(dump, {{function, app::at}}, "traits::park");
        EXPECT_EQ(dump.frames, 1U) << dump.chains();
        traits::parked::resume();
    }
};

TEST_F(AutoTraits, PartialSpecialisationOnTheReturnType) {
    const auto box = app::boxed(6);
    expect_parked("app::boxed");
    EXPECT_EQ(*box.value, 6);
    support::expect_no_frames();
}

TEST_F(AutoTraits, ConstrainedGenericSpecialisation) {
    EXPECT_NE(app::ticketed().number, nullptr);
    expect_parked("app::ticketed");
    app::also_ticketed(1);
    expect_parked("app::also_ticketed");
}

TEST_F(AutoTraits, PrivatePromise) {
    app::secret();
    expect_parked("app::secret");
}

TEST_F(AutoTraits, HandleNamedThroughTheTraits) {
    const auto task = app::asking();
    expect_parked("app::asking");
    EXPECT_TRUE(task.owned.done());
    task.owned.destroy();
}

TEST_F(AutoTraits, FunctionThatReturnsNothing) {
    int done = 0;
    app::nothing_returned({}, done);
    expect_parked("app::nothing_returned");
    EXPECT_EQ(done, 1);
}

TEST_F(AutoTraits, ForeignClassWithAPromiseOfTheApplications) {
    auto future = app::of_the_standard(4);
    expect_parked("app::of_the_standard");
    EXPECT_EQ(future.get(), 5);
}

TEST_F(AutoTraits, ExcludedTypeIsLeftAlone) {
    app::not_tracked();
    EXPECT_EQ(support::take_dump().frames, 0U);
    traits::parked::resume();
}

}  // namespace
