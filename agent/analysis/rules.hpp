// From facts to verdicts: symptom, likely cause, evidence. Each rule looks at one sort of trouble and
// knows nothing of the others; docs/diagnosing.md has the table and an example of each.
//
// An error says that something is broken, and must never be said of a healthy service, however busy: it
// takes a proof, or that nothing concerned has moved for `patience_seconds`. A warning is worth a look.
//
// Threads: any. Signals: as the writer. Blocks: never. Bounds: linear in the facts, but for the
// resources (find_stuck) and tasks listed (max_listed a verdict).
#pragma once

#include <cstddef>

#include "agent/analysis/facts.hpp"
#include "agent/analysis/verdict_writer.hpp"

namespace corodump::analysis {

inline constexpr double patience_seconds = 30;
inline constexpr std::size_t max_listed = 64;

/// All rules, errors of proof first. `stuck`: room for as many as facts.resources.
void judge(const facts& of, std::span<held_resource> stuck, verdict_writer& to);

// --- resource_rules.cpp
/// wait_cycle: tasks that hold resources wait for resources which only such tasks hold.
void find_deadlock(const facts& of, std::span<held_resource> stuck, verdict_writer& to);
/// wait_cycle: coroutines that await each other.
void find_circles(const facts& of, verdict_writer& to);
/// exhausted: all of a pool or semaphore is taken, and tasks wait for it.
void find_exhausted(const facts& of, std::span<const held_resource> stuck, verdict_writer& to);
/// resource_leak: what a task took that has ended since was not given back.
void find_leaked(const facts& of, verdict_writer& to);

// --- overdue_rules.cpp
/// resource_leak, too: open for longer than the service's own limit.
void find_overdue(const facts& of, verdict_writer& to);

// --- task_rules.cpp
/// lost_wakeup: suspended on what says it is ready.
void find_lost_wakeups(const facts& of, verdict_writer& to);
/// lost_child and last_child: a fan-in that waits for a child that is gone, or for the last one.
void find_short_joins(const facts& of, verdict_writer& to);
/// never_resumed: created and never started.
void find_never_resumed(const facts& of, verdict_writer& to);
/// one_site: nearly all tasks wait at one co_await, and none has moved.
void find_one_site(const facts& of, verdict_writer& to);
/// growth: tasks of one place that only become more.
void find_growth(const facts& of, verdict_writer& to);

// --- thread_rules.cpp
/// blocked_loop, spinning_loop: a thread that does not come back from a callback or a resume.
void find_busy_threads(const facts& of, verdict_writer& to);
/// past_stall: that happened, and is over.
void find_past_stalls(const facts& of, verdict_writer& to);
/// unobserved_failure: tasks failed, and nobody has seen it.
void find_unseen_failures(const facts& of, verdict_writer& to);

}  // namespace corodump::analysis
