#include "agent/sources/listeners.hpp"

#include <gtest/gtest.h>

#include <corodump/detail/tracking.hpp>

#include "agent/sources/pool.hpp"

namespace corodump::sources {
namespace {

using detail::record;

class Listeners : public ::testing::Test {
protected:
    Listeners() : frame_(corodump_allocate_v1(100)), own_(static_cast<record*>(frame_) - 1) {}
    ~Listeners() override {
        listen_to_runs(listener::profile, false);
        corodump_release_v1(frame_, 100);
    }
    static std::uintptr_t running() { return corodump_thread_v1->running.load(); }
    void enter() { detail::enter(corodump_thread_v1, own_); }
    void leave() { detail::leave(own_); }

    void* frame_;
    record* own_;
};

TEST_F(Listeners, OfRunsSendThreadsToTheSlowPathWhileThereIsOne) {
    EXPECT_EQ(running(), 0U);
    listen_to_runs(listener::profile, true);
    EXPECT_EQ(running(), 1U);
    enter();
    EXPECT_EQ(record_of_running(running()), own_);
    EXPECT_EQ(running() & 1U, 1U);
    leave();
    EXPECT_EQ(running(), 1U);
    listen_to_runs(listener::profile, false);
    EXPECT_EQ(running(), 0U);
}

TEST_F(Listeners, MarkAThreadThatIsInsideOfACoroutine) {
    enter();
    EXPECT_EQ(running() & 1U, 0U);
    listen_to_runs(listener::profile, true);
    EXPECT_EQ(running() & 1U, 1U) << "its leaving is heard";
    EXPECT_EQ(record_of_running(running()), own_);
    leave();
    EXPECT_EQ(running(), 1U);
}

TEST_F(Listeners, ThatGoneLeaveAMarkThatTheNextRunClears) {
    listen_to_runs(listener::profile, true);
    enter();
    listen_to_runs(listener::profile, false);
    leave();
    EXPECT_EQ(running(), 0U);
}

TEST_F(Listeners, KeepASwitchOnUntilTheLastIsGone) {
    const auto switched = [] { return (corodump_switches_v1.load() & detail::switch_births) != 0; };
    listen_to_births(listener::contexts, true);
    listen_to_births(listener::creations, true);
    listen_to_births(listener::contexts, false);
    EXPECT_TRUE(switched());
    EXPECT_TRUE(hears_births(listener::creations));
    EXPECT_FALSE(hears_births(listener::contexts));
    listen_to_births(listener::creations, false);
    EXPECT_FALSE(switched());
}

}  // namespace
}  // namespace corodump::sources
