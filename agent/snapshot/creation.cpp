#include "agent/snapshot/creation.hpp"

#include <algorithm>

#include "agent/snapshot/stack_names.hpp"

namespace corodump::snapshot {
namespace {

std::string_view name_of(sources::stack_mode mode) noexcept {
    constexpr std::string_view names[] = {"creators", "sampled", "all"};
    return names[static_cast<unsigned>(mode)];
}

}  // namespace

bool creation_section::take() noexcept {
    const sources::birth_options options = sources::births_configured();
    if (!options.creators) return false;
    births_ = memory_.allocate_span<model::birth>(all_.roots.size());
    if (births_.size() != all_.roots.size()) return false;
    made_.mode = name_of(options.stacks);
    if (options.stacks == sources::stack_mode::sampled)
        made_.budget_percent = options.budget_percent;
    made_.depth = options.stacks == sources::stack_mode::off ? 0 : options.depth;
    for (std::size_t i = 0; i < births_.size(); ++i) births_[i] = birth_of(all_.roots[i]);
    made_.of_tasks = births_;
    count_stacks();
    describe();
    return true;
}

void creation_section::describe() noexcept {
    const sources::birth_totals totals = sources::count_births();
    made_.births = totals.noted;
    made_.stacks_taken = totals.stacks;
    made_.short_stacks = totals.short_stacks;
    made_.missed = totals.missed;
    made_.distinct_stacks = totals.distinct;
    made_.stack_bytes = totals.depot_bytes;
}

bool creation_section::find(std::uint32_t frame, sources::birth& found) const noexcept {
    return sources::find_birth(index_.record_of(frame), all_.frames[frame].generation, found);
}

/// The frame that was running when the coroutine was created, while it lives.
std::uint32_t creation_section::creator_frame(const sources::birth& of) const noexcept {
    if (of.creator == 0) return model::no_index;
    const std::uint32_t frame = index_.containing(of.creator);
    if (frame == model::no_index || all_.frames[frame].address != of.creator ||
        all_.frames[frame].generation != of.creator_generation)
        return model::no_index;
    return frame;
}

std::uint32_t creation_section::root_of(std::uint32_t frame) const noexcept {
    for (std::size_t depth = 0; depth < all_.frames.size(); ++depth) {
        const model::frame& at = all_.frames[frame];
        if (at.root || at.parent == model::no_index) return frame;
        frame = at.parent;
    }
    return model::no_index;
}

/// The frame whose definition stands for the task's, as the writer has it: what a library puts
/// around a service's coroutine is not where the task comes from.
std::uint32_t creation_section::own_frame(std::uint32_t root) const noexcept {
    std::uint32_t at = root;
    for (unsigned depth = 0; depth < model::max_chain_frames; ++depth) {
        const model::frame& frame = all_.frames[at];
        if (!frame.library) return at;
        const std::uint32_t child = frame.first_child;
        if (child == model::no_index || all_.frames[child].root) break;
        at = child;
    }
    return root;
}

/// A coroutine may have been created by the task's own outer frames; then the creator is theirs.
model::birth creation_section::birth_of(std::uint32_t root) const noexcept {
    constexpr unsigned max_steps = 16;
    model::birth made;
    sources::birth found;
    std::uint32_t at = own_frame(root);
    for (unsigned step = 0; step < max_steps && find(at, found); ++step) {
        if (step == 0) made.stack = found.stack;
        const std::uint32_t creator = creator_frame(found);
        const std::uint32_t task = creator == model::no_index ? creator : root_of(creator);
        if (task == root && creator != at) {
            at = creator;
            continue;
        }
        made.creator = found.creator;
        made.creator_generation = found.creator_generation;
        made.creator_task = task;
        break;
    }
    return made;
}

void creation_section::count_stacks() noexcept {
    const std::span<std::uint32_t> ids =
        memory_.allocate_uninitialized<std::uint32_t>(births_.size());
    std::size_t used = 0;
    for (const model::birth& birth : births_)
        if (birth.stack != 0 && used < ids.size()) ids[used++] = birth.stack;
    const std::span<std::uint32_t> sorted = ids.first(used);
    std::ranges::sort(sorted);
    std::size_t distinct = 0;
    for (std::size_t i = 0; i < used; ++i) distinct += i == 0 || sorted[i] != sorted[i - 1];
    stacks_ = memory_.allocate_span<model::creation_stack>(distinct);
    if (stacks_.empty()) return;
    std::size_t at = 0;
    for (std::size_t i = 0; i < used; ++i) {
        if (i != 0 && sorted[i] != sorted[i - 1]) ++at;
        stacks_[at].id = sorted[i];
        ++stacks_[at].count;
    }
    // Not stable_sort, which asks malloc for room.
    std::ranges::sort(stacks_, [](const model::creation_stack& x, const model::creation_stack& y) {
        return x.count != y.count ? x.count > y.count : x.id < y.id;
    });
    made_.stacks_left_out = distinct - std::min(distinct, max_creation_stacks);
    stacks_ = stacks_.first(distinct - made_.stacks_left_out);
    made_.of_stacks = stacks_;
}

void creation_section::name(code_names& code, std::int64_t deadline_ns) noexcept {
    if (stacks_.empty()) return;
    stack_names names(memory_, code, deadline_ns);
    for (model::creation_stack& stack : stacks_) stack.frames = names.frames_of(stack.id);
}

}  // namespace corodump::snapshot
