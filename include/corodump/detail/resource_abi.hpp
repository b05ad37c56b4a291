// The contract between resources.hpp, which is compiled into services, and the agent's library: a
// tracker has a kind, each open resource an entry of 64 bytes in memory of the agent's.
//
//   kind (id) ──< entry: opened when, where, by which task and thread, what, label
//                   ^ the token's; given back by close, on whichever thread
//
// Kinds are kept for ever: what a tracker has opened may be closed after its end.
//
// Threads: any, but an entry's calls one after the other. Signals: unsafe.
// Blocks: corodump_resource_kind_v1 on a lock of the agent's own; the rest never.
// Errors: kind 0 and entry nullptr mean that there is none, and are accepted by all calls.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi.hpp"

extern "C" {
/// An open resource, opaque.
struct corodump_resource_entry_v1;

struct corodump_resource_counts_v1 {
    std::uint64_t live;
    std::uint64_t peak;
    std::uint64_t opened;
    std::uint64_t refused;  ///< opens for which there was no memory; they are in none of the others
};

/// What is told of one open resource. Texts are terminated and last as long as the call.
struct corodump_leak_v1 {
    std::uint32_t size_bytes;  ///< of this struct: later versions append members
    std::uint32_t thread;      ///< tid; 0: unknown
    std::uint64_t age_ns;      ///< to within 8 ms; of one that is older than the agent: the agent's
    const void* object;
    const char* kind;
    const char* type;
    const char* label;
    const char* file;
    const char* function;
    std::uint32_t line;
    std::uint32_t task_generation;
    std::uint64_t task_address;  ///< of the coroutine that opened it; 0: none, or it has ended
    const char* task_name;       ///< as it was given; empty: none
};

/// The kind of these names, made on first use; 0: there are too many. `max_age_ns` not 0: how old
/// one may become; the last one given counts. Texts are copied, and cut.
CORODUMP_API std::uint32_t corodump_resource_kind_v1(const char* name, std::size_t name_bytes,
                                                     const char* type, std::size_t type_bytes,
                                                     std::uint64_t max_age_ns) noexcept;
/// The label is copied, and cut at 72 bytes; `site` is never read by this call.
CORODUMP_API corodump_resource_entry_v1* corodump_resource_open_v1(std::uint32_t kind,
                                                                   const void* object,
                                                                   const char* label,
                                                                   std::size_t label_bytes,
                                                                   const void* site) noexcept;
CORODUMP_API void corodump_resource_close_v1(corodump_resource_entry_v1* entry) noexcept;
CORODUMP_API void corodump_resource_label_v1(corodump_resource_entry_v1* entry, const char* label,
                                             std::size_t label_bytes) noexcept;
CORODUMP_API void corodump_resource_count_v1(std::uint32_t kind,
                                             corodump_resource_counts_v1* counts) noexcept;
/// Calls `each`, which throws nothing, for the open resources of a kind, 0: of all, that are at
/// least so old; in no order.
CORODUMP_API void corodump_resource_report_v1(std::uint32_t kind, std::uint64_t min_age_ns,
                                              void (*each)(void* context,
                                                           const corodump_leak_v1* leak),
                                              void* context) noexcept;
}
