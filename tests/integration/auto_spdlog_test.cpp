// Tasks and context variables in log lines: flags, JSON, and lines that another thread writes.
#include <gtest/gtest.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/ostream_sink.h>

#include <atomic>
#include <condition_variable>
#include <corodump/agent.hpp>
#include <corodump/context.hpp>
#include <corodump/spdlog.hpp>
#include <corodump/task.hpp>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "styles/lazy_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace {

const corodump::context_variable<std::string> request_id("request_id");
const corodump::context_variable<int> attempt("attempt");
const corodump::context_variable<double> ratio("ratio");
const corodump::context_variable<std::string> level("level");
const corodump::context_variable<std::string> second_id("request_id");

/// Keeps its lines; writes none before it is opened.
class gated_sink final : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit gated_sink(bool is_open = true) : open_(is_open) {}
    void open() {
        const std::lock_guard lock(gate_);
        open_ = true;
        changed_.notify_all();
    }
    /// Waits until a line has come to the gate.
    void await_arrival() {
        std::unique_lock lock(gate_);
        changed_.wait(lock, [this] { return arrived_; });
    }
    [[nodiscard]] std::vector<std::string> lines() const {
        const std::lock_guard lock(gate_);
        return lines_;
    }
    [[nodiscard]] int flushes() const { return flushes_.load(); }

protected:
    void sink_it_(const spdlog::details::log_msg& line) override {
        spdlog::memory_buf_t text;
        formatter_->format(line, text);
        std::unique_lock lock(gate_);
        arrived_ = true;
        changed_.notify_all();
        changed_.wait(lock, [this] { return open_; });
        lines_.emplace_back(text.data(), text.size());
    }
    void flush_() override { ++flushes_; }

private:
    mutable std::mutex gate_;
    std::condition_variable changed_;
    bool open_, arrived_ = false;
    std::vector<std::string> lines_;
    std::atomic<int> flushes_{0};
};

std::unique_ptr<spdlog::pattern_formatter> flags(const std::string& pattern) {
    auto made =
        std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::utc, "");
    made->add_flag<corodump::task_id_flag>('k')
        .add_flag<corodump::task_name_flag>('N')
        .add_flag<corodump::context_flag>('q', request_id)
        .add_flag<corodump::context_flag>('w', attempt)
        .set_pattern(pattern);
    return made;
}

std::unique_ptr<corodump::json_formatter> json() {
    return std::make_unique<corodump::json_formatter>("");
}

struct sync_log {
    explicit sync_log(std::unique_ptr<spdlog::formatter> format)
        : sink(std::make_shared<gated_sink>()), logger("orders", sink) {
        logger.set_formatter(std::move(format));
    }
    [[nodiscard]] nlohmann::json last() const {
        return nlohmann::json::parse(sink->lines().back());
    }
    std::shared_ptr<gated_sink> sink;
    spdlog::logger logger;
};

/// Runs a coroutine that never waits.
void run(lazy::task<> task) {
    task.start();
    ASSERT_TRUE(task.done());
    task.result();
}

TEST(LogFlags, SayTaskAndVariablesOfTheRunningCoroutine) {
    const corodump::agent agent;
    sync_log log(flags("%k|%N|%q|%w|%v"));
    synced::event go;
    const auto below = [&]() -> lazy::task<> {
        log.logger.info("deep");
        co_await go;
    };
    const auto handle = [&]() -> lazy::task<> {
        corodump::set_name("session 7");
        request_id.set("r-1");
        const auto bound = attempt.bind(2);
        co_await below();
    };
    auto task = handle();
    task.start();
    log.logger.info("outside");
    const support::dump found = support::take_dump();
    ASSERT_EQ(found.tasks.size(), 1U);
    EXPECT_EQ(log.sink->lines(), (std::vector<std::string>{
                                     found.tasks[0].id + "|session 7|r-1|2|deep", "||||outside"}));
    go.set();
}

TEST(LogFlags, ArePaddedAndCutAsOthers) {
    sync_log log(flags("[%6q][%-6q][%=7q][%2!q]"));
    const auto bound = request_id.bind("abc");
    log.logger.info("");
    EXPECT_EQ(log.sink->lines().back(), "[   abc][abc   ][  abc  ][ab]");
}

