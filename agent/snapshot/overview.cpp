#include "agent/snapshot/overview.hpp"

#include <algorithm>
#include <functional>

#include "agent/base/text.hpp"

namespace corodump::snapshot {
namespace {

using model::no_index;

constexpr std::size_t max_groups = 1024;
constexpr std::size_t max_listed = 64;
constexpr std::size_t max_verdict_tasks = 64;
constexpr std::size_t max_verdicts = 2;  ///< one of each sort

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) noexcept {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15ULL;
    return hash ^ hash >> 29U;
}

bool lists(std::span<const std::uint32_t> tasks, std::uint32_t task) noexcept {
    return std::ranges::find(tasks, task) != tasks.end();
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
      sites_(memory.allocate_zeroed<analysis::counted<std::uint32_t>>(
          places_for(of.roots.size(), 2048))),
      objects_(memory.allocate_zeroed<analysis::counted<const known_resource*>>(
          places_for(of.roots.size(), 2048))),
      groups_(memory.allocate_zeroed<analysis::counted<range>>(
          places_for(of.roots.size(), 4 * max_groups))) {}

void overview::make(std::span<const std::uint32_t> cycle_heads) noexcept {
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
    find_deadlocks();
    if (!cycle_heads.empty()) add_await_cycles(cycle_heads);
}

void overview::note(std::uint32_t root) noexcept {
    const std::uint32_t leaf = model::leaf_of(snapshot_, root);
    const model::frame& f = snapshot_.frames[leaf];
    ++snapshot_.summary.by_state[static_cast<unsigned>(snapshot_.frames[root].state)];
    ++snapshot_.summary.by_activity[static_cast<unsigned>(f.activity)];
    note_group(root, leaf);
    if (f.activity != model::activity::suspended || f.state != model::task_state::pending) return;
    note_site(root, leaf);
    note_object(root, f);
}

/// The innermost frame that is not a library's; the leaf itself where all are.
std::uint32_t overview::innermost_own(std::uint32_t root, std::uint32_t leaf) noexcept {
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
    if (auto* const entry = sites_.add(key)) entry->value = root;
}

void overview::note_object(std::uint32_t root, const model::frame& leaf) noexcept {
    if (!details_.may_name_object(leaf)) return;
    const known_resource* const resource = details_.resource_of(leaf);
    if (resource == nullptr) {
        const std::uint64_t object = details_.shared_object(leaf);
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
        const std::uint32_t root = sites[i].value;
        const std::uint32_t leaf = model::leaf_of(snapshot_, root);
        by_site[i].site = snapshot_.frames[innermost_own(root, leaf)].site;
        by_site[i].awaitable = memory_.copy(details_.awaited(snapshot_.frames[leaf]).awaitable);
        by_site[i].count = sites[i].count;
    }
    to.by_await_site = by_site;
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

void overview::find_deadlocks() noexcept {
    const auto known = details_.resources();
    const auto held = memory_.allocate_span<analysis::held_resource>(known.size());
    for (std::size_t i = 0; i < held.size(); ++i)
        held[i] = {known[i].owners, known[i].whole, false};
    if (analysis::find_stuck(held, *this) != 0) add_deadlock(held);
}

/// A task as a person knows it: its name, else the function it is in, and its id.
std::string_view overview::task_name(std::uint32_t root, std::span<char> out) noexcept {
    base::text text(out);
    std::uint32_t at = root;
    for (unsigned depth = 0; depth < model::max_chain_frames; ++depth) {
        const model::frame& f = snapshot_.frames[at];
        const std::string_view name =
            f.side != no_index ? details_.given(f).name : std::string_view{};
        if (!name.empty()) {
            text.append('\'').append(name).append('\'');
            break;
        }
        if (f.first_child == no_index || snapshot_.frames[f.first_child].root) {
            const std::uint32_t own = innermost_own(root, at);
            text.append(details_.where(snapshot_.frames[own].site).function);
            break;
        }
        at = f.first_child;
    }
    text.append(" (").hex(snapshot_.frames[root].address).append('.');
    return text.decimal(snapshot_.frames[root].generation).append(')').view();
}

std::string_view overview::deadlock_statement(std::span<const analysis::held_resource> resources,
                                              std::size_t holders, std::size_t waiters) noexcept {
    char buffer[768];
    base::text text(buffer);
    text.append("Deadlock: ");
    std::size_t named = 0;
    for (std::size_t i = 0; i < resources.size(); ++i) {
        if (!resources[i].stuck || text.room() < 320) continue;
        const known_resource& r = details_.resources()[i];
        text.append(named++ == 0 ? "" : ", ").append(r.kind).append(" '").append(r.name);
        text.append("' (").decimal(r.held).append(" of ").decimal(r.capacity).append(" taken)");
    }
    text.append(named == 1 ? " is held by " : " are held by ").decimal(holders);
    text.append(holders == 1 ? " task, which waits for " : " tasks, which all wait for ");
    text.append(named == 1 ? "it themselves; " : "one of them; ");
    text.decimal(waiters).append(" tasks wait in all.");
    return memory_.copy(text.view());
}

void overview::add_deadlock(std::span<const analysis::held_resource> resources) noexcept {
    const auto tasks = memory_.allocate_span<std::uint32_t>(max_verdict_tasks);
    const auto evidence = memory_.allocate_span<std::string_view>(max_verdict_tasks);
    if (tasks.empty() || evidence.empty()) return;
    std::size_t listed = 0;
    std::size_t facts = 0;
    std::uint64_t holders = 0;
    for (std::size_t i = 0; i < resources.size(); ++i) {
        if (!resources[i].stuck) continue;
        const known_resource& r = details_.resources()[i];
        for (const std::uint32_t task : resources[i].holders) {
            // A task that holds several of them is one task.
            if (lists(tasks.first(listed), task)) continue;
            ++holders;
            if (listed == max_verdict_tasks) continue;
            tasks[listed++] = task;
            char buffer[512];
            char name[256];
            const known_resource& wanted = details_.resources()[resource_of(task)];
            base::text text(buffer);
            text.append(task_name(task, name)).append(" holds ").append(r.kind).append(" '");
            text.append(r.name).append("' and waits for ").append(wanted.kind).append(" '");
            text.append(wanted.name).append("'");
            evidence[facts++] = memory_.copy(text.view());
        }
    }
    const auto waiters = static_cast<std::size_t>(
        std::ranges::count_if(waits_.first(waits_used_), [&](const wait& w) {
            return w.resource < resources.size() && resources[w.resource].stuck;
        }));
    add_verdict({"wait_cycle", "error", deadlock_statement(resources, holders, waiters),
                 tasks.first(listed), holders, evidence.first(facts)});
}

void overview::add_verdict(const model::verdict& found) noexcept {
    if (verdicts_.empty()) verdicts_ = memory_.allocate_span<model::verdict>(max_verdicts);
    if (verdicts_used_ == verdicts_.size()) return;
    verdicts_[verdicts_used_++] = found;
    snapshot_.verdicts = verdicts_.first(verdicts_used_);
}

/// Length of the chain below `head`, 0 unless every frame of it is suspended: one that runs was
/// read while its edges changed, and proves nothing.
std::uint64_t overview::frames_at_rest(std::uint32_t head) const noexcept {
    std::uint64_t count = 0;
    for (std::uint32_t at = head; at != no_index && count < snapshot_.frames.size(); ++count) {
        if (snapshot_.frames[at].activity != model::activity::suspended) return 0;
        at = snapshot_.frames[at].first_child;
    }
    return count;
}

/// Coroutines that await each other: nothing from outside can resume any of them.
void overview::add_await_cycles(std::span<const std::uint32_t> heads) noexcept {
    const auto tasks = memory_.allocate_span<std::uint32_t>(heads.size());
    const auto evidence = memory_.allocate_span<std::string_view>(heads.size());
    if (tasks.empty() || evidence.empty()) return;
    std::size_t used = 0;
    for (const std::uint32_t head : heads) {
        const std::uint64_t frames = frames_at_rest(head);
        if (frames == 0) continue;
        char buffer[512];
        char name[256];
        base::text text(buffer);
        text.append(task_name(head, name)).append(" awaits itself, through ").decimal(frames);
        text.append(frames == 1 ? " coroutine" : " coroutines");
        tasks[used] = head;
        evidence[used++] = memory_.copy(text.view());
    }
    if (used == 0) return;
    char buffer[160];
    base::text text(buffer);
    text.append("Deadlock: ").decimal(used).append(used == 1 ? " task awaits" : " tasks await");
    text.append(used == 1 ? " itself in a circle: it" : " themselves in circles: they");
    text.append(" can never be resumed.");
    add_verdict({"wait_cycle", "error", memory_.copy(text.view()), tasks.first(used), used,
                 evidence.first(used)});
}

}  // namespace corodump::snapshot
