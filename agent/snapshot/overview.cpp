#include "agent/snapshot/overview.hpp"

#include <algorithm>
#include <functional>

namespace corodump::snapshot {
namespace {

using model::no_index;

constexpr std::size_t max_groups = 1024;
constexpr std::size_t max_listed = 64;
constexpr double unstarted_seconds = 5;  ///< from here on it is noted; the rule decides
constexpr unsigned max_children = 4096;

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) noexcept {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15ULL;
    return hash ^ hash >> 29U;
}

/// Ticks since the frame suspended: it wraps with the clock.
std::uint32_t waited(const model::snapshot& all, std::uint32_t frame) noexcept {
    const model::frame& f = all.frames[frame];
    return f.suspended_tick == 0 ? 0 : all.now_tick - f.suspended_tick;
}

/// Places of a table that counts tasks by key: it is used to a half.
std::size_t places_for(std::size_t tasks, std::size_t most) noexcept {
    return std::min(2 * tasks + 2, most);
}

}  // namespace

overview::overview(base::arena& memory, model::snapshot& of, frame_details& details) noexcept
    : memory_(memory),
      snapshot_(of),
      details_(details),
      sites_(
          memory.allocate_zeroed<analysis::counted<site_range>>(places_for(of.roots.size(), 2048))),
      objects_(memory.allocate_zeroed<analysis::counted<const known_resource*>>(
          places_for(of.roots.size(), 2048))),
      groups_(memory.allocate_zeroed<analysis::counted<range>>(
          places_for(of.roots.size(), 4 * max_groups))) {}

void overview::make() noexcept {
    // By need: most tasks wait for nothing that describes itself.
    const auto described =
        static_cast<std::size_t>(std::ranges::count_if(snapshot_.roots, [this](std::uint32_t root) {
            return details_.may_name_object(snapshot_.frames[model::leaf_of(snapshot_, root)]);
        }));
    waits_ = memory_.allocate_uninitialized<wait>(described);
    awaited_ = memory_.allocate_uninitialized<awaited>(described);
    for (const std::uint32_t root : snapshot_.roots) note(root);
    std::ranges::sort(waits_.first(waits_used_), {}, &wait::task);
    finish_summary();
    finish_groups();
}

void overview::note(std::uint32_t root) noexcept {
    const std::uint32_t leaf = model::leaf_of(snapshot_, root);
    const model::frame& f = snapshot_.frames[leaf];
    ++snapshot_.summary.by_state[static_cast<unsigned>(snapshot_.frames[root].state)];
    ++snapshot_.summary.by_activity[static_cast<unsigned>(f.activity)];
    note_group(root, leaf);
    if (root == leaf && f.activity == model::activity::not_started) note_standing(root, f);
    if (f.activity != model::activity::suspended || f.state != model::task_state::pending) return;
    ++suspended_;
    note_site(root, leaf);
    note_object(root, f);
}

void overview::note_standing(std::uint32_t root, const model::frame& leaf) noexcept {
    if (leaf.created_tick == 0) return;
    const double age = seconds(snapshot_.now_tick - leaf.created_tick);
    if (age >= unstarted_seconds) standing_.never_resumed.add(root, age);
}

/// What the awaitable says of its own readiness, and of the children it counts.
void overview::note_told(std::uint32_t root, const model::frame& leaf,
                         const sources::description_facts& told) noexcept {
    const double rest =
        leaf.suspended_tick == 0 ? 0 : seconds(snapshot_.now_tick - leaf.suspended_tick);
    if (told.ready && rest > 0 && details_.still(leaf)) standing_.ready.add(root, rest);
    if (!told.joins || joins_used_ == std::size(joins_) || !details_.still(leaf)) return;
    analysis::join& to = joins_[joins_used_];
    to = {root, told.remaining, told.total, 0, no_index, rest};
    for (std::uint32_t child = leaf.first_child; child != no_index && to.present < max_children;
         child = snapshot_.frames[child].next_sibling) {
        // What has ended and is kept by the join is a child no more.
        const model::frame& last = snapshot_.frames[model::leaf_of(snapshot_, child)];
        if (last.state != model::task_state::pending) continue;
        ++to.present;
        to.last = child;
    }
    if (to.remaining > to.present || to.remaining == 1) ++joins_used_;
}

std::uint32_t overview::innermost_own(std::uint32_t root, std::uint32_t leaf) const noexcept {
    std::uint32_t at = leaf;
    while (details_.where(snapshot_.frames[at].site).library) {
        if (at == root || snapshot_.frames[at].parent == no_index) return leaf;
        at = snapshot_.frames[at].parent;
    }
    return at;
}

void overview::note_site(std::uint32_t root, std::uint32_t leaf) noexcept {
    const std::uint32_t own = innermost_own(root, leaf);
    const std::uint64_t key = mix(snapshot_.frames[own].site, snapshot_.frames[leaf].awaitable);
    auto* const entry = sites_.add(key);
    if (entry == nullptr) return;
    const std::uint32_t ticks = waited(snapshot_, leaf);
    site_range& of = entry->value;
    of.newest = entry->count == 1 ? ticks : std::min(of.newest, ticks);
    if (entry->count == 1 || ticks > of.oldest) {
        of.oldest = ticks;
        of.example = root;
    }
}

