// CPU time of a whole dump as JSON: the dump writer against nlohmann::ordered_json, which builds
// the same document from the same model and dumps it indented by two.
//
//   writer_bench [--tasks=100000] [Google Benchmark options]
//
// A million tasks take nlohmann some gigabytes of memory. Both documents are compared, value for
// value, before anything is measured. The last line is the ratio of the medians.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "agent/format/dump_writer.hpp"

namespace {

using namespace corodump;
using nlohmann::ordered_json;

constexpr std::uint32_t chain_frames = 3;
constexpr std::uint32_t sites = 200;

/// 200 places as a service has them, one int on the middle frame of each task, a timer as the leaf.
class service_details final : public model::details {
public:
    service_details() {
        for (std::uint32_t at = 0; at < sites; ++at) {
            functions_.push_back("orderd::" + std::string(at % 3 == 0 ? "backend::" : "") +
                                 "session_" + std::to_string(at) + "::handle_request");
            files_.push_back("/srv/build/orderd/src/session_" + std::to_string(at / 4) + ".cpp");
        }
    }
    model::location where(std::uint64_t key) override {
        const std::size_t at = key % sites;
        return {functions_[at], files_[at], static_cast<std::uint32_t>(20 + at * 7), false};
    }
    std::span<const model::local> locals(const model::frame& frame) override {
        if (frame.promise != 1) return {};
        local_.value = {digits_.data(), format::put_decimal(digits_.data(), frame.generation)};
        return {&local_, 1};
    }
    model::leaf awaited(const model::frame& frame) override {
        return {.awaitable = "boost::asio::steady_timer::async_wait",
                .object = frame.awaiter + 16,
                .kind = "timer",
                .name = {},
                .owners = {},
                .descriptor = -1,
                .local_endpoint = {},
                .remote_endpoint = {},
                .has_deadline = true,
                .deadline_in_seconds = static_cast<double>(frame.generation % 30000) / 1000};
    }
    model::side given(const model::frame&) override { return {}; }

private:
    std::vector<std::string> functions_, files_;
    std::array<char, 96> digits_{};
    model::local local_{.name = "order", .type = "int", .value = {}, .literal = true};
};

/// A snapshot of `tasks` chains whose tasks, sorted by age, lie scattered among the frames.
struct synthetic {
    explicit synthetic(std::uint32_t tasks) {
        std::mt19937 random(1);
        frames.resize(std::size_t{tasks} * chain_frames);
        for (std::uint32_t at = 0; at < frames.size(); ++at) {
            fill(at, static_cast<std::uint32_t>(random()));
        }
        for (std::uint32_t task = 0; task < tasks; ++task) roots.push_back(task * chain_frames);
        std::shuffle(roots.begin(), roots.end(), random);
        all.id = "4242-1234567-1";
        all.trigger = {.kind = "signal", .signal = 10, .sender_pid = 1, .sender_uid = 0};
        all.now_tick = now_tick;
        all.counts.tasks = tasks;
        all.counts.frames = frames.size();
        all.frames = frames;
        all.roots = roots;
        all.details = &details;
    }

    void fill(std::uint32_t at, std::uint32_t random) {
        model::frame& frame = frames[at];
        const std::uint32_t depth = at % chain_frames;
        const bool is_leaf = depth + 1 == chain_frames;
        frame.address = 0x7f12a4000040U + std::uint64_t{at} * 192;
        frame.generation = random % 100'000;
        frame.resumes = random % 500 + 1;
        frame.created_tick = 1 + random % (now_tick - 1);
        frame.suspended_tick = frame.created_tick + (now_tick - frame.created_tick) / 2;
        frame.thread = static_cast<std::int32_t>(4242 + random % 16);
        frame.site = 0x55d0c0000000U + random % sites * 48;
        frame.definition = frame.site + sites * 480;
        frame.awaiter = frame.address + 96;
        frame.promise = depth;
        frame.parent = depth == 0 ? model::no_index : at - 1;
        frame.first_child = is_leaf ? model::no_index : at + 1;
        frame.activity = model::activity::suspended;
    }

