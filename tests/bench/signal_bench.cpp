// From kill() to the whole file: the agent, and a watchdog as services have them, which looks every
// 10 ms whether its handler has set a flag and then dumps. Both write the same dump; the file
// counts as there when its final name appears in the directory (inotify).
//
//   signal_bench [--tasks=1000] [Google Benchmark options]
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <corodump/agent.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "shapes/shapes.hpp"

int shapes_seed = 1;
std::size_t shapes_frame_bytes = 0;

namespace {

using clock_type = std::chrono::steady_clock;
using namespace std::chrono_literals;

std::sig_atomic_t volatile dump_asked_for = 0;
static_assert(std::atomic<int>::is_always_lock_free);

/// The baseline.
class polling_watchdog {
public:
    polling_watchdog() {
        struct sigaction action = {};
        action.sa_handler = [](int) { dump_asked_for = 1; };
        action.sa_flags = SA_RESTART;
        sigaction(SIGUSR2, &action, nullptr);
        thread_ = std::thread([this] { poll(); });
    }
    polling_watchdog(const polling_watchdog&) = delete;
    polling_watchdog& operator=(const polling_watchdog&) = delete;
    ~polling_watchdog() {
        ended_ = true;
        thread_.join();
        std::signal(SIGUSR2, SIG_IGN);
    }

private:
    void poll() {
        while (!ended_) {
            std::this_thread::sleep_for(10ms);
            if (dump_asked_for == 0) continue;
            dump_asked_for = 0;
            if (!corodump::dump_now()) std::abort();
        }
    }
    std::atomic<bool> ended_{false};
    std::thread thread_;
};

/// A directory of its own, and a watch on what appears in it.
class dump_directory {
public:
    dump_directory() {
        char name[] = "/tmp/corodump-bench-XXXXXX";
        if (mkdtemp(name) == nullptr) std::abort();
        path_ = name;
        inotify_ = inotify_init1(IN_CLOEXEC);
        if (inotify_add_watch(inotify_, name, IN_CREATE | IN_MOVED_TO) < 0) std::abort();
    }
    dump_directory(const dump_directory&) = delete;
    dump_directory& operator=(const dump_directory&) = delete;
    ~dump_directory() {
        close(inotify_);
        std::filesystem::remove_all(path_);
    }
    [[nodiscard]] const std::string& path() const { return path_; }

    /// Blocks until a file with a dump's final name appears.
    void await_file() const {
        for (;;) {
            alignas(inotify_event) char buffer[4096];
            const ssize_t bytes = read(inotify_, buffer, sizeof buffer);
            for (ssize_t at = 0; at < bytes;) {
                const auto* const event = reinterpret_cast<const inotify_event*>(buffer + at);
                if (std::string_view(event->name).ends_with(".json")) return;
                at += static_cast<ssize_t>(sizeof *event + event->len);
            }
        }
    }

private:
    std::string path_;
    int inotify_ = -1;
};

class population {
public:
    explicit population(std::size_t tasks) {
        for (std::size_t i = 0; i < tasks; ++i) roots_.push_back(mixin_chain());
    }
    population(const population&) = delete;
    population& operator=(const population&) = delete;
    ~population() {
        for (void* const frame : roots_) mixin_destroy(frame);
    }

private:
    std::vector<void*> roots_;
};

/// One signal a repetition, after a pause that neither the poll nor the agent's own interval
/// between two dumps for signals (200 ms) knows of.
void signal_to_file(benchmark::State& state, const dump_directory& directory, int signal) {
    static std::mt19937 random(7);
    for (auto _ : state) {
        std::this_thread::sleep_for(250ms + std::chrono::microseconds(random() % 20'000));
        const auto begin = clock_type::now();
        kill(getpid(), signal);
        directory.await_file();
        state.SetIterationTime(std::chrono::duration<double>(clock_type::now() - begin).count());
    }
}

long resident_bytes() {
    long total = 0, resident = 0;
    if (std::FILE* const file = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(file, "%ld %ld", &total, &resident) != 2) resident = 0;
        std::fclose(file);
    }
    return resident * sysconf(_SC_PAGESIZE);
}

/// Takes `--tasks=N` out of the arguments.
std::size_t task_count(int& count, char** arguments) {
    constexpr std::string_view option = "--tasks=";
    std::size_t tasks = 1000;
    const auto last = std::remove_if(arguments + 1, arguments + count, [&](const char* argument) {
        if (!std::string_view(argument).starts_with(option)) return false;
        tasks = std::strtoul(argument + option.size(), nullptr, 10);
        return true;
    });
    count = static_cast<int>(last - arguments);
    return tasks;
}

}  // namespace

int main(int argc, char** argv) {
    const std::size_t tasks = task_count(argc, argv);
    const dump_directory directory;
    const long before = resident_bytes();
    corodump::options options;
    options.directory = directory.path();
    const corodump::agent agent(options);
    if (agent.error()) return 1;
    std::this_thread::sleep_for(100ms);  // its threads have run
    const long agent_bytes = resident_bytes() - before;
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    const polling_watchdog polling;
    const population waiting(tasks);
    const auto add = [&](const char* name, int signal) {
        benchmark::RegisterBenchmark(name,
                                     [&, signal](benchmark::State& state) {
                                         signal_to_file(state, directory, signal);
                                         state.counters["agent_bytes"] =
                                             static_cast<double>(agent_bytes);
                                     })
            ->UseManualTime()
            ->Iterations(1)
            ->Unit(benchmark::kMillisecond);
    };
    add("signal/agent", SIGUSR1);
    add("signal/polling", SIGUSR2);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
