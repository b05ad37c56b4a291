// The pool must not hide a host's own faults from AddressSanitizer, and outside of it recycles.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <optional>

#include "styles/lazy_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"
#include "tests/sanitizers.hpp"

namespace {

lazy::task<int> waits(synced::event& until) {
    co_await until;
    co_return 1;
}

#if CORODUMP_TEST_ASAN

void use_after_destroy() {
    synced::event until;
    std::optional<lazy::task<int>> task(waits(until));
    task->start();
    const auto handle = task->handle();
    task.reset();
    until.set();
    static_cast<void>(handle);
}

TEST(HostsFaults, UseAfterDestroyIsReported) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(use_after_destroy(), "AddressSanitizer: heap-use-after-free");
}

TEST(HostsFaults, UseAfterDestroyIsReportedWithAnAgent) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(
        {
            const corodump::agent agent;
            use_after_destroy();
        },
        "AddressSanitizer: heap-use-after-free");
}

#else

TEST(HostsFaults, FramesAreRecycledWithoutASanitizer) {
    synced::event until;
    const void* first = nullptr;
    {
        const auto task = waits(until);
        first = task.handle().address();
    }
    const auto task = waits(until);
    EXPECT_EQ(task.handle().address(), first);
}

#endif

}  // namespace