TEST(JsonLines, HaveTheContextAndAreJsonWhateverIsLogged) {
    sync_log log(json());
    run([](sync_log& to) -> lazy::task<> {
        request_id.set("r \"7\"");
        attempt.set(-3);
        ratio.set(0.5);
        level.set("a variable's");
        to.logger.warn("line one\nline\ttwo \x01\x7F \xC3\xA9 \xFF\xC0\xAF \xED\xA0\x80 \\ end");
        co_return;
    }(log));
    const nlohmann::json line = log.last();
    EXPECT_EQ(line["request_id"], "r \"7\"");
    EXPECT_EQ(line["attempt"], -3);
    EXPECT_EQ(line["ratio"], 0.5);
    EXPECT_EQ(line["level"], "warning");
    EXPECT_EQ(line["context.level"], "a variable's");
    EXPECT_EQ(line["logger"], "orders");
    EXPECT_TRUE(line["task"].is_string());
    const std::string bad = "\xEF\xBF\xBD";
    EXPECT_EQ(line["message"], "line one\nline\ttwo \x01\x7F \xC3\xA9 " + bad + bad + bad + ' ' +
                                   bad + bad + bad + " \\ end");
    EXPECT_EQ(log.sink->lines().back().find('\n'), std::string::npos);
    EXPECT_EQ(line["thread"], spdlog::details::os::thread_id());
}

TEST(JsonLines, TellTheTimeInUtc) {
    corodump::json_formatter format("");
    spdlog::details::log_msg line("orders", spdlog::level::info, "m");
    line.time = spdlog::log_clock::time_point(std::chrono::microseconds(1769860805000042));
    spdlog::memory_buf_t text;
    format.format(line, text);
    EXPECT_EQ(nlohmann::json::parse(std::string(text.data(), text.size()))["time"],
              "2026-01-31T12:00:05.000042Z");
}

TEST(JsonLines, HaveEachNameOnceAndOnlyTheChosenVariables) {
    auto chosen = json();
    chosen->with(request_id);
    const std::unique_ptr<spdlog::formatter> copy = chosen->clone();
    sync_log all(json()), some(copy->clone());
    const auto first = request_id.bind("first");
    const auto second = second_id.bind("second");
    const auto number = attempt.bind(1);
    all.logger.info("x");
    some.logger.info("x");
    EXPECT_EQ(all.last()["request_id"], "second");
    const std::string text = all.sink->lines().back();
    EXPECT_EQ(text.find("request_id"), text.rfind("request_id"));
    EXPECT_EQ(some.last()["request_id"], "first");
    EXPECT_FALSE(some.last().contains("attempt"));
    EXPECT_TRUE(all.last()["task"].is_null());
}

TEST(JsonLines, ShowWhatIsCut) {
    sync_log log(json());
    const auto bound = request_id.bind(std::string(94, 'x') + "\xC3\xA9\xC3\xA9");
    log.logger.info("x");
    EXPECT_EQ(log.last()["request_id"], std::string(94, 'x') + "…");
}

/// Logs, goes on to other contexts, and only then lets the other thread write.
TEST(AsyncLogger, WritesTheContextOfTheMomentOfLogging) {
    auto threads = std::make_shared<spdlog::details::thread_pool>(128, 1);
    auto slow = std::make_shared<gated_sink>(false);
    auto second = std::make_shared<gated_sink>();
    auto logger = std::make_shared<corodump::async_logger>(
        "orders", spdlog::sinks_init_list{slow, second}, threads);
    slow->set_formatter(flags("%k|%q|%w|%v"));
    second->set_formatter(json());
    synced::event go;
    std::string id;
    const auto handle = [&]() -> lazy::task<> {
        corodump::detail::task_text own{};
        corodump_task_text_v1(&own);
        id = own.id;
        request_id.set("first");
        logger->info("a");
        slow->await_arrival();
        request_id.set("second");
        attempt.set(9);
        logger->info("b {}", 1);
        co_await go;
        logger->info("c");
    };
    {
        auto task = handle();
        task.start();
        go.set();
        ASSERT_TRUE(task.done());
    }
    logger->info("outside");
    slow->open();
    logger.reset();
    threads.reset();  // waits for all that is queued
    EXPECT_EQ(slow->lines(), (std::vector<std::string>{id + "|first||a", id + "|second|9|b 1",
                                                       id + "|second|9|c", "|||outside"}));
    ASSERT_EQ(second->lines().size(), 4U);
    const auto line = nlohmann::json::parse(second->lines()[1]);
    EXPECT_EQ(line["request_id"], "second");
    EXPECT_EQ(line["attempt"], 9);
    EXPECT_EQ(line["message"], "b 1");
    EXPECT_EQ(line["task"], id);
}

