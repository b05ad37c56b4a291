#!/usr/bin/env python3
"""Runs the benchmarks of both builds and writes the table of ratios into docs/performance.md.

    run.py GNU_BUILD CLANG_BUILD [--quick] [--only NAME,...] [--print]

--quick   fewer repetitions, and 100,000 instead of 1,000,000 tasks for the JSON writers
--only    of: hot, asio, counts, snapshot, writer, signal, asyncio, loops, births, resources,
          contexts, profile; other rows then stay empty
--print   prints the tables and leaves docs/performance.md alone

A ratio is one of medians, both taken in the same process, in turns (the repetitions are interleaved
at random). Where valgrind is installed, instructions are counted too: those do not change with the
machine's load.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs", "performance.md")
BEGIN, END = "<!-- ./dev bench: begin -->", "<!-- ./dev bench: end -->"
COUNTED = ("create/bare", "create/mixin", "create/automatic", "create/outside", "create/bare_plain",
           "create/mixin_plain", "create/automatic_plain", "create/mixin_named",
           "create/mixin_watched", "resume/bare", "resume/current", "resume/mixin",
           "resume/automatic", "sessions/untracked", "sessions/tracked")


class Compiler:
    """One build: its figures by benchmark name."""

    def __init__(self, name, build):
        self.name, self.build = name, build
        self.times, self.counters, self.counts = {}, {}, {}

    def program(self, name):
        return os.path.join(self.build, "tests", "bench", name)

    def run(self, name, repetitions, *arguments, clock="cpu_time", prefix=""):
        print(f"bench: {self.name}: {name} {' '.join(arguments)}", file=sys.stderr, flush=True)
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            subprocess.run([self.program(name), f"--benchmark_out={out.name}",
                            f"--benchmark_repetitions={repetitions}",
                            "--benchmark_enable_random_interleaving=true", *arguments],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            runs = json.load(open(out.name))["benchmarks"]
        values = {}
        for each in runs:
            if each["run_type"] != "iteration":
                continue
            key = prefix + re.sub(r"/(iterations|repeats|manual_time)\b(:\d+)?", "", each["name"])
            to_ns = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[each["time_unit"]]
            values.setdefault(key, []).append(each[clock] * to_ns)
            for counter in ("bare_bytes", "tracked_bytes", "peak_bytes_per_frame",
                            "resident_bytes_per_frame", "agent_bytes", "bytes_per_resource"):
                if counter in each:
                    self.counters[key, counter] = each[counter]
        self.times.update((key, statistics.median(v)) for key, v in values.items())

    def run_plain(self, name):
        """A program that prints lines of a name and ns."""
        print(f"bench: {self.name}: {name}", file=sys.stderr, flush=True)
        done = subprocess.run([self.program(name)], capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            key, value = line.split()
            self.times[key] = float(value)

    def count(self):
        """Instructions of one turn: the difference of two runs, divided."""
        with tempfile.TemporaryDirectory() as directory:
            program = self.stripped("hot_path_counts", directory)
            for name in COUNTED:
                few, many = (self.instructions(program, name, times) for times in (1000, 3000))
                if few and many:
                    self.counts[name] = (many - few) / 2000

    def stripped(self, name, directory):
        """A copy of the program and its libraries: older valgrinds stop at newer debug information."""
        program = self.program(name)
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for path in [program, *re.findall(r"=> (\S+)", linked)]:
            if os.path.realpath(path).startswith(os.path.realpath(self.build)):
                subprocess.run(["strip", "--strip-debug", "-o",
                                os.path.join(directory, os.path.basename(path)), path], check=True)
        return os.path.join(directory, name)

    @staticmethod
    def instructions(program, name, times):
        directory = os.path.dirname(program)
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/callgrind.out",
             program, name, str(times)],
            capture_output=True, text=True, env={**os.environ, "LD_LIBRARY_PATH": directory})
        found = re.search(r"Collected : (\d+)", done.stderr)
        return int(found.group(1)) if done.returncode == 0 and found else None

    def ratio(self, over, under):
        if self.times.get(over) is None or not self.times.get(under):
            return None
        return self.times[over] / self.times[under]

    def added(self, over, under):
        if self.times.get(over) is None or self.times.get(under) is None:
            return None
        return self.times[over] - self.times[under]

    def count_ratio(self, over, under):
        if over not in self.counts or not self.counts.get(under):
            return None
        return self.counts[over] / self.counts[under]


def number(value):
    if value is None:
        return ""
    return f"{value:.2f}" if value < 20 else f"{value:,.0f}"


def judged(value, goal):
    """`goal`: "<= x", ">= x" or none."""
    if value is None or not goal:
        return number(value)
    sign, limit = goal.split()[:2]
    met = value <= float(limit) if sign == "<=" else value >= float(limit)
    return number(value) if met else f"**{number(value)}**"


def duration(ns):
    if ns is None:
        return "?"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def judged_time(ns, goal):
    """`goal` in ns."""
    met = ns is None or not goal or ns <= float(goal.split()[1])
    return duration(ns) if met else f"**{duration(ns)}**"


HOT = (
    ("create, `co_await`, run, destroy: mixin / bare", "<= 0.80", "create/mixin", "create/bare"),
    ("the same: `corodump::auto` / bare", "<= 1.0", "create/automatic", "create/bare"),
    ("the same without arguments: mixin / bare", "", "create/mixin_plain", "create/bare_plain"),
    ("the same without arguments: `corodump::auto` / bare", "", "create/automatic_plain",
     "create/bare_plain"),
    ("Asio, `co_spawn` of three nested awaitables to completion: tracked / untracked", "<= 1.05",
     "sessions/tracked", "sessions/untracked"),
    ("suspend and resume, hot: mixin / bare", "<= 1.5", "resume/mixin", "resume/bare"),
    ("the same: `corodump::auto` / bare", "<= 1.5", "resume/automatic", "resume/bare"),
    ("suspend and resume over 4,096 frames: mixin / bare", "<= 2.0", "resume_many/mixin",
     "resume_many/bare"),
    ("the same: `corodump::auto` / bare", "<= 2.0", "resume_many/automatic", "resume_many/bare"),
    ("of the hot one: keeping track of the running coroutine alone / bare", "", "resume/current",
     "resume/bare"),
    ("create where the promise allocates (slot): `corodump::auto` / bare", "", "create/outside",
     "create/bare"),
    ("create with a `set_name`: over mixin without", "", "create/mixin_named",
     "create/mixin_plain"),
    ("create with a `watch`: over mixin without", "", "create/mixin_watched",
     "create/mixin_plain"),
)

DUMP = (
    ("1,000,000 records, `copy_records` / plain copy of the same bytes to elements as large",
     "<= 1.25", "copy_by_agent/fresh", "copy_alike/fresh"),
    ("the same into memory touched before", "", "copy_by_agent/warm", "copy_alike/warm"),
    ("the same / plain copy to 48-byte elements, fresh memory", "", "copy_by_agent/fresh",
     "copy_packed/fresh"),
    ("a mutator's median latency during snapshots / quiet", "<= 1.10", "mutate_during_snapshots",
     "mutate_quietly"),
    ("the same beside plain copies, no snapshot / quiet", "", "mutate_beside_plain_copies",
     "mutate_quietly"),
    ("{tasks} tasks of three frames to JSON, CPU: nlohmann / ours", ">= 40", "nlohmann", "ours"),
    ("signal to whole file, 1,000 tasks: polling at 10 ms / ours", ">= 10", "signal/polling",
     "signal/agent"),
    ("signal to whole file, 100,000 tasks: the asyncio recipe / ours", ">= 300", "asyncio",
     "large/signal/agent"),
)

# What is added to the baseline, in ns.
ADDED = (
    ("a callback of a monitored loop (guard)", "<= 5", "callback/guard", "callback/bare"),
    ("the same by two calls", "<= 5", "callback/two_calls", "callback/bare"),
    ("the same where the monitor is precise", "", "callback/precise", "callback/bare"),
    ("`current_task()`", "<= 2", "context/current_task", "context/none"),
    ("a context variable's `get()` where it was bound", "", "context/get/1", "context/none"),
    ("the same ten coroutines below", "", "context/get/10", "context/none"),
    ("`bind()` of an int, and its end", "", "context/bind", "context/none"),
    ("the running task's id and name for a log line", "", "context/task_text/1", "context/none"),
    ("the same ten coroutines below", "", "context/task_text/10", "context/none"),
)

# Opened and closed, in ns.
RESOURCES = (
    ("a resource opened and closed, without a label", "<= 50", "resource/no_label"),
    ("the same with a label of 20 bytes", "<= 50", "resource/label_20"),
    ("the same with a label of 60 bytes", "", "resource/label_60"),
    ("the same, no label, on two threads at once", "", "resource/two/threads:2"),
    ("the same beside 100,000 of its kind that are open", "<= 50", "resource/crowd"),
    ("the same there, on two threads at once", "<= 50", "resource/crowd_two/threads:2"),
    ("a dump's look at 100,000", "", "resource/look"),
)

# What the profiler adds, in ns; "off" is no profile.
PROFILE = tuple(
    (f"{what}, {variant}: the profiler, {clock}", "<= 40" if key == "resume" and clock == "wall" else "",
     f"profile/{form}/{key}/{clock}", f"profile/{form}/{key}/off")
    for key, what in (("resume", "a resume"), ("create", "create, `co_await`, run, destroy"))
    for form, variant in (("mixin", "mixin"), ("automatic", "`corodump::auto`"))
    for clock in ("counts", "wall", "cpu"))

BIRTHS = (
    ("a stack of 20 frames: glibc's `backtrace()` / all that a birth with its stack takes", ">= 50",
     "birth/backtrace", "birth/stack"),
    *((f"create, {variant}: births noted, {mode} / not noted", "", f"births/{key}/{mode}",
       f"births/{key}/off")
      for variant, key in (("mixin", "mixin"), ("`corodump::auto`", "automatic"))
      for mode in ("creators", "sampled", "all")),
    *((f"create, {variant}: context variables in use / not", "", f"context/{key}/on",
       f"context/{key}/off")
      for variant, key in (("mixin", "mixin"), ("`corodump::auto`", "automatic"))),
)


def hot_table(compilers):
    head = "".join(f" {c.name}: time | instructions |" for c in compilers)
    lines = [f"| what | goal |{head} ns and instructions, {' and '.join(c.name for c in compilers)} |",
             "|---|---|" + "---|---|" * len(compilers) + "---|"]
    for what, goal, over, under in HOT:
        cells, details = [], []
        for c in compilers:
            cells += [judged(c.ratio(over, under), goal), judged(c.count_ratio(over, under), goal)]
            details.append(f"{duration(c.times.get(under))} → {duration(c.times.get(over))}"
                           + (f", {c.counts[under]:.0f} → {c.counts[over]:.0f}"
                              if over in c.counts and under in c.counts else ""))
        lines.append(f"| {what} | {goal or 'reported'} | {' | '.join(cells)} | {'; '.join(details)} |")
    return lines


def dump_table(compilers, tasks):
    lines = [f"| what | goal |{''.join(f' {c.name} |' for c in compilers)} times |",
             "|---|---|" + "---|" * len(compilers) + "---|"]
    for what, goal, over, under in DUMP:
        cells = [judged(c.ratio(over, under), goal) for c in compilers]
        details = [f"{duration(c.times.get(over))} / {duration(c.times.get(under))}"
                   for c in compilers]
        lines.append(f"| {what.format(tasks=f'{tasks:,}')} | {goal or 'reported'} | "
                     f"{' | '.join(cells)} | {'; '.join(details)} |")
    return lines


def around_table(compilers):
    lines = [f"| what | goal |{''.join(f' {c.name} |' for c in compilers)} times |",
             "|---|---|" + "---|" * len(compilers) + "---|"]

    def row(what, goal, cells, details):
        lines.append(f"| {what} | {goal or 'reported'} | {' | '.join(cells)} | {'; '.join(details)} |")

    for what, goal, over, under in ADDED:
        row(what, f"{goal} ns" if goal else "", [f"{judged(c.added(over, under), goal)} ns" for c in compilers],
            [f"{duration(c.times.get(under))} → {duration(c.times.get(over))}" for c in compilers])
    for what, goal, over, under in PROFILE:
        row(what, f"{goal} ns" if goal else "", [f"{judged(c.added(over, under), goal)} ns" for c in compilers],
            [f"{duration(c.times.get(under))} → {duration(c.times.get(over))}" for c in compilers])
    for threads in (1, 100, 1000):
        row(f"the watchdog's look, once in 8 ms; threads in callbacks and coroutines: {threads:,}", "",
            [duration(c.times.get(f"look/threads/{threads}")) for c in compilers], [])
    for what, goal, key in RESOURCES:
        row(what, f"{goal} ns" if goal else "", [judged_time(c.times.get(key), goal) for c in compilers], [])
    row("bytes of each of 100,000 open resources, resident", "<= 64",
        [judged(c.counters.get(("resource/open_100000", "bytes_per_resource")), "<= 64") for c in compilers], [])
    for what, goal, over, under in BIRTHS:
        row(what, goal, [judged(c.ratio(over, under), goal) for c in compilers],
            [f"{duration(c.times.get(over))} / {duration(c.times.get(under))}" for c in compilers])
    return lines


def memory_table(compilers):
    lines = [f"| what | goal |{''.join(f' {c.name} |' for c in compilers)}",
             "|---|---|" + "---|" * len(compilers)]

    def row(what, goal, value):
        lines.append(f"| {what} | {goal or 'reported'} | "
                     + " | ".join(value(c) for c in compilers) + " |")

    def frame_cost(key):
        def cell(c):
            bare = c.counters.get((key, "bare_bytes"))
            tracked = c.counters.get((key, "tracked_bytes"))
            if bare is None:
                return ""
            return f"{judged(tracked - bare, '<= 64')} ({bare:.0f} → {tracked:.0f})"
        return cell

    for what, key in (("mixin, one `co_await`", "memory/mixin"),
                      ("mixin, and an int argument", "memory/mixin_int"),
                      ("`corodump::auto`, one `co_await`", "memory/automatic"),
                      ("`corodump::auto`, and an int argument", "memory/automatic_int")):
        row(f"bytes, tracked frame over a bare pooled one: {what}", "<= 64", frame_cost(key))
    row("snapshot of 1,000,000 frames, bytes handed out for a frame", "<= 96",
        lambda c: judged(c.counters.get(("build", "peak_bytes_per_frame")), "<= 96"))
    row("the same, bytes that became resident", "",
        lambda c: number(c.counters.get(("build", "resident_bytes_per_frame"))))
    row("agent at rest, resident KiB", "",
        lambda c: number((c.counters.get(("signal/agent", "agent_bytes")) or 0) / 1024))
    return lines


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def processor():
    with open("/proc/cpuinfo") as facts:
        for line in facts:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def machine_table(load):
    governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    scaling = open(governor).read().strip() if os.path.exists(governor) else "not visible"
    return [
        "| machine | |", "|---|---|",
        f"| processor | {processor()}, {os.cpu_count()} processors, governor {scaling} |",
        f"| kernel, C library | Linux {platform.release()}, {' '.join(platform.libc_ver())} |",
        f"| compilers | {first_line('g++', '--version')}; {first_line('clang++-19', '--version')} |",
        f"| corodump | {first_line('git', '-C', ROOT, 'describe', '--always', '--dirty')} |",
        f"| date | {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M UTC} |",
        f"| load average before and after | {load[0]:.1f}, {os.getloadavg()[0]:.1f} |",
    ]


def run_asyncio(compilers, rounds):
    done = subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "tests/bench/asyncio_dump.py"),
                           "100000", str(rounds)], capture_output=True, text=True, check=True)
    median = statistics.median(float(line) for line in done.stdout.split()) * 1e9
    for c in compilers:
        c.times["asyncio"] = median


def measure(compilers, wanted, quick, tasks):
    if "asyncio" in wanted:
        run_asyncio(compilers, 1 if quick else 3)
    short = "--benchmark_min_time=0.02"
    for c in compilers:
        if "hot" in wanted:
            c.run("hot_path_bench", 11 if quick else 31, short)
        if "asio" in wanted and os.path.exists(c.program("asio_bench")):
            c.run("asio_bench", 11 if quick else 31, short)
        if "counts" in wanted and shutil.which("valgrind"):
            print(f"bench: {c.name}: counting instructions", file=sys.stderr, flush=True)
            c.count()
        if "snapshot" in wanted:
            c.run("snapshot_bench", 5 if quick else 9, "--benchmark_min_time=0.1",
                  "--benchmark_filter=copy|build")
            c.run("snapshot_bench", 5 if quick else 9, "--benchmark_filter=mutate",
                  clock="real_time")
        if "writer" in wanted:
            c.run("writer_bench", 1, f"--tasks={tasks}")
        if "signal" in wanted:
            c.run("signal_bench", 9 if quick else 21, clock="real_time")
        if "signal" in wanted or "asyncio" in wanted:
            c.run("signal_bench", 5 if quick else 9, "--tasks=100000",
                  "--benchmark_filter=agent", clock="real_time", prefix="large/")
        if "loops" in wanted:
            c.run("loop_bench", 9 if quick else 21, short)
        if "births" in wanted:
            c.run_plain("creation_bench")
        if "resources" in wanted:
            c.run("resource_bench", 9 if quick else 21, short)
        if "contexts" in wanted:
            c.run_plain("context_bench")
        if "profile" in wanted:
            c.run_plain("profile_bench")


def write_page(block):
    with open(PAGE) as page:
        text = page.read()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    with open(PAGE, "w") as page:
        page.write(f"{before}{BEGIN}\n{block}\n{END}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("gnu")
    parser.add_argument("clang")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="hot,asio,counts,snapshot,writer,signal,asyncio,loops,births,resources,"
                        "contexts,profile")
    parser.add_argument("--print", action="store_true", dest="only_print")
    options = parser.parse_args()
    compilers = [Compiler("GCC", options.gnu), Compiler("clang", options.clang)]
    load = os.getloadavg()
    tasks = 100_000 if options.quick else 1_000_000
    measure(compilers, set(options.only.split(",")), options.quick, tasks)
    block = "\n".join([*machine_table(load), "", "## Hot path", "", *hot_table(compilers), "",
                       "## Dump", "", *dump_table(compilers, tasks), "", "## Memory", "",
                       *memory_table(compilers), "", "## Loops, creations, profile", "",
                       *around_table(compilers)])
    print(block)
    if not options.only_print:
        write_page(block)


if __name__ == "__main__":
    main()
