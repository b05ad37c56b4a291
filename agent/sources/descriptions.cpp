#include "agent/sources/descriptions.hpp"

#include <algorithm>
#include <corodump/task.hpp>
#include <cstring>

#include "agent/base/safe_copy.hpp"
#include "agent/sources/frame_memory.hpp"
#include "agent/sources/pool.hpp"
#include "agent/sources/sides.hpp"

namespace corodump::sources {
namespace {

constexpr std::uint32_t side_bits = 7;  // objects of a side slab: at most 55

/// Bytes of a T that may be under change: only its plain members are looked at.
template <class T>
class copied {
public:
    explicit copied(std::uint64_t address) noexcept
        : whole_(base::safe_copy(bytes_, address, sizeof(T)) == sizeof(T)) {}
    explicit operator bool() const noexcept { return whole_; }
    const T* operator->() const noexcept { return reinterpret_cast<const T*>(bytes_); }

private:
    alignas(T) unsigned char bytes_[sizeof(T)];
    bool whole_;
};

/// The number of 1, 2, 4 or 8 bytes at `where`; false: none there, or unreadable.
bool read_number(const volatile void* where, std::uint16_t bytes, std::uint64_t& to) noexcept {
    if (where == nullptr || bytes == 0 || bytes > sizeof to) return false;
    std::uint64_t value = 0;
    if (!read_bytes(reinterpret_cast<std::uint64_t>(where), &value, bytes)) return false;
    to = value;
    return true;
}

template <class T>
std::uint64_t address_of(T* pointer) noexcept {
    return reinterpret_cast<std::uint64_t>(pointer);
}

}  // namespace

description_facts read_description(std::uint64_t address) noexcept {
    description_facts facts;
    std::uint64_t words[sizeof(detail::description_data) / 8];
    if (read_words(address, words) != std::size(words)) return facts;
    detail::description_data from;
    std::memcpy(&from, words, sizeof from);
    facts.known = true;
    facts.kind = address_of(from.kind);
    facts.name = address_of(from.name);
    facts.object = address_of(from.object);
    facts.resource = address_of(from.resource);
    facts.owner = address_of(from.owner);
    facts.operation = address_of(from.operation);
    facts.operation_bytes = from.operation_bytes;
    facts.descriptor = from.descriptor;
    facts.deadline_ns = from.deadline_ns;
    std::uint64_t number = 0;
    facts.tells_ready = read_number(from.ready, from.ready_bytes, number);
    facts.ready = facts.tells_ready && number != 0;
    facts.joins = read_number(from.remaining, from.remaining_bytes, number);
    if (facts.joins) {
        facts.remaining = static_cast<std::uint32_t>(std::min<std::uint64_t>(number, 0xffffffffU));
        facts.total = from.total;
    }
    return facts;
}

resource_facts read_resource(std::uint64_t address) noexcept {
    resource_facts facts;
    const copied<detail::resource_data> from(address);
    if (!from || from->magic != detail::resource_data::magic_value) return facts;
    facts.known = true;
    facts.capacity = std::min(from->capacity, 4096U);
    facts.held = from->held.load(std::memory_order_relaxed);
    facts.untold = from->untold.load(std::memory_order_relaxed);
    facts.kind = address_of(from->kind);
    facts.holders = address_of(from->holders);
    std::memcpy(facts.name, from->name, sizeof facts.name);
    facts.name[sizeof facts.name - 1] = '\0';
    return facts;
}

std::uint32_t read_holders(const resource_facts& of, std::uint32_t begin,
                           std::span<holder_facts> to, std::uint32_t& found) noexcept {
    constexpr std::uint32_t batch = 32;
    const auto count = static_cast<std::uint32_t>(
        std::min<std::size_t>({batch, to.size(), of.capacity - std::min(begin, of.capacity)}));
    found = 0;
    if (count == 0) return 0;
    alignas(detail::holder) unsigned char bytes[batch * sizeof(detail::holder)];
    const std::uint64_t from = of.holders + std::uint64_t{begin} * sizeof(detail::holder);
    const std::size_t copied_bytes = base::safe_copy(bytes, from, count * sizeof(detail::holder));
    const auto read = static_cast<std::uint32_t>(copied_bytes / sizeof(detail::holder));
    const auto* const holders = reinterpret_cast<const detail::holder*>(bytes);
    for (std::uint32_t i = 0; i < read; ++i) {
        const auto token = address_of(holders[i].token.load(std::memory_order_relaxed));
        if (token == 0) continue;
        to[found++] = {token, address_of(holders[i].task.load(std::memory_order_relaxed)),
                       holders[i].generation.load(std::memory_order_relaxed)};
    }
    return read;
}

holder_facts read_owner(std::uint64_t address) noexcept {
    const copied<task_ref> from(address);
    if (!from) return {};
    return {0, address_of(from->record), from->generation};
}

std::uint32_t side_number(std::uint64_t address) noexcept {
    const object_place place = place_of(address);
    if (place.slab == nullptr || place.slab->kind != detail::slab_kind::sides)
        return model::no_index;
    const std::size_t chunk = chunk_of(address);
    const std::size_t slab =
        chunk * slabs_in_chunk + (address - chunk_at(chunk)) / detail::slab_bytes;
    return static_cast<std::uint32_t>(slab << side_bits | place.index);
}

tag_facts read_tag(std::uint64_t word) noexcept {
    const std::uint64_t target = word & ~detail::tag_mask;
    switch (word & detail::tag_mask) {
        case 0:
            return {.definition = target};
        case detail::tag_slot:
            return {.definition = read_word(target + offsetof(detail::slot, definition)),
                    .side = side_number(read_word(target + offsetof(detail::slot, side)))};
        default:
            return {.definition = read_word(target + offsetof(detail::side_record, definition)),
                    .side = side_number(target)};
    }
}

std::uint64_t side_address(std::uint32_t number) noexcept {
    const std::size_t slab = number >> side_bits;
    const std::uint64_t base =
        chunk_at(slab / slabs_in_chunk) + slab % slabs_in_chunk * detail::slab_bytes;
    const auto* const header = reinterpret_cast<const detail::slab_header*>(base);
    return base + detail::slab_header_bytes +
           std::uint64_t{number & ((1U << side_bits) - 1)} * header->object_bytes;
}

side_facts read_side(std::uint32_t number, std::uint32_t generation,
                     std::span<char> buffer) noexcept {
    side_facts facts;
    if (number == model::no_index || buffer.size() < sizeof(detail::side_record)) return facts;
    const auto* const live = reinterpret_cast<const detail::side_record*>(side_address(number));
    std::uint64_t words[(sizeof(detail::side_record) + 7) / 8];
    const std::uint32_t before = live->revision.load(std::memory_order_acquire);
    if (read_words(address_of(live), words) != std::size(words)) return facts;
    const bool changed = (before & 1U) != 0 ||
                         live->revision.load(std::memory_order_acquire) != before ||
                         live->generation.load(std::memory_order_acquire) != generation;
    if (changed) return facts;
    std::memcpy(buffer.data(), words, sizeof(detail::side_record));
    const auto* const from = reinterpret_cast<const detail::side_record*>(words);
    const auto text_at = [&](std::size_t offset, std::size_t limit) {
        const char* const begin = buffer.data() + offset;
        return std::string_view(begin, strnlen(begin, limit));
    };
    facts.known = true;
    const std::uint32_t cancelled = from->cancelled.load(std::memory_order_relaxed);
    facts.cancelled = (cancelled & side_cancel_requested) != 0;
    facts.task_failed = (cancelled & side_task_failed) != 0;
    facts.task_cancelled = (cancelled & side_task_cancelled) != 0;
    facts.nodes = address_of(from->nodes.load(std::memory_order_relaxed));
    facts.name = text_at(offsetof(detail::side_record, name), sizeof from->name);
    facts.label_count = std::min<std::uint32_t>(from->label_count.load(std::memory_order_relaxed),
                                                detail::side_record::max_labels);
    for (std::uint32_t i = 0; i < facts.label_count; ++i) {
        const std::size_t at = offsetof(detail::side_record, labels) + i * sizeof from->labels[0];
        facts.labels[i].name = text_at(at, sizeof from->labels[0].name);
        facts.labels[i].value =
            text_at(at + sizeof from->labels[0].name, sizeof from->labels[0].value);
    }
    return facts;
}

bool read_node(std::uint64_t address, node_facts& to) noexcept {
    const copied<detail::node> from(address);
    if (!from) return false;
    to.next = address_of(from->next.load(std::memory_order_relaxed));
    to.name = address_of(from->name);
    to.value = address_of(from->value);
    to.type_name = address_of(from->type_name);
    to.type_name_bytes = from->type_name_bytes;
    to.text_bytes = from->text_bytes;
    to.waits = from->what == detail::node_kind::waiting;
    to.kind = static_cast<std::uint8_t>(from->kind);
    to.size_bytes = from->size_bytes;
    return true;
}

}  // namespace corodump::sources
