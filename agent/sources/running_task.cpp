#include "agent/sources/running_task.hpp"

#include "agent/base/safe_copy.hpp"
#include "agent/base/text.hpp"
#include "agent/sources/descriptions.hpp"
#include "agent/sources/frame_memory.hpp"
#include "agent/sources/record_frame.hpp"
#include "agent/sources/value_reader.hpp"
#include "agent/symbols/demangle.hpp"

namespace corodump::sources {
namespace {

constexpr auto acquire = std::memory_order_acquire;

std::uint32_t side_of_frame(const detail::record& record, std::uint64_t frame) noexcept {
    detail::promise_info info{};
    if (!base::safe_read(info, reinterpret_cast<std::uint64_t>(record.promise.load(acquire))) ||
        info.version != detail::layout_version)
        return model::no_index;
    return read_tag(read_word(frame + info.tag_offset.load(std::memory_order_relaxed))).side;
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
    const detail::slot* const slot = slot_of(&record);
    const std::uint64_t frame = frame_of(&record);
    read_function(reinterpret_cast<std::uint64_t>(record.site.load(acquire)), found.function);
    const std::uint32_t side =
        slot == nullptr ? side_of_frame(record, frame)
                        : side_number(reinterpret_cast<std::uint64_t>(slot->side.load(acquire)));
    char buffer[sizeof(detail::side_record)];
    found.name.assign(read_side(side, generation, buffer).name);
    if (record.generation.load(acquire) != generation) return {};
    found.frame = frame;
    found.generation = generation;
    return found;
}

}  // namespace corodump::sources
