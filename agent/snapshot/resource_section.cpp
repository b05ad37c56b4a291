#include "agent/snapshot/resource_section.hpp"

#include <algorithm>

#include "agent/base/clock.hpp"
#include "agent/snapshot/failures.hpp"
#include "agent/snapshot/stack_names.hpp"

namespace corodump::snapshot {
namespace {

constexpr std::int64_t ms = 1'000'000;

std::int64_t limit_of(std::uint64_t ns) noexcept {
    return ns == 0 ? -1 : static_cast<std::int64_t>(ns);
}

}  // namespace

void oldest_list::offer(const item& one) noexcept {
    const auto older = [](const item& a, const item& b) { return a.older_than(b); };
    ++offered_;
    if (used_ == room_.size()) {
        if (room_.empty() || !one.older_than(room_.front())) return;
        std::pop_heap(room_.begin(), room_.end(), older);
        room_.back() = one;
    } else {
        room_[used_++] = one;
    }
    std::push_heap(room_.begin(), room_.begin() + static_cast<std::ptrdiff_t>(used_), older);
}

std::span<const oldest_list::item> oldest_list::sorted() noexcept {
    const auto filled = room_.first(used_);
    std::ranges::sort(filled, [](const item& a, const item& b) { return a.older_than(b); });
    return filled;
}

const model::tracked_resources* resource_section::make() noexcept {
    const std::size_t trackers = sources::kind_count();
    if (trackers == 0 && !watches_descriptors() && options_.task_max_age_ms == 0) return nullptr;
    const auto made = memory_.allocate_span<model::tracked_resources>(1);
    kinds_ = memory_.allocate_span<model::resource_kind>(trackers + 2);
    const auto counted = memory_.allocate_span<analysis::counted<place_value>>(4 * max_places);
    if (made.empty() || kinds_.empty() || counted.empty()) return nullptr;
    made_ = made.data();
    task_kind_ = static_cast<std::uint32_t>(trackers);
    descriptor_kind_ = task_kind_ + 1;
    describe_kinds();
    place_table places(counted);
    oldest_list leaks(memory_.allocate_span<oldest_list::item>(max_leaks));
    oldest_list tasks(memory_.allocate_span<oldest_list::item>(max_built_in_leaks));
    oldest_list descriptors(memory_.allocate_span<oldest_list::item>(max_built_in_leaks));
    look_at_entries(places, leaks);
    look_at_tasks(tasks);
    look_at_descriptors(descriptors);
    describe_places(places);
    made_->leaks_left_out = leaks.left_out() + tasks.left_out() + descriptors.left_out();
    describe_leaks(leaks.sorted(), tasks.sorted(), descriptors.sorted());
    made_->kinds = kinds_.first(kinds_.size() - (watches_descriptors() ? 0 : 1));
    return made_;
}

void resource_section::describe_kinds() noexcept {
    for (std::uint32_t i = 0; i < task_kind_; ++i) {
        const sources::resource_kind& from = sources::kind_at(i + 1);
        const sources::resource_totals totals = sources::count_resources(i + 1);
        kinds_[i] = {.name = from.name,
                     .type = from.type,
                     .live = totals.live,
                     .peak = static_cast<std::int64_t>(totals.peak),
                     .opened = static_cast<std::int64_t>(totals.opened),
                     .refused = from.refused.load(std::memory_order_relaxed),
                     .max_age_ns = limit_of(sources::max_age_of(from))};
    }
    kinds_[task_kind_] = {.name = "task",
                          .built_in = true,
                          .live = all_.roots.size(),
                          .max_age_ns = limit_of(options_.task_max_age_ms * ms)};
    kinds_[descriptor_kind_] = {.name = "descriptor",
                                .built_in = true,
                                .max_age_ns = limit_of(options_.descriptor_max_age_ms * ms)};
}

/// One from before there was a clock is as old as that at least.
std::int64_t resource_section::age_of(std::uint32_t tick) const noexcept {
    const std::uint32_t ticks = all_.now_tick - (tick == 0 ? 1 : tick);
    // Opened since the snapshot's clock was read.
    if (static_cast<std::int32_t>(ticks) < 0) return 0;
    return static_cast<std::int64_t>(ticks * all_.seconds_per_tick * 1e9);
}

bool resource_section::count_age(model::resource_kind& kind, std::int64_t age_ns) noexcept {
    kind.oldest_ns = std::max(kind.oldest_ns, age_ns);
    const bool over = kind.max_age_ns >= 0 && age_ns > kind.max_age_ns;
    if (over) ++kind.over_limit;
    return over;
}

void resource_section::look_at_entries(place_table& places, oldest_list& leaks) noexcept {
    const std::size_t slabs = sources::resource_slabs();
    for (std::size_t slab = 0; slab < slabs; ++slab) {
        const std::int64_t deadline_ns = all_.limits.deadline_ns;
        late_ = deadline_ns != 0 && base::monotonic_ns() > deadline_ns;
        if (late_) return;
        const sources::resource_entry* const entries = sources::resource_slab(slab);
        for (std::size_t i = 0; entries != nullptr && i < sources::slab_entries; ++i)
            look_at(entries[i], places, leaks);
    }
}

void resource_section::look_at(const sources::resource_entry& entry, place_table& places,
                               oldest_list& leaks) noexcept {
    sources::resource_glance seen;
    if (!sources::glance_at(entry, seen) || seen.kind > task_kind_) return;
    const std::int64_t age_ns = age_of(seen.opened_tick);
    const bool over = count_age(kinds_[seen.kind - 1], age_ns);
    if (over) leaks.offer({age_ns, reinterpret_cast<std::uint64_t>(&entry), seen.generation});
    analysis::counted<place_value>* const place = places.add(seen.where);
    if (place == nullptr) return;
    place->value.kind = seen.kind - 1;
    place->value.oldest_ns = std::max(place->value.oldest_ns, age_ns);
    if (over) ++place->value.over_limit;
}

void resource_section::look_at_tasks(oldest_list& leaks) noexcept {
    for (const std::uint32_t root : all_.roots) {
        const model::frame& f = all_.frames[root];
        if (f.created_tick == 0) continue;
        const std::int64_t age_ns = age_of(f.created_tick);
        if (count_age(kinds_[task_kind_], age_ns)) leaks.offer({age_ns, root, f.generation});
    }
}

void resource_section::look_at_descriptors(oldest_list& leaks) noexcept {
    if (!watches_descriptors()) return;
    const sources::descriptor_watch& watch = *options_.descriptors;
    model::resource_kind& kind = kinds_[descriptor_kind_];
    kind.live = watch.totals().live;
    kind.peak = static_cast<std::int64_t>(watch.totals().peak);
    kind.opened = static_cast<std::int64_t>(watch.totals().opened);
    kind.refused = watch.totals().unwatched;
    const std::int64_t now_ns = base::monotonic_ns();
    for (std::size_t number = 0; number < watch.end_of_numbers(); ++number) {
        const std::int64_t first_ns = watch.first_seen_ns(number);
        // Those from the start are the process's own, and nobody is to close them.
        if (first_ns < 0 || watch.from_the_start(number)) continue;
        if (count_age(kind, now_ns - first_ns)) leaks.offer({now_ns - first_ns, number, 0});
    }
}

void resource_section::describe_places(place_table& places) noexcept {
    constexpr std::uint64_t site_mask = (std::uint64_t{1} << 48U) - 1;
    const auto most = places.largest(max_places);
    const auto to = memory_.allocate_span<model::resource_place>(most.size());
    for (std::size_t i = 0; i < to.size(); ++i)
        to[i] = {.kind = most[i].value.kind,
                 .site = most[i].key & site_mask,
                 .live = most[i].count,
                 .over_limit = most[i].value.over_limit,
                 .oldest_ns = most[i].value.oldest_ns};
    made_->places = to;
    made_->places_left_out = places.others();
}

void resource_section::describe_leaks(std::span<const oldest_list::item> entries,
                                      std::span<const oldest_list::item> tasks,
                                      std::span<const oldest_list::item> descriptors) noexcept {
    const std::size_t count = entries.size() + tasks.size() + descriptors.size();
    const auto leaks = memory_.allocate_span<model::leaked_resource>(count);
    stack_ids_ = memory_.allocate_span<std::uint32_t>(count);
    if (leaks.size() != count || stack_ids_.size() != count) {
        made_->leaks_left_out += count;
        return;
    }
    std::size_t used = 0;
    for (const oldest_list::item& one : entries) {
        if (describe(one, leaks[used], stack_ids_[used])) ++used;
    }
    name_stacks(leaks.first(used), stack_ids_.first(used));
    for (const oldest_list::item& one : tasks) describe_task(one, leaks[used++]);
    for (const oldest_list::item& one : descriptors) describe_descriptor(one, leaks[used++]);
    made_->leaks = leaks.first(used);
}

/// False: it was closed meanwhile.
bool resource_section::describe(const oldest_list::item& from, model::leaked_resource& to,
                                std::uint32_t& stack) noexcept {
    sources::open_resource found;
    const auto& entry = *reinterpret_cast<const sources::resource_entry*>(from.what);
    if (!sources::read_resource(entry, found) || found.generation != from.generation) return false;
    to.kind = found.kind - 1;
    to.label = shown(found.label.view(), kinds_[to.kind].name);
    to.object = found.object;
    to.age_ns = from.age_ns;
    to.site = found.site;
    to.thread = static_cast<std::int32_t>(found.thread);
    if (index_ != nullptr && found.owner_record != 0)
        to.frame = index_->of_record(found.owner_record, found.owner_generation);
    to.has_stack = found.stack != 0;
    stack = found.stack;
    return true;
}

/// As the writer has it: what a library puts around a service's coroutine is not where the task
/// comes from.
std::uint64_t resource_section::own_definition(std::uint32_t root) const noexcept {
    std::uint32_t at = root;
    for (unsigned depth = 0; depth < model::max_chain_frames && all_.frames[at].library; ++depth) {
        const std::uint32_t child = all_.frames[at].first_child;
        if (child == model::no_index || all_.frames[child].root)
            return all_.frames[root].definition;
        at = child;
    }
    return all_.frames[at].definition;
}

void resource_section::describe_task(const oldest_list::item& from,
                                     model::leaked_resource& to) noexcept {
    const model::frame& f = all_.frames[from.what];
    to.kind = task_kind_;
    to.age_ns = from.age_ns;
    to.object = f.address;
    to.frame = static_cast<std::uint32_t>(from.what);
    to.definition = own_definition(to.frame);
    to.thread = f.thread;
}

void resource_section::describe_descriptor(const oldest_list::item& from,
                                           model::leaked_resource& to) noexcept {
    char target[512];
    to.kind = descriptor_kind_;
    to.age_ns = from.age_ns;
    to.descriptor = static_cast<std::int32_t>(from.what);
    to.label = memory_.copy(sources::descriptor_watch::target_of(from.what, target));
}

/// Many are opened on few stacks: each is named once.
void resource_section::name_stacks(std::span<model::leaked_resource> leaks,
                                   std::span<const std::uint32_t> ids) noexcept {
    if (std::ranges::all_of(ids, [](std::uint32_t id) { return id == 0; })) return;
    stack_names names(memory_, code_, all_.limits.deadline_ns);
    for (std::size_t i = 0; i < leaks.size(); ++i) {
        if (ids[i] == 0) continue;
        const auto known = std::ranges::find(ids.first(i), ids[i]);
        const auto at = static_cast<std::size_t>(known - ids.begin());
        leaks[i].stack = at < i ? leaks[at].stack : names.frames_of(ids[i]);
    }
}

std::string_view resource_section::shown(std::string_view label, std::string_view kind) noexcept {
    if (label.empty()) return {};
    if (options_.redact.hides(kind)) return "<redacted>";
    char buffer[256];
    return memory_.copy(redact_message(label, options_.redact, buffer));
}

}  // namespace corodump::snapshot
