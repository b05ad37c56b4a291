#include "agent/sources/running_task.hpp"

#include <corodump/detail/tracking.hpp>

#include "agent/base/safe_copy.hpp"
#include "agent/base/text.hpp"
#include "agent/sources/descriptions.hpp"
#include "agent/sources/frame_memory.hpp"
#include "agent/sources/pool.hpp"
#include "agent/sources/value_reader.hpp"
#include "agent/symbols/demangle.hpp"

namespace corodump::sources {
namespace {

constexpr auto acquire = std::memory_order_acquire;

/// Null: the record lies before its frame.
const detail::slot* slot_of(const detail::record& record) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(&record);
    const object_place place = place_of(address);
    if (place.slab == nullptr || place.slab->kind != detail::slab_kind::slots) return nullptr;
    return reinterpret_cast<const detail::slot*>(&record);
}

std::uint64_t side_of_frame(const detail::record& record, std::uint64_t frame) noexcept {
    detail::promise_info info{};
    if (!base::safe_read(info, reinterpret_cast<std::uint64_t>(record.promise.load(acquire))) ||
        info.version != detail::layout_version)
        return 0;
    const std::uint64_t tag = read_word(frame + info.tag_offset.load(std::memory_order_relaxed));
    return (tag & detail::tag_mask) == detail::tag_side ? tag & ~detail::tag_mask : 0;
}

void read_function(std::uint64_t site_address, base::fixed_string<255>& into) noexcept {
    detail::site_data site{};
    char raw[4096], clean[4096];
    base::text function(raw);
    if (!base::safe_read(site, site_address) ||
        !read_c_string(reinterpret_cast<std::uint64_t>(site.function), sizeof raw, function))
        return;
    into.assign(symbols::clean_function_name(function.view(), clean));
}

}  // namespace

running_task read_running(const detail::record& record) noexcept {
    running_task found;
    const std::uint32_t generation = record.generation.load(acquire);
    if (generation % 2 == 0) return found;
    const detail::slot* const slot = slot_of(record);
    const std::uint64_t frame = slot == nullptr
                                    ? reinterpret_cast<std::uint64_t>(&record + 1)
                                    : reinterpret_cast<std::uint64_t>(slot->frame.load(acquire));
    read_function(reinterpret_cast<std::uint64_t>(record.site.load(acquire)), found.function);
    const std::uint64_t side = slot == nullptr
                                   ? side_of_frame(record, frame)
                                   : reinterpret_cast<std::uint64_t>(slot->side.load(acquire));
    char buffer[sizeof(detail::side_record)];
    if (side != 0) found.name.assign(read_side(side_number(side), generation, buffer).name);
    if (record.generation.load(acquire) != generation) return {};
    found.frame = frame;
    found.generation = generation;
    return found;
}

}  // namespace corodump::sources
