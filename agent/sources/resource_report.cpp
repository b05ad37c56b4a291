// What report_leaks asks for: open resources as texts, on a thread of the host's.
#include <corodump/detail/resource_abi.hpp>
#include <cstdint>

#include "agent/base/fixed_string.hpp"
#include "agent/base/safe_copy.hpp"
#include "agent/base/text.hpp"
#include "agent/sources/resources.hpp"
#include "agent/sources/running_task.hpp"
#include "agent/sources/value_reader.hpp"
#include "agent/symbols/demangle.hpp"

namespace corodump::sources {
namespace {

constexpr std::uint64_t tick_ns = 8'000'000;

std::uint32_t now_tick() noexcept {
    return static_cast<std::uint32_t>(corodump_clock_v1.load(std::memory_order_relaxed) >> 32U);
}

/// One that is older than the agent is as old as that at least: its clock begins at 1.
std::uint64_t age_ns(std::uint32_t opened_tick, std::uint32_t now) noexcept {
    if (now == 0) return 0;
    return std::uint64_t{now - (opened_tick == 0 ? 1 : opened_tick)} * tick_ns;
}

/// Many are opened at few places: the last one is kept.
struct place {
    std::uint64_t site = 0;
    base::fixed_string<1023> file, function;
    std::uint32_t line = 0;
};

/// The image that it stands in may be gone.
void read_place(std::uint64_t address, place& to) noexcept {
    if (to.site == address) return;
    to = {};
    to.site = address;
    detail::site_data site{};
    if (!base::safe_read(site, address)) return;
    char raw[4096], clean[4096];
    base::text text(raw);
    if (read_c_string(reinterpret_cast<std::uint64_t>(site.function), sizeof raw, text))
        to.function.assign(symbols::clean_function_name(text.view(), clean));
    text.clear();
    if (read_c_string(reinterpret_cast<std::uint64_t>(site.file), sizeof raw, text))
        to.file.assign(text.view());
    to.line = site.line;
}

void tell(const open_resource& from, std::uint64_t age, place& where,
          void (*each)(void*, const corodump_leak_v1*), void* context) noexcept {
    read_place(from.site, where);
    running_task task;
    if (from.owner_record != 0)
        task = read_running(*reinterpret_cast<const detail::record*>(from.owner_record));
    if (task.generation != from.owner_generation) task = {};
    const resource_kind& kind = kind_at(from.kind);
    const corodump_leak_v1 leak{.size_bytes = sizeof leak,
                                .thread = from.thread,
                                .age_ns = age,
                                .object = reinterpret_cast<const void*>(from.object),
                                .kind = kind.name,
                                .type = kind.type,
                                .label = from.label.c_str(),
                                .file = where.file.c_str(),
                                .function = where.function.c_str(),
                                .line = where.line,
                                .task_generation = task.generation,
                                .task_address = task.frame,
                                .task_name = task.name.c_str()};
    each(context, &leak);
}

}  // namespace
}  // namespace corodump::sources

extern "C" void corodump_resource_report_v1(std::uint32_t kind, std::uint64_t min_age_ns,
                                            void (*each)(void* context,
                                                         const corodump_leak_v1* leak),
                                            void* context) noexcept {
    using namespace corodump::sources;  // NOLINT(google-build-using-namespace): a C entry point
    const std::uint32_t now = now_tick();
    place last;
    for (std::size_t slab = 0; slab < resource_slabs(); ++slab) {
        const resource_entry* const entries = resource_slab(slab);
        if (entries == nullptr) continue;
        for (std::size_t i = 0; i < slab_entries; ++i) {
            resource_glance seen;
            open_resource found;
            if (!glance_at(entries[i], seen) || (kind != 0 && seen.kind != kind)) continue;
            if (age_ns(seen.opened_tick, now) < min_age_ns) continue;
            if (!read_resource(entries[i], found) || found.generation != seen.generation) continue;
            tell(found, age_ns(found.opened_tick, now), last, each, context);
        }
    }
}
