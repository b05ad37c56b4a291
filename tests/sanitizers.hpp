// Which sanitizer a test is compiled with, 0 or 1: GCC says so by a macro, clang when it is asked.
#pragma once

#if defined(__has_feature)
#define CORODUMP_TEST_FEATURE(feature) __has_feature(feature)
#else
#define CORODUMP_TEST_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || CORODUMP_TEST_FEATURE(address_sanitizer)
#define CORODUMP_TEST_ASAN 1
#else
#define CORODUMP_TEST_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || CORODUMP_TEST_FEATURE(thread_sanitizer)
#define CORODUMP_TEST_TSAN 1
#else
#define CORODUMP_TEST_TSAN 0
#endif

#define CORODUMP_TEST_SANITIZED (CORODUMP_TEST_ASAN || CORODUMP_TEST_TSAN)

// First in a test that looks at the stack of a thread which runs. ThreadSanitizer holds signals back
// until the thread enters its runtime, and the assembly there has no unwind tables.
#if CORODUMP_TEST_TSAN
#define CORODUMP_TEST_NEEDS_RUNNING_STACKS() \
    GTEST_SKIP() << "a stack ends inside of ThreadSanitizer's runtime, which has no tables for it"
#else
#define CORODUMP_TEST_NEEDS_RUNNING_STACKS() static_cast<void>(0)
#endif
