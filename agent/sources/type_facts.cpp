#include "agent/sources/type_facts.hpp"

#include <corodump/detail/abi.hpp>

#include "agent/base/safe_copy.hpp"

namespace corodump::sources {
namespace {

// Beyond these the numbers are taken for damage: no promise or awaiter is so large.
constexpr std::uint32_t max_type_bytes = 1U << 20U;
constexpr std::uint32_t max_values = 64;

// The static tables hold an atomic and are copied as bytes; only their plain members are read.
template <class T>
union image {
    image() noexcept : bytes{} {}
    ~image() {}
    unsigned char bytes[sizeof(T)];
    T value;
};

promise_facts read_promise(std::uint64_t address) noexcept {
    image<detail::promise_info> copy;
    promise_facts facts;
    if (base::safe_copy(copy.bytes, address, sizeof copy.bytes) != sizeof copy.bytes) return facts;
    const detail::promise_info& from = copy.value;
    const std::uint32_t tag = from.tag_offset.load(std::memory_order_relaxed);
    if (from.version != detail::layout_version || from.promise_bytes > max_type_bytes ||
        tag > max_type_bytes || from.value_count > max_values)
        return facts;
    facts.known = true;
    facts.promise_offset = from.promise_offset;
    facts.flags = from.flags;
    facts.promise_bytes = from.promise_bytes;
    facts.continuation_offset = from.continuation_offset;
    facts.description_offset = from.description_offset;
    facts.offsets_offset = from.offsets_offset;
    facts.references_offset = from.references_offset;
    facts.value_count = from.value_count;
    facts.tag_offset = tag;
    facts.handler_offset = from.handler_offset;
    facts.handler_bytes = from.handler_bytes;
    facts.values = reinterpret_cast<std::uint64_t>(from.values);
    return facts;
}

awaitable_facts read_awaitable(std::uint64_t address) noexcept {
    image<detail::awaitable_info> copy;
    awaitable_facts facts;
    if (base::safe_copy(copy.bytes, address, sizeof copy.bytes) != sizeof copy.bytes) return facts;
    const detail::awaitable_info& from = copy.value;
    if (from.version != detail::layout_version || from.size_bytes > max_type_bytes) return facts;
    facts.known = true;
    facts.is_reference = from.is_reference != 0;
    facts.kind = from.kind;
    facts.size_bytes = from.size_bytes;
    facts.description_offset = from.description_offset;
    facts.object_offset = from.object_offset;
    facts.name = reinterpret_cast<std::uint64_t>(from.type_name);
    facts.name_bytes = from.type_name_bytes;
    return facts;
}

}  // namespace

type_facts::type_facts(base::arena& memory) noexcept
    : promises_(memory.allocate_zeroed<entry<promise_facts>>(places)),
      awaitables_(memory.allocate_zeroed<entry<awaitable_facts>>(places)) {}

template <class Facts, class Read>
const Facts& type_facts::find(std::span<entry<Facts>> table, std::uint32_t& used,
                              entry<Facts>& last, std::uint64_t address, Read read) noexcept {
    std::size_t at = (address * 0x9E3779B97F4A7C15ULL >> 40U) % places;
    if (!table.empty()) {
        while (table[at].address != 0 && table[at].address != address) at = (at + 1) % places;
        if (table[at].address != 0) return table[at].facts;
    }
    if (last.address == address) return last.facts;
    last = {address, address == 0 ? Facts{} : read(address)};
    if (address == 0 || table.empty() || used == places / 2) return last.facts;
    table[at] = last;
    ++used;
    return table[at].facts;
}

const promise_facts& type_facts::promise(std::uint64_t address) noexcept {
    return find(promises_, promises_used_, last_promise_, address, read_promise);
}

const awaitable_facts& type_facts::awaitable(std::uint64_t address) noexcept {
    return find(awaitables_, awaitables_used_, last_awaitable_, address, read_awaitable);
}

}  // namespace corodump::sources