    static constexpr std::uint32_t now_tick = 450'000;  // an hour
    std::vector<model::frame> frames;
    std::vector<std::uint32_t> roots;
    service_details details;
    model::snapshot all;
};

class counting_sink final : public format::byte_sink {
public:
    bool write(std::span<const char> bytes) noexcept override {
        benchmark::DoNotOptimize(bytes.data());
        size += bytes.size();
        return true;
    }
    bool overwrite(std::uint64_t, std::span<const char>) noexcept override { return true; }
    std::uint64_t size = 0;
};

class string_sink final : public format::byte_sink {
public:
    bool write(std::span<const char> bytes) noexcept override {
        text.append(bytes.data(), bytes.size());
        return true;
    }
    bool overwrite(std::uint64_t offset, std::span<const char> bytes) noexcept override {
        text.replace(offset, bytes.size(), bytes.data(), bytes.size());
        return true;
    }
    std::string text;
};

std::string hex(std::uint64_t value) {
    std::array<char, 96> text;
    return {text.data(), format::put_hex(text.data(), value)};
}

std::string id_of(const model::frame& frame) {
    return hex(frame.address) + "." + std::to_string(frame.generation);
}

ordered_json age_of(const model::snapshot& all, std::uint32_t tick) {
    if (tick == 0) return nullptr;
    return static_cast<double>((all.now_tick - tick) * 8) / 1000;
}

ordered_json place_of(const model::snapshot& all, std::uint64_t key) {
    const model::location place = all.details->where(key);
    return {{"function", place.function}, {"file", place.file}, {"line", place.line}};
}

ordered_json frame_of(const model::snapshot& all, const model::frame& frame) {
    ordered_json json = place_of(all, frame.site);
    for (const model::local& local : all.details->locals(frame))
        json["locals"][std::string(local.name)] = {{"type", local.type},
                                                   {"value", std::stoi(std::string(local.value))}};
    json["address"] = hex(frame.address);
    return json;
}

ordered_json awaitable_of(const model::snapshot& all, const model::frame& frame) {
    const model::leaf leaf = all.details->awaited(frame);
    return {{"awaitable", leaf.awaitable},
            {"object", hex(leaf.object)},
            {"kind", leaf.kind},
            {"deadline_in_seconds", leaf.deadline_in_seconds}};
}

ordered_json task_of(const model::snapshot& all, std::uint32_t index) {
    const model::frame& root = all.frames[index];
    const model::frame& leaf = all.frames[model::leaf_of(all, index)];
    ordered_json chain = ordered_json::array();
    for (std::uint32_t at = index; at != model::no_index; at = all.frames[at].first_child)
        chain.push_back(frame_of(all, all.frames[at]));
    chain.push_back(awaitable_of(all, leaf));
    ordered_json task = {{"id", id_of(root)},
                         {"name", nullptr},
                         {"state", name_of(root.state)},
                         {"activity", name_of(leaf.activity)},
                         {"cancelled", false},
                         {"age_seconds", age_of(all, root.created_tick)},
                         {"suspended_seconds", age_of(all, leaf.suspended_tick)},
                         {"resumes", leaf.resumes},
                         {"thread", leaf.thread}};
    task["created"] = {{"location", place_of(all, root.definition)}, {"by", nullptr}};
    task["await_chain"] = std::move(chain);
    return task;
}

/// The tasks are all that grows; the other sections come out of the writer's own text.
std::string dump_with_nlohmann(const model::snapshot& all, const ordered_json& others) {
    ordered_json document = others;
    ordered_json& tasks = document["tasks"];
    for (const std::uint32_t root : all.roots) tasks.push_back(task_of(all, root));
    return document.dump(2);
}

ordered_json parse_writers_text(const model::snapshot& all) {
    std::vector<std::byte> workspace(format::dump_writer::good_workspace_bytes);
    string_sink sink;
    if (!format::dump_writer(workspace, sink).write(all).whole) std::abort();
    return ordered_json::parse(sink.text);
}

ordered_json other_sections(const model::snapshot& all) {
    model::snapshot without_tasks = all;
    without_tasks.roots = {};
    return parse_writers_text(without_tasks);
}

void require_equal_documents() {
    const synthetic small(1000);
    const std::string theirs = dump_with_nlohmann(small.all, other_sections(small.all));
    if (ordered_json::parse(theirs) == parse_writers_text(small.all)) return;
    std::fputs("writer_bench: the two documents differ\n", stderr);
    std::exit(1);
}

void measure_ours(benchmark::State& state, const synthetic& input) {
    std::vector<std::byte> workspace(format::dump_writer::good_workspace_bytes);
    counting_sink sink;
    for (auto _ : state)
        benchmark::DoNotOptimize(format::dump_writer(workspace, sink).write(input.all));
    state.SetBytesProcessed(static_cast<std::int64_t>(sink.size));
}

void measure_nlohmann(benchmark::State& state, const synthetic& input) {
    const ordered_json others = other_sections(input.all);
    std::int64_t bytes = 0;
    for (auto _ : state)
        bytes += static_cast<std::int64_t>(dump_with_nlohmann(input.all, others).size());
    state.SetBytesProcessed(bytes);
}

/// Prints as ever, and keeps the CPU times for the ratio.
class ratio_reporter final : public benchmark::ConsoleReporter {
public:
    void ReportRuns(const std::vector<Run>& runs) override {
        ConsoleReporter::ReportRuns(runs);
        for (const Run& run : runs)
            if (run.run_type == Run::RT_Iteration)
                times_[run.run_name.function_name].push_back(run.GetAdjustedCPUTime());
    }
    void print_ratio() {
        if (times_["ours"].empty() || times_["nlohmann"].empty()) return;
        std::printf("nlohmann over ours, CPU time: %.1f (goal: at least 40)\n",
                    median("nlohmann") / median("ours"));
    }

private:
    double median(const std::string& name) {
        std::vector<double>& times = times_[name];
        std::sort(times.begin(), times.end());
        return times[times.size() / 2];
    }
    std::map<std::string, std::vector<double>> times_;
};

/// Takes `--tasks=N` out of the arguments.
std::uint32_t task_count(int& count, char** arguments) {
    constexpr std::string_view option = "--tasks=";
    std::uint32_t tasks = 100'000;
    const auto last = std::remove_if(arguments + 1, arguments + count, [&](const char* argument) {
        if (!std::string_view(argument).starts_with(option)) return false;
        tasks = static_cast<std::uint32_t>(std::strtoul(argument + option.size(), nullptr, 10));
        return true;
    });
    count = static_cast<int>(last - arguments);
    return tasks;
}

}  // namespace

int main(int argc, char** argv) {
    const std::uint32_t tasks = task_count(argc, argv);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    require_equal_documents();
    const synthetic input(tasks);
    const bool large = tasks > 200'000;
    benchmark::RegisterBenchmark("ours",
                                 [&](benchmark::State& state) { measure_ours(state, input); })
        ->Unit(benchmark::kMillisecond)
        ->Repetitions(5);
    benchmark::RegisterBenchmark("nlohmann",
                                 [&](benchmark::State& state) { measure_nlohmann(state, input); })
        ->Unit(benchmark::kMillisecond)
        ->Iterations(1)
        ->Repetitions(large ? 1 : 3);
    ratio_reporter reporter;
    benchmark::RunSpecifiedBenchmarks(&reporter);
    reporter.print_ratio();
    return 0;
}
