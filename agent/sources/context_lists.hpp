// What is bound: values, and the lists of them that coroutines hold.
//
//   list (shared, immutable once shared) ── entries ──> value ── pointer ──> T, the service's
//     references │ count │ [value, scope] ...             references, name, text
//
// A list is changed by making another one, so that whoever holds the old one keeps what it had.
// Both lie in blocks that are recycled but never unmapped: the watchdog may read any of them at any
// time, and believes what it read if the holder still held the list afterwards.
//
// Threads: any; a list that is held by one alone may be filled by it. Signals: unsafe. Blocks: on
// the blocks' own lock, for a few instructions. Errors: nullptr, no memory.
// Bounds: max_bindings in a list; names of 31 bytes, texts of 95.
#pragma once

#include <array>
#include <atomic>
#include <corodump/detail/context_abi.hpp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace corodump::sources {

inline constexpr std::uint32_t max_bindings = 64;

/// What all blocks begin with. The capacity is that of the block, for ever.
struct block {
    std::atomic<std::uint32_t> references;
    std::uint32_t capacity;
    block* next_free;
};

/// Words, since the watchdog may read them while the block is recycled.
template <std::size_t Bytes>
class shared_text {
public:
    void set(std::string_view text) noexcept;
    /// `into` takes Bytes; terminated.
    std::string_view read(std::span<char, Bytes> into) const noexcept;

private:
    std::array<std::atomic<std::uint64_t>, Bytes / 8> words_;
};

struct bound_value : block {
    std::atomic<const void*> variable;
    std::atomic<std::uint32_t> kind;  ///< detail::value_kind, and cut_text
    void* value;
    void (*destroy)(void*) noexcept;
    shared_text<32> name;
    shared_text<96> text;
    static constexpr std::uint32_t cut_text = 256;
};

struct bound_list : block {
    struct entry {
        std::atomic<bound_value*> value;
        std::uint64_t scope;  ///< 0: bound until the coroutine ends
    };
    std::atomic<std::uint32_t> count;
    /// `capacity` of them follow.
    [[nodiscard]] entry* entries() noexcept { return reinterpret_cast<entry*>(this + 1); }
    [[nodiscard]] const entry* entries() const noexcept {
        return reinterpret_cast<const entry*>(this + 1);
    }
};

/// The value is destroyed where there is no memory.
[[nodiscard]] bound_value* make_value(const detail::context_value& what) noexcept;
/// `of` with `value` bound: in the place of what was bound for the same scope, or of the same
/// variable for no scope, else as a further one. What `of` inherited from others (`inherited`) is
/// held without its scopes, and once for each variable. Takes over the reference to `value`.
[[nodiscard]] bound_list* with_bound(const bound_list* of, bool inherited, bound_value* value,
                                     std::uint64_t scope) noexcept;
/// `of` without what was bound for the scope; `of` itself, once more held, where there is nothing.
[[nodiscard]] bound_list* without_scope(bound_list* of, std::uint64_t scope) noexcept;

/// The last binding of the variable.
[[nodiscard]] const bound_value* find_bound(const bound_list* in, const void* variable) noexcept;
/// Whether a later entry binds the same variable.
[[nodiscard]] bool is_hidden(const bound_list& in, std::uint32_t at) noexcept;

/// One more holder; of a list that this thread holds, or whose holder cannot change.
[[nodiscard]] inline bound_list* share(bound_list* one) noexcept {
    if (one != nullptr) one->references.fetch_add(1, std::memory_order_relaxed);
    return one;
}
/// The same of a list that may be going: nullptr then. The caller looks whether it was this one.
[[nodiscard]] bound_list* try_share(bound_list* one) noexcept;
/// May destroy values: code of the service's. Holds no lock meanwhile.
void unshare(bound_list* one) noexcept;

}  // namespace corodump::sources
