// The C functions of each variant of shapes.cpp: one source of coroutines, compiled several times.
//
//   bare        frames from malloc, no corodump
//   sized       bare, which notes its frames' sizes
//   current     bare, and keeps track of the running coroutine, no more
//   mixin       corodump::tracked_promise
//   automatic   bare's source with corodump/auto.hpp and the default allocation
//   outside     bare's source with corodump/auto.hpp: frames from malloc, records in slots
#pragma once

#include <cstddef>

#define BENCH_VARIANT_FUNCTIONS(variant)                                                   \
    extern "C" {                                                                           \
    /** Creates, awaits, runs and destroys `count` coroutines with an int argument. */     \
    long variant##_create(long count);                                                     \
    /** The same without an argument. */                                                   \
    long variant##_create_plain(long count);                                               \
    /** A suspended coroutine that suspends again each time it is resumed. */              \
    void* variant##_waiter();                                                              \
    /** The same with an int argument. */                                                  \
    void* variant##_waiter_of(int value);                                                  \
    void variant##_resume(void* frame, long times);                                        \
    void variant##_resume_all(void* const* frames, std::size_t count);                     \
    /** Three nested coroutines, the innermost suspended; the address of the outermost. */ \
    void* variant##_chain();                                                               \
    void variant##_destroy(void* frame);                                                   \
    }

BENCH_VARIANT_FUNCTIONS(bare)
BENCH_VARIANT_FUNCTIONS(sized)
BENCH_VARIANT_FUNCTIONS(current)
BENCH_VARIANT_FUNCTIONS(mixin)
BENCH_VARIANT_FUNCTIONS(automatic)
BENCH_VARIANT_FUNCTIONS(outside)

extern "C" {
/// What a coroutine without an argument returns; not known to the compiler.
extern int shapes_seed;
/// Of the frame that `sized` allocated last.
extern std::size_t shapes_frame_bytes;
/// As mixin_create_plain, where each coroutine names itself, or watches a value.
long mixin_create_named(long count);
long mixin_create_watched(long count);
}