TEST(AsyncLogger, FlushesClonesAndReportsErrorsAsSpdlogsDoes) {
    struct failing_sink final : spdlog::sinks::base_sink<std::mutex> {
        void sink_it_(const spdlog::details::log_msg&) override {
            throw std::runtime_error("disk full");
        }
        void flush_() override {}
    };
    auto threads = std::make_shared<spdlog::details::thread_pool>(128, 1);
    auto sink = std::make_shared<gated_sink>();
    auto of_errors = std::make_shared<gated_sink>();
    of_errors->set_level(spdlog::level::err);
    auto logger = std::make_shared<corodump::async_logger>(
        "orders", spdlog::sinks_init_list{std::make_shared<failing_sink>(), sink, of_errors},
        threads);
    std::vector<std::string> errors;
    logger->set_error_handler([&](const std::string& error) { errors.push_back(error); });
    logger->set_formatter(flags("%n|%q|%v"));
    logger->flush_on(spdlog::level::err);
    {
        const auto bound = request_id.bind("r");
        logger->error("flushed");
        auto other = logger->clone("clone");
        other->info("of the clone");
        other->flush();
    }
    logger.reset();
    threads.reset();
    EXPECT_EQ(sink->lines(),
              (std::vector<std::string>{"orders|r|flushed", "clone|r|of the clone"}));
    EXPECT_EQ(sink->flushes(), 2);
    EXPECT_EQ(of_errors->lines(), (std::vector<std::string>{"orders|r|flushed"}));
    EXPECT_EQ(errors, (std::vector<std::string>(2, "disk full")));
}

TEST(AsyncLogger, DropsTheOldestWhereItIsTold) {
    auto threads = std::make_shared<spdlog::details::thread_pool>(2, 1);
    auto sink = std::make_shared<gated_sink>(false);
    auto logger = std::make_shared<corodump::async_logger>(
        "orders", sink, threads, spdlog::async_overflow_policy::overrun_oldest);
    logger->set_formatter(flags("%q|%v"));
    logger->info("in the sink");
    sink->await_arrival();
    for (int i = 0; i < 5; ++i) {
        const auto bound = request_id.bind(std::to_string(i));
        logger->info("{}", i);
    }
    EXPECT_EQ(threads->overrun_counter(), 3U);
    sink->open();
    logger.reset();
    threads.reset();
    EXPECT_EQ(sink->lines(), (std::vector<std::string>{"|in the sink", "3|3", "4|4"}));
}

TEST(AsyncLogger, BacktraceHasNoContextRatherThanAWrongOne) {
    auto threads = std::make_shared<spdlog::details::thread_pool>(128, 1);
    auto sink = std::make_shared<gated_sink>();
    auto logger = std::make_shared<corodump::async_logger>("orders", sink, threads);
    logger->set_formatter(flags("%q|%v"));
    logger->enable_backtrace(4);
    {
        const auto bound = request_id.bind("then");
        logger->debug("a detail");
    }
    const auto bound = request_id.bind("now");
    logger->dump_backtrace();
    logger.reset();
    threads.reset();
    const std::vector<std::string> lines = sink->lines();
    ASSERT_EQ(lines.size(), 3U);
    EXPECT_EQ(lines[1], "|a detail");
}

TEST(SpdlogsOwnAsyncLogger, GetsNoContextRatherThanThatOfItsThread) {
    auto threads = std::make_shared<spdlog::details::thread_pool>(
        128, 1, [] { request_id.set("the worker's own"); });
    auto sink = std::make_shared<gated_sink>();
    auto logger = std::make_shared<spdlog::async_logger>("orders", sink, threads);
    logger->set_formatter(flags("%q|%v"));
    const auto bound = request_id.bind("r");
    logger->info("x");
    logger.reset();
    threads.reset();
    EXPECT_EQ(sink->lines(), (std::vector<std::string>{"|x"}));
}

TEST(AsyncFactory, MakesLoggersOfTheGlobalPool) {
    auto logger = corodump::async_factory::create<gated_sink>("made by the factory");
    auto sink = std::static_pointer_cast<gated_sink>(logger->sinks().front());
    sink->set_formatter(flags("%q|%v"));
    {
        const auto bound = request_id.bind("r");
        logger->info("x");
    }
    logger.reset();
    spdlog::details::registry::instance().shutdown();
    EXPECT_EQ(sink->lines(), (std::vector<std::string>{"r|x"}));
}

}  // namespace
