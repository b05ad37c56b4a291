// The contract between the headers, which are compiled into services, and the agent's library: the
// layout of what the hot path writes and the few C functions it calls when it runs out.
//
// Nothing here changes without a new version: a service may be built years before its agent, and
// two header versions may meet in one process. Every field another thread reads is atomic; the
// watchdog reads records without a lock, at any time, because their memory is type-stable: recycled
// for other frames, emptied with MADV_DONTNEED, never unmapped.
//
//   slab (64 KiB, aligned): [slab_header][object][object]...
//
//   object:  [record 48 B][coroutine frame ...............................]
//                          resume, destroy | promise (+ frame_tag) | args, locals, awaiters
//                          ^ frame address, what coroutine_handle::address() returns
//
// A frame that is not in the pool (elided, allocated by its own promise, under a sanitizer) has a
// slot instead: a record with a pointer to the frame.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace corodump {
inline namespace abi_v1 {
namespace detail {

inline constexpr std::uint32_t layout_version = 1;
inline constexpr std::uint32_t slab_magic = 0x31444343;  // "CCD1"
inline constexpr std::size_t slab_bytes = std::size_t{64} * 1024;
inline constexpr std::size_t slab_header_bytes = 128;

enum class slab_kind : std::uint16_t { frames = 1, slots = 2, sides = 3 };

enum class value_kind : std::uint8_t {
    none,
    boolean,
    character,
    signed_integer,
    unsigned_integer,
    floating,
    pointer,
    string_libstdcxx,
    string_libcxx,
    string_view_libstdcxx,
    string_view_libcxx,
    c_string,
    text
};

/// How to show a value of the coroutine's. `name` is empty for an argument whose name is unknown.
struct value_info {
    const char* type_name;
    std::uint32_t type_name_bytes;
    value_kind kind;
    std::uint8_t size_bytes;
    std::uint8_t by_reference;
    std::uint8_t position;  ///< of the argument, from 0
};

enum promise_flags : std::uint16_t {
    promise_is_library = 1,        ///< an I/O library's own coroutine
    promise_is_operation = 2,      ///< stands for one asynchronous operation; has a description
    promise_is_entry = 4,          ///< the root of a chain that a library started
    promise_hooks_start = 8,       ///< initial_suspend is seen
    promise_may_be_joined = 16,    ///< an entry whose completion handler leads to another task
    promise_joins_by_state = 32,   ///< it does so through shared state on the heap
    promise_drops_failure = 64,    ///< an entry whose completion handler throws exceptions away
    promise_starts_at_once = 128,  ///< its initial_suspend is std::suspend_never
};

/// One for each promise type. Offsets count from the frame's address.
struct promise_info {
    std::uint32_t version;
    std::uint32_t
        promise_bytes;  ///< of the library's own promise, where continuations are looked for
    std::uint16_t promise_offset;
    std::uint16_t flags;
    std::int32_t continuation_offset;  ///< -1: not known, look for it
    std::uint32_t description_offset;  ///< 0: none
    std::uint32_t offsets_offset;      ///< of std::uint16_t[]: arguments from the promise's address
    std::uint32_t references_offset;   ///< of void*[]: arguments taken by reference
    std::uint32_t value_count;
    const value_info* values;
    const char* type_name;
    std::uint32_t type_name_bytes;
    std::atomic<std::uint32_t> tag_offset;  ///< of the frame_tag
    std::uint32_t
        handler_offset;  ///< of std::uint32_t: the handler's offset from the promise; 0: none
    std::uint32_t handler_bytes;
};

/// One for each awaiter type.
struct awaitable_info {
    std::uint32_t version;
    std::uint32_t kind;  ///< awaitable_kind
    const char* type_name;
    std::uint32_t type_name_bytes;
    std::uint32_t size_bytes;          ///< of the library's awaiter
    std::uint32_t is_reference;        ///< the tracked awaiter begins with a pointer to it
    std::uint32_t description_offset;  ///< from the tracked awaiter, 0: none
    std::uint32_t object_offset;  ///< of the awaited object's address, likewise; 0: the awaiter
};
enum awaitable_kind : std::uint32_t {
    awaits_something = 0,
    awaits_start = 1,
    awaits_yield = 2,
    awaits_end = 3,
    awaits_failure = 4  ///< stored by unhandled_exception: the end that comes is a failure
};

/// The low half of `record::suspended` where there is no awaiter.
enum rest_code : std::uint32_t { rests = 1, rests_before_start = 3, rests_at_end = 5 };

/// 48 bytes. Written by the thread that runs the coroutine, read by the watchdog.
/// `sequence` counts the resumes; `suspended` is not 0 while suspended. A reader that sees
/// generation, sequence and `suspended` unchanged around its reads has a consistent record.
/// (One read-modify-write a resume: a second counter would wait for the first one's store.)
struct record {
    std::atomic<std::uint32_t> generation;  ///< odd: live
    std::atomic<std::uint32_t> sequence;
    std::atomic<const promise_info*> promise;
    std::atomic<const void*> site;  ///< std::source_location's static data; free: the next record
    std::atomic<const awaitable_info*> awaitable;  ///< of the last suspension
    /// Low half: low 32 bits of the tracked awaiter's address, which lies in the frame, with bit 0
    /// set; or a rest_code. High half: the tick, 0 unknown.
    std::atomic<std::uint64_t> suspended;
    std::atomic<std::uint32_t> created_tick;
    std::atomic<std::uint32_t> thread;
};
static_assert(sizeof(record) == 48);

/// What std::source_location points at, in libstdc++ and libc++ alike.
struct site_data {
    const char* file;
    const char* function;
    std::uint32_t line;
    std::uint32_t column;
};

struct node;

/// What a task is given by hand; made on first use.
struct side_record {
    static constexpr std::size_t max_labels = 8;
    std::atomic<record*> owner;
    std::atomic<std::uint32_t> generation;  ///< the owner's; 0: free
    std::atomic<std::uint32_t> label_count;
    std::atomic<const void*> definition;
    std::atomic<node*> nodes;
    std::atomic<std::uint32_t> cancelled;
    std::atomic<std::uint32_t> revision;  ///< odd while the text below changes
    char name[88];
    struct {
        char name[32];
        char value[96];
    } labels[max_labels];
};

/// A record for a frame outside the pool.
struct slot {
    record tracked;
    std::atomic<const void*> frame;
    std::atomic<const void*> definition;
    std::atomic<side_record*> side;
    std::atomic<std::uint64_t> frame_bytes;  ///< 0: unknown
};
static_assert(sizeof(slot) == 80);

/// In the promise. The two low bits say what the word is: 0 the definition's site (pooled frame),
/// 1 a slot, 2 a side record (pooled frame).
struct frame_tag {
    std::atomic<std::uintptr_t> word{0};
};
inline constexpr std::uintptr_t tag_slot = 1;
inline constexpr std::uintptr_t tag_side = 2;
inline constexpr std::uintptr_t tag_mask = 3;

/// What the agent keeps of each of a slab's objects.
enum slab_note : std::uint8_t { note_of_birth = 0, note_of_context = 1, note_of_profile = 2 };

struct slab_header {
    std::uint32_t magic;
    std::uint16_t version;
    slab_kind kind;
    std::uint32_t object_bytes;
    std::uint32_t capacity;
    std::atomic<std::uint32_t> carved;  ///< objects handed out at least once
    std::uint32_t free_count;           ///< the rest is the pool's own, under its lock
    std::uint32_t first_generation;
    std::uint32_t class_index;
    void* free_objects;
    slab_header* next;
    slab_header* previous;
    std::atomic<void*> notes[3];  ///< of slab_note: the agent's own, for each object; may be null
};
static_assert(sizeof(slab_header) <= slab_header_bytes);

/// What the agent wants to be told of: bits of corodump_switches_v1.
enum switch_bits : std::uint32_t {
    switch_births = 1,
    switch_ends = 2,
};

enum failure_flags : std::uint32_t {
    failure_is_cancellation = 1  ///< the code of an operation that was cancelled
};
/// An exception that leaves a coroutine, as the host's own runtime tells of it.
struct failure {
    std::uint32_t size_bytes;  ///< of this struct: later versions append members
    std::uint32_t flags;
    const void* exception;  ///< the exception object, nullptr: not C++'s
    const char* type_name;  ///< mangled; nullptr: unknown
    const char* message;    ///< nullptr: it has none
};

/// Objects of up to 1,024 bytes in steps of 16, to 8,192 in steps of 128; larger frames are
/// malloc'd.
inline constexpr std::size_t size_classes = 121;
inline constexpr std::size_t max_pooled_bytes = 8192;

[[nodiscard]] constexpr std::size_t class_of(std::size_t object_bytes) noexcept {
    return object_bytes <= 1024 ? (object_bytes + 15) / 16 : 64 + (object_bytes - 1024 + 127) / 128;
}
[[nodiscard]] constexpr std::size_t bytes_of_class(std::size_t index) noexcept {
    return index <= 64 ? index * 16 : 1024 + (index - 64) * 128;
}

struct free_list {
    record* head;
    std::uint32_t count;
    std::uint32_t limit;
};

/// One for each thread, in the agent's memory. A thread that has none yet shares an immutable one
/// whose lists are empty and whose `running` is taken, so that the fast paths need no null check.
struct thread_state {
    static constexpr std::uint32_t max_depth = 64;
    /// Address of the record of the coroutine this thread is inside of; bit 0: it is inside of
    /// others too, one of which resumed it, so that leaving takes the slow path.
    std::atomic<std::uintptr_t> running;
    std::atomic<std::uint32_t> depth;  ///< how many more it is inside of
    std::uint32_t tid;
    const void* last_frame;  ///< the proof that our allocation ran for the promise built next
    std::size_t last_frame_bytes;
    std::atomic<record*> outer[max_depth];
    free_list lists[size_classes];
};

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump

#define CORODUMP_API __attribute__((visibility("default")))

// A service may be compiled without exceptions: then nothing is caught, since nothing is thrown.
#if defined(__cpp_exceptions)
#define CORODUMP_TRY try
#define CORODUMP_CATCH_ALL catch (...)
#define CORODUMP_RETHROW throw
#else
#define CORODUMP_TRY if constexpr (true)
#define CORODUMP_CATCH_ALL else
#define CORODUMP_RETHROW static_cast<void>(0)
#endif

extern "C" {
/// Coarse clock, written by the watchdog. High half: ticks of 8 ms, 0 until an agent runs; low
/// half: 1, so that one addition makes a record's `suspended` of it.
extern CORODUMP_API std::atomic<std::uint64_t> corodump_clock_v1;
/// switch_bits; 0 without an agent. Read relaxed.
extern CORODUMP_API std::atomic<std::uint32_t> corodump_switches_v1;
/// Takes the stores of a frame for which there is no record. Never live.
extern CORODUMP_API corodump::detail::slot corodump_sink_v1;
/// The definition of a coroutine whose promise did not say where it is.
extern CORODUMP_API const corodump::detail::site_data corodump_unnamed_v1;
extern CORODUMP_API __thread corodump::detail::thread_state* corodump_thread_v1
    __attribute__((tls_model("initial-exec")));

/// Threads: any. Signals: unsafe. Blocks: on the pool's own lock. Errors: nullptr, out of memory.
CORODUMP_API void* corodump_allocate_v1(std::size_t frame_bytes) noexcept;
CORODUMP_API void corodump_release_v1(void* frame, std::size_t frame_bytes) noexcept;
/// A slot for a frame outside the pool; nullptr when there is no memory for one.
CORODUMP_API corodump::detail::slot* corodump_slot_v1(const void* frame) noexcept;
/// Ends what `word` (a frame_tag's) refers to: its slot or side record.
CORODUMP_API void corodump_untag_v1(std::uintptr_t word) noexcept;
CORODUMP_API bool corodump_pooled_v1(const void* frame) noexcept;
/// Under switch_births: what allocation returned, for a coroutine that is about to begin. Returns
/// it. (Of a frame that is not in the pool the agent knows by its slot.)
CORODUMP_API void* corodump_born_v1(void* frame) noexcept;
CORODUMP_API void corodump_enter_v1(corodump::detail::record* running) noexcept;
CORODUMP_API void corodump_leave_v1(corodump::detail::record* running) noexcept;
CORODUMP_API corodump::detail::side_record* corodump_side_v1(corodump::detail::record*) noexcept;

/// An exception leaves the coroutine of this record. In its handler, before the promise has it.
/// What follows may be left out; what it would have told is then unknown.
CORODUMP_API void corodump_failed_v1(corodump::detail::record* own,
                                     const corodump::detail::failure* what) noexcept;
/// The promise has had it, still in the handler.
CORODUMP_API void corodump_stored_v1(corodump::detail::record* own) noexcept;
/// Somebody got the exception: the coroutine `by`, which may throw it on, or the program itself.
CORODUMP_API void corodump_observed_v1(corodump::detail::record* by,
                                       const void* exception) noexcept;
/// The record of a coroutine that failed has ended. `unwinding`: an exception is in flight on this
/// thread; `handled`: the one that is being handled, or nullptr.
CORODUMP_API void corodump_lost_v1(corodump::detail::record* own, int unwinding,
                                   const void* handled) noexcept;
/// Under switch_ends, and always for a library's entry: the record is about to end, the frame is
/// still there. `body`: the definition of the coroutine an entry was for, or nullptr.
CORODUMP_API void corodump_ended_v1(corodump::detail::record* own, const void* body) noexcept;
/// The definition of the coroutine whose promise is at this address, nullptr: it is a library's, or
/// not tracked.
CORODUMP_API const void* corodump_definition_v1(const void* promise) noexcept;
/// For what interposes __cxa_throw: an exception is thrown from the stack of this frame pointer.
CORODUMP_API void corodump_thrown_v1(const void* exception, const void* frame_pointer) noexcept;
}
