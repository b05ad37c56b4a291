// Where frames come from: a thread-local free list for each size class, with the record straight
// before the frame. Called by the promise's operator new and delete.
//
// Under AddressSanitizer the pool stands aside, so that a use after destroy is reported as ever.
//
// Threads: any; a frame may be freed on another thread than its own. Signals: unsafe.
// Blocks: never on the fast path. Errors: nullptr when memory is out.
#pragma once

#include <cstdlib>

#include "abi.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define CORODUMP_NO_POOL 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CORODUMP_NO_POOL 1
#endif
#endif

namespace corodump {
inline namespace abi_v1 {
namespace detail {

[[gnu::always_inline]] inline record* record_before(void* frame) noexcept {
    return reinterpret_cast<record*>(static_cast<char*>(frame) - sizeof(record));
}

[[gnu::visibility("hidden")]] inline void* allocate_frame(std::size_t bytes) noexcept {
    thread_state* const thread = corodump_thread_v1;
#if defined(CORODUMP_NO_POOL)
    void* const frame = std::malloc(bytes);
    if (thread->tid != 0) {
        thread->last_frame = nullptr;
        thread->last_frame_bytes = bytes;
    }
    return frame;
#else
    const std::size_t index = class_of(bytes + sizeof(record));
    record* head = nullptr;
    void* frame = nullptr;
    if (index < size_classes) head = thread->lists[index].head;
    if (head != nullptr) [[likely]] {
        free_list& list = thread->lists[index];
        list.head =
            static_cast<record*>(const_cast<void*>(head->site.load(std::memory_order_relaxed)));
        --list.count;
        frame = head + 1;
        thread->last_frame = frame;
    } else {
        frame = corodump_allocate_v1(bytes);
    }
    // One call for both ways, so that equal creations have equal stacks.
    if ((corodump_switches_v1.load(std::memory_order_relaxed) & switch_births) != 0) [[unlikely]]
        return corodump_born_v1(frame);
    return frame;
#endif
}

[[gnu::visibility("hidden")]] inline void release_frame(void* frame, std::size_t bytes) noexcept {
#if defined(CORODUMP_NO_POOL)
    static_cast<void>(bytes);
    std::free(frame);
#else
    const std::size_t index = class_of(bytes + sizeof(record));
    if (index < size_classes) {
        free_list& list = corodump_thread_v1->lists[index];
        if (list.count < list.limit) [[likely]] {
            record* const object = record_before(frame);
            object->site.store(list.head, std::memory_order_relaxed);
            list.head = object;
            ++list.count;
            return;
        }
    }
    corodump_release_v1(frame, bytes);
#endif
}

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
