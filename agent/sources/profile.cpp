#include "agent/sources/profile.hpp"

#include <sys/mman.h>
#include <time.h>

#include <cerrno>
#include <corodump/profile.hpp>
#include <mutex>

#include "agent/base/clock.hpp"
#include "agent/base/time_stamp.hpp"
#include "agent/sources/listeners.hpp"
#include "agent/sources/object_notes.hpp"
#include "agent/sources/profile_nodes.hpp"
#include "agent/sources/profile_parents.hpp"

namespace corodump::sources {

constinit std::atomic<std::uint32_t> profile_session{0};

namespace {

using detail::record;

constexpr auto relaxed = std::memory_order_relaxed;
using notes = object_notes<profile_note, detail::note_of_profile>;

// profile_session's bits.
constexpr std::uint32_t clock_mask = 3;
constexpr std::uint32_t steady_bit = 4;
constexpr unsigned number_shift = 3;

// A note's word: generation << 32 | session's number << 16 | unsettled << 15 | node.
constexpr std::uint64_t node_mask = 0x3fff;
constexpr std::uint64_t unsettled = 0x8000;
static_assert(max_nodes == node_mask + 1);
static_assert(max_nodes == thread_profile::max_chunks * thread_profile::chunk_counters);

constexpr std::size_t max_threads = 65536;

struct control {
    std::mutex lock;  ///< of start, stop and reset; the watchdog never takes it
    std::uint32_t number = 0;
    // For the reader: `shown` last (release), the others are of that session then.
    std::atomic<std::uint32_t> shown{0};
    std::atomic<std::uint64_t> began{0};
    std::atomic<std::uint64_t> ended{0};  ///< 0: it runs
    base::stamp_scale scale;              ///< made once, before the first session
    std::atomic<bool> prepared{false};
};
constinit control state;

constexpr profile_clock clock_of(std::uint32_t session) noexcept {
    return static_cast<profile_clock>((session & clock_mask) - 1);
}
constexpr bool reads_clock(std::uint32_t session) noexcept {
    return clock_of(session) != profile_clock::off;
}
constexpr bool reads_cpu(std::uint32_t session) noexcept {
    return clock_of(session) == profile_clock::cpu;
}

[[gnu::always_inline]] inline std::uint64_t stamp(std::uint32_t session) noexcept {
    if (!reads_clock(session)) return 0;
    if ((session & steady_bit) != 0) [[likely]]
        return base::time_stamp();
    return static_cast<std::uint64_t>(base::monotonic_ns());
}

std::uint64_t own_cpu_ns() noexcept {
    return static_cast<std::uint64_t>(base::clock_ns(CLOCK_THREAD_CPUTIME_ID));
}

/// The processor time of any thread of this process; 0: it is gone. The clock's number as
/// pthread_getcpuclockid(3) makes it.
std::uint64_t cpu_ns_of(std::uint32_t tid) noexcept {
    constexpr std::uint32_t per_thread = 4, scheduled = 2;
    timespec now{};
    const auto clock = static_cast<clockid_t>(~tid << 3U | per_thread | scheduled);
    if (tid == 0 || clock_gettime(clock, &now) != 0) return 0;
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
           static_cast<std::uint64_t>(now.tv_nsec);
}

/// One writer.
[[gnu::always_inline]] inline void add(std::atomic<std::uint64_t>& to,
                                       std::uint64_t what) noexcept {
    to.store(to.load(relaxed) + what, relaxed);
}

/// Clocks of different processors may be apart by a little.
[[gnu::always_inline]] inline std::uint64_t between(std::uint64_t from, std::uint64_t to) noexcept {
    return to > from ? to - from : 0;
}

[[gnu::noinline]] profile_counter* make_chunk(thread_profile& of, std::size_t chunk) noexcept {
    void* const mapped =
        mmap(nullptr, thread_profile::chunk_counters * sizeof(profile_counter),
             PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    auto* const made = static_cast<profile_counter*>(mapped);
    // Pairs with the reader's acquire: who sees the chunk sees its zeros.
    of.chunks[chunk].store(made, std::memory_order_release);
    return made;
}

/// Where there is no memory, one that nobody reads.
[[gnu::always_inline]] inline profile_counter& counter_of(thread_profile& of,
                                                          std::uint32_t node) noexcept {
    static constinit profile_counter nobody{};
    const std::size_t chunk = node / thread_profile::chunk_counters;
    profile_counter* counters = of.chunks[chunk].load(relaxed);
    if (counters == nullptr) [[unlikely]] {
        counters = make_chunk(of, chunk);
        if (counters == nullptr) return nobody;
    }
    return counters[node % thread_profile::chunk_counters];
}

/// The thread's counters belong to an earlier session.
[[gnu::noinline]] void renew(thread_profile& of, std::uint32_t session) noexcept {
    of.session.store(0, relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    of.depth.store(0, relaxed);
    of.left = nullptr;
    for (auto& chunk : of.chunks) {
        profile_counter* const counters = chunk.load(relaxed);
        if (counters == nullptr) continue;
        for (std::size_t i = 0; i < thread_profile::chunk_counters; ++i) {
            profile_counter& one = counters[i];
            for (auto* const each :
                 {&one.calls, &one.resumes, &one.running, &one.cpu, &one.suspended, &one.longest})
                each->store(0, relaxed);
        }
    }
    // Pairs with read_profile's acquire: who sees the session sees counters that are its own.
    of.session.store(session, std::memory_order_release);
}

/// The time since the last look is that of the innermost coroutine.
[[gnu::always_inline]] inline void settle(thread_profile& of, thread_profile::level& innermost,
                                          profile_counter& counter, std::uint64_t now,
                                          std::uint64_t cpu_now, std::uint32_t session) noexcept {
    const std::uint64_t piece = between(of.since.load(relaxed), now);
    add(counter.running, piece);
    innermost.run.store(innermost.run.load(relaxed) + piece, relaxed);
    if (reads_cpu(session)) [[unlikely]]
        add(counter.cpu, between(of.cpu_since.load(relaxed), cpu_now));
}

[[gnu::always_inline]] inline std::uint64_t expected_word(const record* own,
                                                          std::uint32_t session) noexcept {
    const std::uint64_t number = session >> number_shift & 0xffffU;
    return std::uint64_t{own->generation.load(relaxed)} << 32U | number << 16U;
}
constexpr bool is_of(std::uint64_t word, std::uint64_t expected) noexcept {
    return (word ^ expected) >> 16U == 0;
}

/// The node of a frame that has not run before, or whose awaiter was not known at its first run:
/// a coroutine that starts at once is awaited only later.
[[gnu::noinline]] std::uint32_t find_node(const thread_profile& of, const record* own,
                                          std::uint32_t session, bool& settled) noexcept {
    const auto noted = [session](const record* parent) {
        const profile_note* const note = notes::at(parent);
        if (note == nullptr) return no_node;
        const std::uint64_t word = note->word.load(relaxed);
        return is_of(word, expected_word(parent, session))
                   ? static_cast<std::uint32_t>(word & node_mask)
                   : no_node;
    };
    const std::uint64_t definition = definition_of(own);
    if (definition == 0) return no_node;
    const record* const parent = awaiting_parent(own, of.left);
    settled = parent != nullptr;
    if (parent == nullptr) return node_below(no_node, definition);
    std::uint32_t above = noted(parent);
    if (above == no_node) above = node_of_chain(parent);
    return node_below(above, definition);
}

/// Times and counts of a frame that is entered; returns its node.
[[gnu::noinline]] std::uint32_t meet(thread_profile& of, const record* own, profile_note& note,
                                     std::uint64_t word, std::uint32_t session) noexcept {
    const std::uint64_t expected = expected_word(own, session);
    const bool first = !is_of(word, expected);
    bool settled = false;
    std::uint32_t node = find_node(of, own, session, settled);
    if (!first && !settled) node = static_cast<std::uint32_t>(word & node_mask);
    if (first) {
        note.since.store(0, relaxed);
        add(counter_of(of, node).calls, 1);
    }
    const bool again = first && !settled;
    // Release: pairs with find_profile's acquire.
    note.word.store(expected | (again ? unsettled : 0) | node, std::memory_order_release);
    return node;
}

[[gnu::always_inline]] inline thread_profile::level* find_level(thread_profile& of,
                                                                const record* own) noexcept {
    for (std::uint32_t i = of.depth.load(relaxed); i > 0; --i)
        if (of.levels[i - 1].own == own) return &of.levels[i - 1];
    return nullptr;
}

void end_run(thread_profile& of, thread_profile::level& level, std::uint64_t now) noexcept {
    profile_counter& counter = counter_of(of, level.node.load(relaxed));
    const std::uint64_t run = level.run.load(relaxed);
    if (run > counter.longest.load(relaxed)) counter.longest.store(run, relaxed);
    level.note->since.store(now, relaxed);
    of.left = level.own;
}

/// Where a coroutine is left that is not the innermost: fibers, or one that is destroyed by others
/// while it runs.
[[gnu::noinline]] void leave_out_of_order(thread_profile& of, const record* own, std::uint64_t now,
                                          std::uint64_t cpu_now, std::uint32_t session) noexcept {
    thread_profile::level* const found = find_level(of, own);
    if (found == nullptr) return;
    const std::uint32_t depth = of.depth.load(relaxed);
    thread_profile::level& top = of.levels[depth - 1];
    settle(of, top, counter_of(of, top.node.load(relaxed)), now, cpu_now, session);
    of.since.store(now, relaxed);
    of.cpu_since.store(cpu_now, relaxed);
    end_run(of, *found, now);
    for (thread_profile::level* to = found; to != &top; ++to) {
        const thread_profile::level& from = to[1];
        to->own = from.own;
        to->note = from.note;
        to->node.store(from.node.load(relaxed), relaxed);
        to->run.store(from.run.load(relaxed), relaxed);
    }
    of.depth.store(depth - 1, std::memory_order_release);
}

/// A run that is under way, of a thread that may go on meanwhile: it counts if nothing has changed
/// around the reads. Each change of levels changes `since` (release), but for equal stamps.
void add_current(const thread_node& thread, const profile_view& view,
                 std::span<profile_sum> by_node) noexcept {
    const thread_profile& of = thread.profile;
    for (unsigned attempt = 0; attempt < 4; ++attempt) {
        const std::uint64_t since = of.since.load(std::memory_order_acquire);
        const std::uint32_t depth = of.depth.load(std::memory_order_acquire);
        if (depth == 0 || depth > thread_profile::max_levels) return;
        const thread_profile::level& top = of.levels[depth - 1];
        const std::uint32_t node = top.node.load(relaxed);
        const std::uint64_t run = top.run.load(relaxed);
        std::uint64_t cpu = 0;
        if (view.clock == profile_clock::cpu) {
            const auto tid = std::atomic_ref(const_cast<std::uint32_t&>(thread.state.tid));
            const std::uint64_t cpu_now =
                view.running ? cpu_ns_of(tid.load(relaxed)) : of.stopped_cpu.load(relaxed);
            cpu = between(of.cpu_since.load(relaxed), cpu_now);
        }
        std::atomic_thread_fence(std::memory_order_acquire);
        if (of.since.load(relaxed) != since || of.depth.load(relaxed) != depth) continue;
        if (node >= by_node.size()) return;
        const std::uint64_t piece = between(since, view.now);
        by_node[node].running += piece;
        by_node[node].cpu += cpu;
        if (run + piece > by_node[node].longest) by_node[node].longest = run + piece;
        return;
    }
}

void add_thread(const thread_profile& of, std::span<profile_sum> by_node) noexcept {
    for (std::size_t c = 0; c < thread_profile::max_chunks; ++c) {
        const profile_counter* const counters = of.chunks[c].load(std::memory_order_acquire);
        if (counters == nullptr) continue;
        const std::size_t first = c * thread_profile::chunk_counters;
        for (std::size_t i = 0; i < thread_profile::chunk_counters; ++i) {
            if (first + i >= by_node.size()) return;
            const profile_counter& from = counters[i];
            if (from.resumes.load(relaxed) == 0) continue;
            profile_sum& to = by_node[first + i];
            to.calls += from.calls.load(relaxed);
            to.resumes += from.resumes.load(relaxed);
            to.running += from.running.load(relaxed);
            to.cpu += from.cpu.load(relaxed);
            to.suspended += from.suspended.load(relaxed);
            if (const std::uint64_t longest = from.longest.load(relaxed); longest > to.longest)
                to.longest = longest;
        }
    }
}

/// Calls `visit` for the threads that have counted in this session.
template <class Visit>
void each_thread(std::uint32_t session, Visit visit) noexcept {
    std::size_t seen = 0;
    for (const thread_node* node = first_thread(); node != nullptr && seen < max_threads;
         node = node->next, ++seen)
        if (node->profile.session.load(std::memory_order_acquire) == session)
            visit(const_cast<thread_node&>(*node));
}

/// Under the lock.
void begin_session(profile_clock clock) noexcept {
    state.number = (state.number + 1) & 0xffffffU;
    if ((state.number & 0xffffU) == 0) ++state.number;  // a note of zeros is of no session
    const std::uint32_t session = state.number << number_shift |
                                  (state.scale.counts() ? steady_bit : 0) |
                                  (static_cast<std::uint32_t>(clock) + 1);
    state.shown.store(0, relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    state.began.store(state.scale.now(), relaxed);
    state.ended.store(0, relaxed);
    state.shown.store(session, std::memory_order_release);
    profile_session.store(session, std::memory_order_release);
}

void prepare_locked() noexcept {
    if (state.prepared.load(relaxed)) return;
    state.scale = base::stamp_scale::begin(base::has_steady_counter());
    // Pairs with view_profile's acquire.
    state.prepared.store(true, std::memory_order_release);
}

}  // namespace

void prepare_profile() noexcept {
    const std::lock_guard lock(state.lock);
    prepare_locked();
}

int start_profile(profile_clock clock) noexcept {
    const std::lock_guard lock(state.lock);
    if (profile_session.load(relaxed) != 0) return EALREADY;
    prepare_locked();
    begin_session(clock);
    listen_to_runs(listener::profile, true);
    return 0;
}

int stop_profile() noexcept {
    const std::lock_guard lock(state.lock);
    const std::uint32_t session = profile_session.load(relaxed);
    if (session == 0) return ESRCH;
    profile_session.store(0, relaxed);
    state.ended.store(state.scale.now(), std::memory_order_release);
    if (reads_cpu(session))
        each_thread(session, [](thread_node& node) {
            if (node.profile.depth.load(relaxed) == 0) return;
            const auto tid = std::atomic_ref(node.state.tid).load(relaxed);
            node.profile.stopped_cpu.store(cpu_ns_of(tid), relaxed);
        });
    listen_to_runs(listener::profile, false);
    return 0;
}

int reset_profile() noexcept {
    const std::lock_guard lock(state.lock);
    const std::uint32_t session = profile_session.load(relaxed);
    if (session == 0) return ESRCH;
    begin_session(clock_of(session));
    return 0;
}

bool profile_running(profile_clock& clock) noexcept {
    const std::uint32_t session = profile_session.load(relaxed);
    if (session == 0) return false;
    clock = clock_of(session);
    return true;
}

void enter_profile(thread_node& thread, record* own, std::uint32_t session) noexcept {
    thread_profile& of = thread.profile;
    if (of.session.load(relaxed) != session) [[unlikely]]
        renew(of, session);
    std::uint64_t now = stamp(session);
    std::uint64_t cpu_now = 0;  // a system call: read once where that will do
    const std::uint32_t depth = of.depth.load(relaxed);
    if (depth != 0) [[unlikely]] {
        if (reads_cpu(session)) cpu_now = own_cpu_ns();
        thread_profile::level& outer = of.levels[depth - 1];
        settle(of, outer, counter_of(of, outer.node.load(relaxed)), now, cpu_now, session);
        of.since.store(now, relaxed);
        of.cpu_since.store(cpu_now, relaxed);
        if (depth == thread_profile::max_levels) return;  // its time is the outer one's
    }
    if (own == &corodump_sink_v1.tracked) [[unlikely]]
        return;
    profile_note* const note = notes::at(own);
    if (note == nullptr) [[unlikely]]
        return add(counter_of(of, no_node).resumes, 1);
    const std::uint64_t word = note->word.load(relaxed);
    std::uint32_t node = static_cast<std::uint32_t>(word & node_mask);
    if (!is_of(word, expected_word(own, session)) || (word & unsettled) != 0) [[unlikely]] {
        node = meet(of, own, *note, word, session);
        // What finding it took is nobody's.
        const std::uint64_t met = stamp(session);
        if (const std::uint64_t since = note->since.load(relaxed); since != 0)
            note->since.store(since + between(now, met), relaxed);
        now = met;
        cpu_now = 0;
    }
    if (reads_cpu(session) && cpu_now == 0) [[unlikely]]
        cpu_now = own_cpu_ns();
    profile_counter& counter = counter_of(of, node);
    add(counter.resumes, 1);
    if (const std::uint64_t since = note->since.load(relaxed); since != 0) {
        add(counter.suspended, between(since, now));
        note->since.store(0, relaxed);
    }
    thread_profile::level& level = of.levels[depth];
    level.own = own;
    level.note = note;
    level.node.store(node, relaxed);
    level.run.store(0, relaxed);
    of.cpu_since.store(cpu_now, relaxed);
    // Release: pairs with add_current's acquires.
    of.since.store(now, std::memory_order_release);
    of.depth.store(depth + 1, std::memory_order_release);
}

void leave_profile(thread_node& thread, const record* own, std::uint32_t session) noexcept {
    thread_profile& of = thread.profile;
    if (of.session.load(relaxed) != session) [[unlikely]]
        return;  // it went in before the session began
    const std::uint64_t cpu_now = reads_cpu(session) ? own_cpu_ns() : 0;
    const std::uint64_t now = stamp(session);
    const std::uint32_t depth = of.depth.load(relaxed);
    if (depth == 0) [[unlikely]]
        return;
    thread_profile::level& innermost = of.levels[depth - 1];
    if (innermost.own != own) [[unlikely]]
        return leave_out_of_order(of, own, now, cpu_now, session);
    settle(of, innermost, counter_of(of, innermost.node.load(relaxed)), now, cpu_now, session);
    end_run(of, innermost, now);
    of.cpu_since.store(cpu_now, relaxed);
    of.since.store(now, std::memory_order_release);
    of.depth.store(depth - 1, std::memory_order_release);
}

void hold_profile() noexcept {
    state.lock.lock();
}
void release_profile() noexcept {
    state.lock.unlock();
}

void forget_profile(thread_profile& of) noexcept {
    of.depth.store(0, relaxed);
    of.left = nullptr;
}

void trim_profile(const detail::slab_header& slab) noexcept {
    notes::trim(slab);
}

profile_view view_profile() noexcept {
    profile_view view;
    if (!state.prepared.load(std::memory_order_acquire)) return view;
    view.session = state.shown.load(std::memory_order_acquire);
    if (view.session == 0) return view;
    const std::uint64_t ended = state.ended.load(std::memory_order_acquire);
    const std::uint64_t began = state.began.load(relaxed);
    view.running = ended == 0;
    view.clock = clock_of(view.session);
    view.now = view.running ? state.scale.now() : ended;
    view.ns_per_step = state.scale.ns_per_step();
    view.seconds = static_cast<double>(between(began, view.now)) * view.ns_per_step / 1e9;
    std::atomic_thread_fence(std::memory_order_acquire);
    if (state.shown.load(relaxed) != view.session) return {};  // another begins at this moment
    return view;
}

void read_profile(const profile_view& view, std::span<profile_sum> by_node) noexcept {
    each_thread(view.session, [&](const thread_node& node) {
        add_thread(node.profile, by_node);
        if (view.clock != profile_clock::off) add_current(node, view, by_node);
    });
}

bool find_profile(const profile_view& view, std::uint64_t record_address, std::uint32_t generation,
                  profile_of_frame& found) noexcept {
    const profile_note* const note = notes::find(record_address);
    if (note == nullptr) return false;
    const std::uint64_t word = note->word.load(std::memory_order_acquire);
    const std::uint64_t number = view.session >> number_shift & 0xffffU;
    if (!is_of(word, std::uint64_t{generation} << 32U | number << 16U)) return false;
    const std::uint64_t since = note->since.load(relaxed);
    found.node = static_cast<std::uint32_t>(word & node_mask);
    found.suspended = since == 0 ? 0 : between(since, view.now);
    return true;
}

}  // namespace corodump::sources

using namespace corodump::sources;  // NOLINT(google-build-using-namespace): the C entry points
                                    // below

extern "C" {

int corodump_profile_start_v1(std::uint32_t clock) noexcept {
    if (clock > static_cast<std::uint32_t>(profile_clock::cpu)) return EINVAL;
    return start_profile(static_cast<profile_clock>(clock));
}

int corodump_profile_stop_v1() noexcept {
    return stop_profile();
}

int corodump_profile_reset_v1() noexcept {
    return reset_profile();
}

std::uint32_t corodump_profile_running_v1() noexcept {
    profile_clock clock{};
    return profile_running(clock) ? static_cast<std::uint32_t>(clock) + 1 : 0;
}
}
