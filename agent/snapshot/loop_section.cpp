#include "agent/snapshot/loop_section.hpp"

#include <algorithm>
#include <atomic>

#include "agent/base/clock.hpp"
#include "agent/sources/pool.hpp"

namespace corodump::snapshot {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr std::size_t max_listed_threads = 64;
constexpr std::uint64_t least_bound_ns = 15'625;

/// Callbacks that the clock did not see: below its step.
constexpr unsigned unseen_bucket = 9;
static_assert((least_bound_ns << unseen_bucket) == sources::loop_tick_ns);

std::int64_t lasting_ns(const sources::slot_node& node, std::int64_t now_ns) noexcept {
    const sources::sighting& seen = node.seen;
    const bool same = seen.what[0] == node.slot.loop.load(relaxed) &&
                      seen.what[1] == node.slot.count.load(relaxed) + 1;
    return same ? std::max<std::int64_t>(now_ns - seen.since_ns, 0) : 0;
}

}  // namespace

struct loop_section::counted {
    const sources::loop_entry* entry = nullptr;
    std::uint64_t id = 0;
    std::uint64_t callbacks = 0, total_ns = 0, longest_ns = 0, over_threshold = 0;
    std::uint64_t histogram[detail::loop_slot::histogram_size] = {};
    std::int32_t threads[max_listed_threads] = {};
    std::size_t thread_count = 0;
    model::loop_callback current;
};

const model::loops* loop_section::make(const stall_ring& stalls) noexcept {
    const std::span<counted> loops = memory_.allocate_span<counted>(sources::max_loops);
    const std::span<model::loops> made = memory_.allocate_span<model::loops>(1);
    if (loops.empty() || made.empty()) return nullptr;
    std::size_t used = 0;
    for (std::size_t i = 0; i < loops.size(); ++i) {
        const sources::loop_entry& entry = sources::loop_at(i);
        loops[i].id = entry.id.load(std::memory_order_acquire);
        loops[i].entry = &entry;
        if (loops[i].id != 0) ++used;
    }
    const std::int64_t now_ns = base::monotonic_ns();
    for (std::size_t i = 0; i < sources::slot_count(); ++i)
        add_slot(sources::slot_at(i), loops, now_ns);
    const std::span<model::loop> all = memory_.allocate_span<model::loop>(used);
    std::size_t next = 0;
    for (const counted& one : loops)
        if (one.id != 0 && next < all.size()) describe(one, all[next++]);
    const std::span<model::stall> kept = memory_.allocate_span<model::stall>(stalls.size());
    for (std::size_t i = 0; i < kept.size(); ++i) describe(stalls.at(i), kept[i]);
    made[0] = {all, kept, stalls.seen()};
    return all.empty() && kept.empty() ? nullptr : made.data();
}

void loop_section::add_slot(const sources::slot_node& node, std::span<counted> loops,
                            std::int64_t now_ns) noexcept {
    const detail::loop_slot& slot = node.slot;
    const std::uint64_t id = slot.loop.load(std::memory_order_acquire);
    counted& to = loops[id & (sources::max_loops - 1)];
    if (to.id != id || id == 0) return;
    const std::uint64_t callbacks = slot.count.load(relaxed);
    to.callbacks += callbacks;
    to.total_ns += slot.sum_ns.load(relaxed);
    to.longest_ns = std::max(to.longest_ns, slot.longest_ns.load(relaxed));
    to.over_threshold += slot.over_threshold.load(relaxed);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < std::size(to.histogram); ++i) {
        const std::uint64_t count = slot.histogram[i].load(relaxed);
        to.histogram[i] += count;
        seen += count;
    }
    to.histogram[unseen_bucket] += callbacks - std::min(seen, callbacks);
    const std::int32_t thread = slot.thread.load(relaxed);
    if (thread == 0) return;
    if (to.thread_count < max_listed_threads) to.threads[to.thread_count++] = thread;
    const bool waits = slot.wait_ns.load(relaxed) != 0;
    if (slot.began.load(std::memory_order_acquire) == 0) return;
    const std::int64_t for_ns = lasting_ns(node, now_ns);
    if (waits && for_ns == 0) return;
    if (to.current.thread == 0 || for_ns > to.current.for_ns)
        to.current = {thread, for_ns, frame_inside(thread)};
}

std::uint32_t loop_section::frame_inside(std::int32_t thread) const noexcept {
    const sources::thread_node* const node = sources::stall_watch::node_of(thread);
    if (node == nullptr || index_ == nullptr) return model::no_index;
    const detail::record* const record =
        sources::record_of_running(node->state.running.load(std::memory_order_acquire));
    if (record == nullptr) return model::no_index;
    return index_->of_record(reinterpret_cast<std::uint64_t>(record),
                             record->generation.load(std::memory_order_acquire));
}

void loop_section::describe(const counted& from, model::loop& into) noexcept {
    const sources::loop_entry& entry = *from.entry;
    into.name = memory_.copy(sources::name_of_loop(entry, from.id).view());
    into.kind = memory_.copy(sources::kind_of_loop(entry, from.id).view());
    into.threads = std::span(from.threads).first(from.thread_count);
    into.callbacks = from.callbacks;
    into.total_ns = from.total_ns;
    into.longest_ns = from.longest_ns;
    into.over_threshold = from.over_threshold;
    into.threshold_ns = sources::threshold_of(entry);
    const auto buckets =
        memory_.allocate_span<model::loop_bucket>(detail::loop_slot::histogram_size);
    std::size_t used = 0;
    for (unsigned i = 0; i < buckets.size(); ++i) {
        const bool open = i + 1 == buckets.size();
        if (from.histogram[i] == 0) continue;
        buckets[used++] = {open ? 0 : least_bound_ns << i, from.histogram[i]};
    }
    into.histogram = buckets.first(used);
    if (entry.beats.load(std::memory_order_acquire) != 0) {
        into.last_delay_ns = static_cast<std::int64_t>(entry.last_delay_ns.load(relaxed));
        into.longest_delay_ns = static_cast<std::int64_t>(entry.longest_delay_ns.load(relaxed));
    }
    into.queued = static_cast<std::int64_t>(entry.queued.load(relaxed)) - 1;
    into.current = from.current;
}

void loop_section::describe(const stall_record& from, model::stall& into) noexcept {
    into.loop = from.loop.view();
    into.thread = from.sign.thread;
    into.time_unix_ns = from.time_unix_ns;
    into.duration_ns = from.duration_ns;
    into.ongoing = from.ongoing;
    if (index_ != nullptr && from.record != 0)
        into.frame = index_->of_record(from.record, from.task.generation);
    into.name = from.task.name.view();
    into.function = from.task.function.view();
    into.reason = from.reason.view();
    into.frames = frames_of(from);
}

std::span<const model::native_frame> loop_section::frames_of(const stall_record& from) noexcept {
    const symbols::module_map& images = code_.images();
    const auto made = memory_.allocate_span<model::native_frame>(from.frame_count);
    for (std::size_t i = 0; i < made.size(); ++i) {
        const stall_frame& frame = from.frames[i];
        made[i].address = frame.address;
        made[i].live = frame.live;
        made[i].inferred = frame.inferred;
        made[i].function = frame.function.view();
        const symbols::module_info* const image =
            frame.image_start == 0 ? nullptr : images.find(frame.image_start);
        // Another image may lie there by now.
        if (image == nullptr || image->start != frame.image_start ||
            image->build_id != frame.build_id.view())
            continue;
        made[i].module = static_cast<std::uint32_t>(image - images.modules.data());
        made[i].offset = frame.offset;
    }
    return made;
}

}  // namespace corodump::snapshot
