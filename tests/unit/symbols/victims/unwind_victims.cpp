// What the unwinder is tried on: functions of all shapes, compiled several times over, by both
// compilers, with and without optimisation and frame pointers. CORODUMP_VICTIMS names one such set.
// No includes that define code of their own: what a compiler makes of these lines is the test.

#include <alloca.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/symbols/victims/unwind_victims.hpp"

#define NOINLINE [[gnu::noinline]]

namespace corodump::test {
namespace {

stop_function* stop = nullptr;
volatile long sink = 0;

NOINLINE long leaf(long a, long b) {
    return (a * 31 + b) ^ (a >> 3);
}

NOINLINE void stop_inside(long value) {
    sink = sink + value;
    stop();
    sink = sink - value;
}

NOINLINE long recurse(long depth, long a) {
    if (depth == 0) {
        stop_inside(a);
        return a;
    }
    long kept[3] = {a, depth, a ^ depth};
    const long below = recurse(depth - 1, leaf(a, depth));
    return below + kept[depth % 3];
}

NOINLINE long dynamic(long size) {
    auto* const bytes = static_cast<char*>(alloca(static_cast<size_t>(size)));
    memset(bytes, static_cast<int>(size), static_cast<size_t>(size));
    sink = sink + bytes[size / 2];
    stop_inside(bytes[0]);
    return bytes[size - 1];
}

// An allocation that comes later in the code than a call, but earlier in time.
NOINLINE long dynamic_loop(long rounds) {
    long sum = 0;
    char* last = nullptr;
    for (long i = 0; i < rounds; ++i) {
        stop_inside(i);
        if (last != nullptr) sum += last[0];
        last = static_cast<char*>(alloca(static_cast<size_t>(64 + 32 * i)));
        last[0] = static_cast<char>(i);
        sink = sink + last[0];
    }
    return sum;
}

NOINLINE long many(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j) {
    stop_inside(a + j);
    return leaf(a, b) + leaf(c, d) + leaf(e, f) + g + h + i + j;
}

NOINLINE long many_callers(long a) {
    const long first = many(a, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    return first + many(a, 1, 2, 3, 4, 5, 6, 7, 8, first) + many(9, 8, 7, 6, 5, 4, 3, 2, 1, a);
}

NOINLINE long aligned(long a) {
    alignas(64) long block[16];
    for (long i = 0; i < 16; ++i) block[i] = leaf(a, i);
    stop_inside(block[3]);
    sink = sink + block[a & 15];
    return block[(a + 5) & 15];
}

NOINLINE long large(long a) {
    char block[12000];
    memset(block, static_cast<int>(a), sizeof block);
    stop_inside(block[17]);
    sink = sink + block[a & 1023];
    return block[11000];
}

NOINLINE long early_exit(const char* text, long a) {
    if (text == nullptr) return a;
    const long size = static_cast<long>(strlen(text));
    if (size == 0) return leaf(a, 1);
    stop_inside(size);
    return size + leaf(size, a) + leaf(a, size);
}

NOINLINE int compare(const void* left, const void* right) {
    const long a = *static_cast<const long*>(left);
    const long b = *static_cast<const long*>(right);
    if (a == 7 || b == 7) stop_inside(a);
    return a < b ? -1 : a > b ? 1 : 0;
}

NOINLINE long sorted(long a) {
    long values[24];
    for (long i = 0; i < 24; ++i) values[i] = (i * 7 + a) % 24;
    qsort(values, 24, sizeof values[0], compare);
    return values[a % 24];
}

NOINLINE long variadic(const char* format, ...) {
    char text[200];
    va_list all;
    va_start(all, format);
    const int size = vsnprintf(text, sizeof text, format, all);
    va_end(all);
    stop_inside(size);
    return size;
}

NOINLINE long choice(long which) {
    switch (which) {
        case 0:
            return leaf(which, 3);
        case 1:
            stop_inside(1);
            return 5;
        case 2:
            return choice(1) + 1;
        case 3:
            return early_exit("three", which);
        case 4:
            return sorted(which);
        case 5:
            return variadic("%d", 5);
        default:
            return -1;
    }
}

jmp_buf back;

[[noreturn]] NOINLINE void never_returns(long a) {
    stop_inside(a);
    longjmp(back, 1);
}

// The call is the last instruction: its return address belongs to whatever comes next.
[[noreturn]] NOINLINE void ends_in_a_call(long a) {
    sink = sink + a;
    never_returns(a + 1);
}

NOINLINE long jumps(long a) {
    if (setjmp(back) == 0) ends_in_a_call(a);
    return a;
}

struct cleanup {
    long value;
    NOINLINE ~cleanup() { stop_inside(value); }
};

NOINLINE void may_throw(long a) {
    const cleanup first{a};
    if (a % 2 == 1) throw a;
    stop_inside(a);
}

NOINLINE long catches(long a) {
    const cleanup outer{a + 1};
    try {
        may_throw(a);
        return 1;
    } catch (long thrown) {
        stop_inside(thrown);
        return 2;
    }
}

NOINLINE long library(long a) {
    std::vector<std::string> words;
    for (long i = 0; i < 6; ++i) words.push_back(std::to_string(leaf(a, i) % 1000) + " words");
    std::sort(words.begin(), words.end(), [](const std::string& left, const std::string& right) {
        if (left.size() == 9) stop_inside(9);
        return left < right;
    });
    char copy[300];
    memset(copy, 1, sizeof copy);
    memcpy(copy, words[0].data(), words[0].size());
    memmove(copy + 3, copy, 200);
    return copy[4] + static_cast<long>(words[2].size());
}

NOINLINE long kernel(long a) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const timespec none{0, 1};
    nanosleep(&none, nullptr);
    return now.tv_nsec + getppid() + a;
}

}  // namespace

void CORODUMP_VICTIMS(victim which, stop_function* at_stop) {
    stop = at_stop;
    const long a = sink % 3 + 5;
    switch (which) {
        case victim::plain:
            sink = leaf(a, 4) + early_exit("some text", a) + early_exit("", a) +
                   early_exit(nullptr, a) + recurse(3, a);
            break;
        case victim::deep:
            sink = recurse(200, a);
            break;
        case victim::frames:
            sink = dynamic(300) + aligned(a) + large(a) + many_callers(a) + dynamic_loop(3);
            break;
        case victim::callbacks:
            sink = sorted(a) + choice(2) + choice(3) + choice(4) + jumps(a);
            break;
        case victim::formatting:
            sink = variadic("%ld %s %.3f %c", a, "text", 3.25, 'x') + choice(5);
            break;
        case victim::exceptions:
            sink = catches(2) + catches(3);
            break;
        case victim::libraries:
            sink = library(a);
            break;
        case victim::system_calls:
            sink = kernel(a);
            break;
    }
}

}  // namespace corodump::test
