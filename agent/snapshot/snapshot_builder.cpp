#include "agent/snapshot/snapshot_builder.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "agent/base/text.hpp"
#include "agent/snapshot/diagnosis.hpp"
#include "agent/snapshot/failures.hpp"
#include "agent/snapshot/loop_section.hpp"
#include "agent/snapshot/profile_section.hpp"
#include "agent/sources/layout.hpp"
#include "agent/sources/registry.hpp"

namespace corodump::snapshot {
namespace {

/// An object in the arena: the arena destroys nothing, and these have nothing to destroy.
template <class T, class... A>
T* make_in(base::arena& memory, A&&... arguments) noexcept {
    struct alignas(alignof(T)) room {
        std::byte bytes[sizeof(T)];
    };
    const std::span<room> place = memory.allocate_uninitialized<room>(1);
    return place.empty() ? nullptr : new (place.data()) T(static_cast<A&&>(arguments)...);
}

std::span<const std::uint32_t> cycle_heads(const chain_counts& of) noexcept {
    return std::span(of.cycle_heads)
        .first(std::min<std::size_t>(of.cycles, chain_counts::max_cycles));
}

}  // namespace

model::snapshot& snapshot_builder::build(const build_options& options) noexcept {
    snapshot_ = {};
    snapshot_.limits = options.limits;
    index_ = nullptr;
    overview_ = nullptr;
    creation_ = nullptr;
    warnings_used_ = 0;
    warnings_ = memory_.allocate_span<std::string_view>(max_warnings);
    snapshot_.now_tick =
        static_cast<std::uint32_t>(corodump_clock_v1.load(std::memory_order_relaxed) >> 32U);
    const sources::copied_frames copied = sources::copy_records(memory_, options.max_frames);
    snapshot_.counts.dropped = copied.dropped;
    snapshot_.counts.torn = copied.torn;
    snapshot_.counts.frames = copied.frames.size();
    auto* const types = make_in<sources::type_facts>(memory_, memory_);
    if (types == nullptr) {
        warn("no memory for a snapshot");
        return snapshot_;
    }
    auto* const index =
        make_in<sources::frame_index>(memory_, memory_, copied.frames, copied.outside, *types);
    auto* const details = make_in<frame_details>(memory_, memory_, copied.frames, *index, *types,
                                                 code_, options.redact, options.max_text_bytes);
    if (index == nullptr || details == nullptr) {
        warn("no memory for a snapshot");
        return snapshot_;
    }
    index_ = index;
    details_ = details;
    chain_builder builder(copied.frames, *index, *types, options.limits);
    chains_ = builder.build();
    snapshot_.counts.untracked = builder.count_untracked(code_, memory_);
    snapshot_.frames = copied.frames;
    snapshot_.counts.unreadable = chains_.unreadable;
    snapshot_.counts.cut = chains_.cut;
    snapshot_.details = details;
    sort_roots(chains_.roots);
    add_creation();
    overview_ = make_in<overview>(memory_, memory_, snapshot_, *details);
    if (overview_ != nullptr) overview_->make();
    note_losses(chains_);
    return snapshot_;
}

void snapshot_builder::conclude() noexcept {
    if (overview_ == nullptr) return;
    auto* const judge = make_in<diagnosis>(memory_, memory_, snapshot_, *details_, *overview_);
    if (judge == nullptr) return;
    judge->make(cycle_heads(chains_), growth_.compare(memory_, snapshot_));
}

std::uint64_t snapshot_builder::sort_key(std::uint32_t root) const noexcept {
    const model::frame& leaf = snapshot_.frames[model::leaf_of(snapshot_, root)];
    const std::uint32_t waited =
        leaf.suspended_tick == 0 ? 0 : snapshot_.now_tick - leaf.suspended_tick + 1;
    return std::uint64_t{~waited} << 32U | root;
}

void snapshot_builder::add_threads(const threads_options& options) noexcept {
    thread_section section(memory_, code_, snapshot_.frames, index_);
    const threads_taken taken = section.take(options);
    snapshot_.threads = taken.threads;
    snapshot_.threads_left_out = taken.left_out;
    char buffer[160];
    const auto tell = [&](std::uint64_t number, std::string_view what) {
        if (number != 0) warn(base::text(buffer).decimal(number).append(what).view());
    };
    if (taken.error != 0) warn("the threads could not be listed");
    if (taken.taken_over) warn("the host handles the signal for stacks: no thread was asked by it");
    tell(taken.left_out, " threads are left out: over the cap of 4096");
    tell(taken.late, " threads have no stack: the time for that was over; each says why");
}

void snapshot_builder::add_loops(const stall_ring& stalls) noexcept {
    snapshot_.loops = loop_section(memory_, code_, index_).make(stalls);
}

void snapshot_builder::add_resources(const resource_options& options) noexcept {
    resource_section section(memory_, code_, snapshot_, index_, options);
    snapshot_.resources = section.make();
    if (section.late()) warn("not all open resources were looked at: the time for that was over");
}

void snapshot_builder::add_creation() noexcept {
    if (!sources::births_configured().creators) return;
    creation_ = make_in<creation_section>(memory_, memory_, snapshot_, *index_);
    if (creation_ == nullptr || !creation_->take()) {
        creation_ = nullptr;
        return warn("no memory to tell who created the tasks");
    }
    snapshot_.creation = &creation_->result();
}

void snapshot_builder::add_creation_stacks() noexcept {
    if (creation_ != nullptr) creation_->name(code_, snapshot_.limits.deadline_ns);
}

void snapshot_builder::add_failures(const redaction& redact) noexcept {
    failure_copier copier(memory_, code_, redact, snapshot_.now_tick, snapshot_.seconds_per_tick);
    snapshot_.failures = copier.copy();
}

void snapshot_builder::add_profile() noexcept {
    snapshot_.profile = profile_section(memory_, snapshot_.frames, index_).make();
}

/// Longest suspended first. Tasks that do not wait come last, in the order of their frames.
void snapshot_builder::sort_roots(std::uint64_t roots) noexcept {
    const base::arena::mark_type mark = memory_.mark();
    std::span<std::uint64_t> keys = memory_.allocate_uninitialized<std::uint64_t>(roots);
    if (keys.empty()) {
        keys = memory_.room<std::uint64_t>(roots);
        keys = memory_.take(keys, keys.size());
    }
    std::size_t used = 0;
    for (std::uint32_t i = 0; i < snapshot_.frames.size() && used < keys.size(); ++i)
        if (snapshot_.frames[i].root) keys[used++] = sort_key(i);
    const auto sorted = keys.first(used);
    if (!std::ranges::is_sorted(sorted)) std::ranges::sort(sorted);
    memory_.rewind(mark);
    // In the place of the keys, of each of which the half is left: what is written is never ahead
    // of what is read. As bytes, since the types differ.
    const auto* const from = reinterpret_cast<const std::byte*>(keys.data());
    const std::span<std::uint32_t> order = memory_.allocate_uninitialized<std::uint32_t>(used);
    for (std::size_t i = 0; i < order.size(); ++i) {
        std::uint64_t key = 0;
        std::memcpy(&key, from + i * sizeof key, sizeof key);
        const auto root = static_cast<std::uint32_t>(key);
        std::memcpy(static_cast<void*>(&order[i]), &root, sizeof root);
    }
    snapshot_.roots = order;
    snapshot_.counts.tasks = used;
}

void snapshot_builder::warn(std::string_view text) noexcept {
    if (warnings_used_ == warnings_.size()) return;
    warnings_[warnings_used_++] = memory_.copy(text);
    snapshot_.warnings = warnings_.first(warnings_used_);
}

void snapshot_builder::note_losses(const chain_counts& chains) noexcept {
    char buffer[256];
    const auto lost = [&](std::uint64_t count, std::string_view what) {
        if (count != 0) warn(base::text(buffer).decimal(count).append(what).view());
    };
    const model::counts& counts = snapshot_.counts;
    lost(counts.dropped, " frames are left out: over the cap of CORODUMP_MAX_FRAMES");
    lost(counts.torn, " frames changed each time they were read, and are left out");
    lost(counts.unreadable, " frames could not be read; their chains end there");
    lost(counts.untracked, " leaves await coroutines that are not tracked");
    lost(counts.cut, " frames are left out of the middle of chains that are too deep");
    lost(chains.late, " frames were not read, and stand alone: the dump's deadline had passed");
    lost(chains.cycles, " await cycles were found and cut open");
    lost(memory_.refusals(), " allocations did not fit the snapshot's memory");
}

}  // namespace corodump::snapshot
