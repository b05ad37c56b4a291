#include "agent/snapshot/overdue_facts.hpp"

#include <string_view>

#include "agent/base/text.hpp"

namespace corodump::snapshot {

std::span<const analysis::overdue> overdue_facts::make() noexcept {
    const auto made = memory_.allocate_span<analysis::overdue>(from_.kinds.size());
    std::size_t used = 0;
    for (std::uint32_t i = 0; i < from_.kinds.size() && used < made.size(); ++i) {
        const model::resource_kind& kind = from_.kinds[i];
        if (kind.over_limit == 0) continue;
        analysis::overdue& to = made[used++];
        to.kind = kind.name;
        to.live = kind.live;
        to.count = kind.over_limit;
        to.limit_seconds = static_cast<double>(kind.max_age_ns) / 1e9;
        to.oldest_seconds = static_cast<double>(kind.oldest_ns) / 1e9;
        if (!kind.built_in)
            add_places(i, to);
        else if (kind.name == "task")
            add_tasks(i, to);
        else
            add_descriptors(i, to);
    }
    return made.first(used);
}

/// A task that opened one there, and lives.
std::uint32_t overdue_facts::opener_at(std::uint32_t kind, std::uint64_t site) noexcept {
    for (const model::leaked_resource& one : from_.leaks)
        if (one.kind == kind && one.site == site && one.frame != model::no_index)
            return details_.root_of(one.frame);
    return analysis::no_task;
}

void overdue_facts::add_places(std::uint32_t kind, analysis::overdue& to) noexcept {
    const auto places = memory_.allocate_span<analysis::overdue_place>(max_evidence);
    std::size_t used = 0;
    for (const model::resource_place& from : from_.places) {
        if (from.kind != kind || from.over_limit == 0 || used == places.size()) continue;
        places[used++] = {.where = details_.where(from.site),
                          .count = from.over_limit,
                          .oldest_seconds = static_cast<double>(from.oldest_ns) / 1e9,
                          .task = opener_at(kind, from.site)};
    }
    to.places = places.first(used);
}

void overdue_facts::add_tasks(std::uint32_t kind, analysis::overdue& to) noexcept {
    const auto tasks = memory_.allocate_span<std::uint32_t>(max_evidence);
    std::size_t used = 0;
    for (const model::leaked_resource& one : from_.leaks)
        if (one.kind == kind && used < tasks.size()) tasks[used++] = one.frame;
    to.of = analysis::overdue::sort::tasks;
    to.tasks = tasks.first(used);
}

void overdue_facts::add_descriptors(std::uint32_t kind, analysis::overdue& to) noexcept {
    const auto texts = memory_.allocate_span<std::string_view>(max_evidence);
    std::size_t used = 0;
    for (const model::leaked_resource& one : from_.leaks) {
        if (one.kind != kind || used == texts.size()) continue;
        char buffer[640];
        base::text text(buffer);
        text.append("descriptor ").decimal(static_cast<std::uint64_t>(one.descriptor));
        text.append(", ").append(one.label.empty() ? "closed meanwhile" : one.label);
        text.append(", first seen ").fixed(static_cast<double>(one.age_ns) / 1e9, 1);
        texts[used++] = memory_.copy(text.append(" s ago").view());
    }
    to.of = analysis::overdue::sort::descriptors;
    to.descriptions = texts.first(used);
}

}  // namespace corodump::snapshot