void overview::note_object(std::uint32_t root, const model::frame& leaf) noexcept {
    if (!details_.may_name_object(leaf)) return;
    const sources::description_facts told = details_.description_of(leaf);
    if (told.tells_ready || told.joins) note_told(root, leaf, told);
    const known_resource* const resource = details_.resource_of(leaf, told);
    if (resource == nullptr) {
        const std::uint64_t object = details_.shared_object(leaf, told);
        if (object != 0 && awaited_used_ < awaited_.size())
            awaited_[awaited_used_++] = {
                object, static_cast<std::uint32_t>(&leaf - snapshot_.frames.data())};
        return;
    }
    if (auto* const entry = objects_.add(resource->address)) entry->value = resource;
    if (waits_used_ < waits_.size())
        waits_[waits_used_++] = {
            root, static_cast<std::uint32_t>(resource - details_.resources().data())};
}

std::uint64_t overview::chain_hash(std::uint32_t root, std::uint32_t leaf) const noexcept {
    std::uint64_t hash = 0;
    std::uint32_t at = root;
    for (unsigned depth = 0; depth < model::max_chain_frames && at != no_index; ++depth) {
        const model::frame& f = snapshot_.frames[at];
        hash = mix(hash, f.site);
        hash = mix(hash, static_cast<std::uint64_t>(f.activity) << 8U |
                             static_cast<std::uint64_t>(f.state));
        at = f.first_child != no_index && !snapshot_.frames[f.first_child].root ? f.first_child
                                                                                : no_index;
    }
    return mix(hash, snapshot_.frames[leaf].awaitable);
}

void overview::note_group(std::uint32_t root, std::uint32_t leaf) noexcept {
    auto* const entry = groups_.add(chain_hash(root, leaf));
    if (entry == nullptr) return;
    range& of = entry->value;
    const auto leaf_at = [&](std::uint32_t at) { return model::leaf_of(snapshot_, at); };
    if (of.oldest == no_index || waited(snapshot_, leaf) > waited(snapshot_, leaf_at(of.oldest)))
        of.oldest = root;
    if (of.newest == no_index || waited(snapshot_, leaf) <= waited(snapshot_, leaf_at(of.newest)))
        of.newest = root;
}

void overview::finish_summary() noexcept {
    model::summary& to = snapshot_.summary;
    const auto sites = sites_.largest(max_listed);
    const auto by_site = memory_.allocate_span<model::site_count>(sites.size());
    for (std::size_t i = 0; i < by_site.size(); ++i) {
        const std::uint32_t root = sites[i].value.example;
        const std::uint32_t leaf = model::leaf_of(snapshot_, root);
        by_site[i].site = snapshot_.frames[innermost_own(root, leaf)].site;
        by_site[i].awaitable = memory_.copy(details_.awaited(snapshot_.frames[leaf]).awaitable);
        by_site[i].count = sites[i].count;
    }
    to.by_await_site = by_site;
    listed_sites_ = sites.first(by_site.size());
    to.other_await_sites = sites_.others();
    const auto objects = objects_.largest(max_listed);
    const auto by_object = memory_.allocate_span<model::object_count>(max_listed);
    if (by_object.empty()) return;
    for (std::size_t i = 0; i < objects.size(); ++i) {
        const known_resource& r = *objects[i].value;
        by_object[i] = {r.kind, r.name, r.address, objects[i].count, true, r.owners};
    }
    to.other_objects = objects_.others();
    add_shared_objects(by_object, objects.size());
}

/// Timers, sockets and the like that several tasks wait for: one each is nothing to tell.
void overview::add_shared_objects(std::span<model::object_count> room, std::size_t used) noexcept {
    const auto all = awaited_.first(awaited_used_);
    std::ranges::sort(all, {}, &awaited::object);
    for (std::size_t begin = 0, end = 0; begin < all.size(); begin = end) {
        while (end < all.size() && all[end].object == all[begin].object) ++end;
        if (end - begin < 2) continue;
        if (used == room.size()) {
            snapshot_.summary.other_objects += end - begin;
            continue;
        }
        const model::leaf what = details_.awaited(snapshot_.frames[all[begin].leaf]);
        room[used++] = {
            memory_.copy(what.kind), memory_.copy(what.name), what.object, end - begin, false, {}};
    }
    std::ranges::sort(room.first(used), std::greater<>{}, &model::object_count::count);
    snapshot_.summary.by_object = room.first(used);
}

void overview::finish_groups() noexcept {
    const auto largest = groups_.largest(max_groups);
    const auto groups = memory_.allocate_span<model::group>(largest.size());
    for (std::size_t i = 0; i < groups.size(); ++i)
        groups[i] = {largest[i].count, largest[i].value.oldest, largest[i].value.newest};
    snapshot_.groups = groups;
    snapshot_.summary.other_groups_tasks = groups_.others();
}

std::uint32_t overview::resource_of(std::uint32_t task) const noexcept {
    const auto waits = waits_.first(waits_used_);
    const auto at = std::ranges::lower_bound(waits, task, {}, &wait::task);
    return at != waits.end() && at->task == task ? at->resource : analysis::no_resource;
}

}  // namespace corodump::snapshot
