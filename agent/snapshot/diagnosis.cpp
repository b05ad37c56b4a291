#include "agent/snapshot/diagnosis.hpp"

#include <algorithm>

#include "agent/snapshot/overdue_facts.hpp"

namespace corodump::snapshot {
namespace {

using model::no_index;
static_assert(analysis::no_task == no_index);

constexpr std::size_t max_verdicts = 32;
constexpr std::size_t max_piece_bytes = 512;

analysis::wait_sort sort_of(const model::leaf& leaf, bool is_resource) noexcept {
    if (is_resource) return analysis::wait_sort::resource;
    if (leaf.has_deadline || leaf.kind == "timer") return analysis::wait_sort::timer;
    if (leaf.descriptor >= 0) return analysis::wait_sort::input_output;
    return analysis::wait_sort::other;
}

std::string_view base_name(std::string_view path) noexcept {
    return path.substr(path.rfind('/') + 1);
}

}  // namespace

diagnosis::diagnosis(base::arena& memory, model::snapshot& of, frame_details& details,
                     const overview& seen) noexcept
    : memory_(memory), snapshot_(of), details_(details), seen_(seen) {}

void diagnosis::make(std::span<const std::uint32_t> cycle_heads,
                     std::span<const analysis::growth> growths) noexcept {
    verdicts_ = memory_.allocate_span<model::verdict>(max_verdicts);
    facts_.tasks = this;
    facts_.suspended = seen_.suspended();
    gather_resources();
    gather_sites();
    gather_circles(cycle_heads);
    gather_stalls();
    gather_failures();
    if (snapshot_.resources != nullptr)
        facts_.overdues = overdue_facts(memory_, *snapshot_.resources, details_).make();
    const standing_tasks& standing = seen_.standing();
    facts_.never_resumed = standing.never_resumed.listed();
    facts_.never_resumed_count = standing.never_resumed.count;
    facts_.ready = standing.ready.listed();
    facts_.ready_count = standing.ready.count;
    facts_.joins = seen_.joins();
    facts_.growths = growths;
    const auto stuck = memory_.allocate_span<analysis::held_resource>(facts_.resources.size());
    if (stuck.size() == facts_.resources.size()) analysis::judge(facts_, stuck, *this);
}

// --- facts

void diagnosis::gather_resources() noexcept {
    const auto known = details_.resources();
    const auto to = memory_.allocate_span<analysis::resource>(known.size());
    for (std::size_t i = 0; i < to.size(); ++i) {
        const known_resource& r = known[i];
        to[i] = {r.kind, r.name, r.held, r.capacity, r.owners, r.whole, r.has_ended_owners, 0, 0.0};
    }
    for (const overview::wait& w : seen_.waits()) {
        if (w.resource >= to.size()) continue;
        ++to[w.resource].waiters;
        to[w.resource].oldest_wait_seconds =
            std::max(to[w.resource].oldest_wait_seconds, rest_seconds(w.task));
    }
    facts_.resources = to;
}

void diagnosis::gather_sites() noexcept {
    const auto seen = seen_.sites();
    const auto to = memory_.allocate_span<analysis::site>(seen.size());
    for (std::size_t i = 0; i < to.size(); ++i) {
        const overview::site_range& s = seen[i].value;
        const model::frame& leaf = snapshot_.frames[model::leaf_of(snapshot_, s.example)];
        const model::site_count& counted = snapshot_.summary.by_await_site[i];
        to[i] = {.where = details_.where(counted.site),
                 .awaitable = counted.awaitable,
                 .sort = sort_of(details_.awaited(leaf),
                                 resource_of(s.example) != analysis::no_resource),
                 .tasks = seen[i].count,
                 .oldest_seconds = s.oldest * snapshot_.seconds_per_tick,
                 .newest_seconds = s.newest * snapshot_.seconds_per_tick,
                 .example = s.example};
    }
    facts_.sites = to;
}

/// Length of the chain below `head`, 0 unless every frame of it is suspended: one that runs was
/// read while its edges changed, and proves nothing.
std::uint64_t diagnosis::frames_at_rest(std::uint32_t head) const noexcept {
    std::uint64_t count = 0;
    for (std::uint32_t at = head; at != no_index && count < snapshot_.frames.size(); ++count) {
        if (snapshot_.frames[at].activity != model::activity::suspended) return 0;
        at = snapshot_.frames[at].first_child;
    }
    return count;
}

void diagnosis::gather_circles(std::span<const std::uint32_t> heads) noexcept {
    const auto to = memory_.allocate_span<analysis::circle>(heads.size());
    std::size_t used = 0;
    for (std::size_t i = 0; i < to.size(); ++i) {
        const std::uint64_t frames = frames_at_rest(heads[i]);
        if (frames != 0) to[used++] = {heads[i], frames};
    }
    facts_.circles = to.first(used);
}

// Of a stall that goes on, the thread's state now says whether it computes or is blocked.
void diagnosis::gather_stall(const model::stall& from, analysis::busy_thread& to) noexcept {
    to.loop = from.loop;
    to.tid = from.thread;
    to.task = from.frame == no_index ? analysis::no_task : details_.root_of(from.frame);
    to.coroutine = from.function;
    to.seconds = static_cast<double>(from.duration_ns) / 1e9;
    to.stack = functions_of(from.frames);
    if (!to.stack.empty()) to.inside = to.stack.front();
    const auto thread = std::ranges::find(snapshot_.threads, from.thread, &model::thread::tid);
    if (thread != snapshot_.threads.end()) {
        to.runs = thread->state == 'R';
        to.syscall = thread->syscall_name;
    }
    const auto loop = std::ranges::find(snapshot_.loops->all, from.loop, &model::loop::name);
    if (!from.loop.empty() && loop != snapshot_.loops->all.end() && loop->queued > 0)
        to.queued = static_cast<std::uint64_t>(loop->queued);
}

void diagnosis::gather_past(const model::stall& from) noexcept {
    analysis::past_stalls& to = facts_.stalls;
    const double seconds = static_cast<double>(from.duration_ns) / 1e9;
    ++to.count;
    if (seconds <= to.longest_seconds) return;
    to.longest_seconds = seconds;
    to.seconds_ago = static_cast<double>(snapshot_.time_unix_ns - from.time_unix_ns) / 1e9;
    to.loop = from.loop;
    to.coroutine = from.function;
    to.stack = functions_of(from.frames);
}

void diagnosis::gather_stalls() noexcept {
    if (snapshot_.loops == nullptr) return;
    const auto all = snapshot_.loops->stalls;
    const auto busy = memory_.allocate_span<analysis::busy_thread>(all.size());
    std::size_t used = 0;
    for (const model::stall& one : all) {
        if (!one.ongoing)
            gather_past(one);
        else if (used < busy.size())
            gather_stall(one, busy[used++]);
    }
    facts_.busy_threads = busy.first(used);
}

// Those of one type that left one function first are one: it is one mistake.
void diagnosis::gather_failures() noexcept {
    constexpr std::size_t most = 16;
    if (snapshot_.failures == nullptr) return;
    const auto to = memory_.allocate_span<analysis::unseen_failure>(most);
    std::size_t used = 0;
    for (const model::failure& one : snapshot_.failures->failures) {
        if (one.observed) continue;
        const std::string_view function =
            one.chain.empty() ? std::string_view{} : details_.where(one.chain.back().site).function;
        const auto known = std::ranges::find_if(to.first(used), [&](const auto& other) {
            return other.type == one.type && other.function == function;
        });
        const bool is_new = known == to.begin() + static_cast<std::ptrdiff_t>(used);
        if (is_new && used == to.size()) continue;
        analysis::unseen_failure& at = is_new ? to[used++] : *known;
        at.type = one.type;
        at.function = function;
        at.message = one.message;
        at.seconds_ago = static_cast<double>(snapshot_.time_unix_ns - one.time_unix_ns) / 1e9;
        ++at.count;
    }
    facts_.failures = to.first(used);
}

std::span<const std::string_view> diagnosis::functions_of(
    std::span<const model::native_frame> frames) noexcept {
    const auto names = memory_.allocate_span<std::string_view>(frames.size());
    std::size_t used = 0;
    for (const model::native_frame& f : frames)
        if (used < names.size() && !f.function.empty()) names[used++] = f.function;
    return names.first(used);
}

double diagnosis::rest_seconds(std::uint32_t task) const noexcept {
    if (task >= snapshot_.frames.size()) return -1;
    const model::frame& leaf = snapshot_.frames[model::leaf_of(snapshot_, task)];
    if (leaf.activity != model::activity::suspended || leaf.suspended_tick == 0) return -1;
    return (snapshot_.now_tick - leaf.suspended_tick) * snapshot_.seconds_per_tick;
}

std::uint32_t diagnosis::resource_of(std::uint32_t task) const noexcept {
    return seen_.resource_of(task);
}

// --- verdicts

void diagnosis::open(std::string_view kind, analysis::severity how) {
    open_ = {};
    open_.kind = kind;
    open_.severity = analysis::name_of(how);
    tasks_ = memory_.allocate_span<std::uint32_t>(analysis::max_listed);
    evidence_ = memory_.allocate_span<std::string_view>(analysis::max_listed);
    tasks_used_ = evidence_used_ = 0;
    in_evidence_ = false;
    piece_.clear();
}

void diagnosis::about(std::uint32_t task) {
    ++open_.task_count;
    if (tasks_used_ < tasks_.size()) tasks_[tasks_used_++] = task;
}

void diagnosis::about_in_all(std::uint64_t tasks) {
    open_.task_count = std::max<std::uint64_t>(tasks, tasks_used_);
}

void diagnosis::end_piece() noexcept {
    const std::string_view text = memory_.copy(piece_.view());
    if (!in_evidence_)
        open_.statement = text;
    else if (evidence_used_ < evidence_.size())
        evidence_[evidence_used_++] = text.substr(0, max_piece_bytes);
    piece_.clear();
}

void diagnosis::evidence() {
    end_piece();
    in_evidence_ = true;
}

void diagnosis::close() {
    end_piece();
    open_.tasks = tasks_.first(tasks_used_);
    open_.evidence = evidence_.first(evidence_used_);
    insert(open_);
}

/// Behind those that are as severe.
void diagnosis::insert(const model::verdict& found) noexcept {
    const auto rank = [](const model::verdict& v) {
        return v.severity == "error" ? 0 : v.severity == "warning" ? 1 : 2;
    };
    if (verdicts_used_ == verdicts_.size()) return;
    std::size_t at = verdicts_used_++;
    for (; at > 0 && rank(verdicts_[at - 1]) > rank(found); --at) verdicts_[at] = verdicts_[at - 1];
    verdicts_[at] = found;
    snapshot_.verdicts = verdicts_.first(verdicts_used_);
}

void diagnosis::put(std::string_view text) {
    piece_.append(text);
}

/// A task as a person knows it: the first name in its chain, else its outermost function that is not a
/// library's; and its id.
void diagnosis::put(analysis::task which) {
    if (which.number >= snapshot_.frames.size()) {
        piece_.append("a task that is gone");
        return;
    }
    const model::frame& root = snapshot_.frames[which.number];
    std::string_view function;
    bool named = false;
    std::uint32_t at = which.number;
    for (unsigned depth = 0; depth < model::max_chain_frames && at != no_index && !named; ++depth) {
        const model::frame& f = snapshot_.frames[at];
        if (f.side != no_index) named = put_name(details_.given(f).name);
        const model::location where = details_.where(f.site);
        if (function.empty() && !where.library) function = where.function;
        const bool ends = f.first_child == no_index || snapshot_.frames[f.first_child].root;
        at = ends ? no_index : f.first_child;
    }
    if (function.empty()) function = details_.where(root.site).function;
    if (!named) piece_.append(function);
    piece_.append(" (").hex(root.address).append('.').decimal(root.generation).append(')');
}

bool diagnosis::put_name(std::string_view name) noexcept {
    if (!name.empty()) piece_.append('\'').append(name).append('\'');
    return !name.empty();
}

void diagnosis::put(analysis::place_of which) {
    if (which.number >= snapshot_.frames.size()) return;
    const std::uint32_t leaf = model::leaf_of(snapshot_, which.number);
    const model::frame& f = snapshot_.frames[leaf];
    const std::uint32_t own = seen_.innermost_own(which.number, leaf);
    const model::location where = details_.where(snapshot_.frames[own].site);
    piece_.append(where.function.empty() ? "a function without a name" : where.function);
    if (!where.file.empty())
        piece_.append(" (")
            .append(base_name(where.file))
            .append(':')
            .decimal(where.line)
            .append(')');
    if (f.activity != model::activity::suspended) {
        piece_.append(", which ")
            .append(f.activity == model::activity::running ? "runs" : "was not started");
        return;
    }
    const std::string_view awaitable = details_.awaited(f).awaitable;
    if (!awaitable.empty()) piece_.append(", on ").append(awaitable.substr(0, 160));
}

}  // namespace corodump::snapshot
