// Logs one line from a coroutine, through spdlog's compiled library; fails unless it has the context.
#include <spdlog/sinks/ostream_sink.h>

#include <corodump/agent.hpp>
#include <corodump/context.hpp>
#include <corodump/spdlog.hpp>
#include <coroutine>
#include <exception>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>

namespace {

const corodump::context_variable<std::string> request_id("request_id");

struct fire {
    struct promise_type {
        fire get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() { std::terminate(); }
    };
};

fire serve(spdlog::logger& log) {
    request_id.set("r-1");
    log.info("served");
    co_return;
}

}  // namespace

int main() {
    const corodump::agent agent;
    std::ostringstream lines;
    {
        auto threads = std::make_shared<spdlog::details::thread_pool>(16, 1);
        auto log = std::make_shared<corodump::async_logger>(
            "service", std::make_shared<spdlog::sinks::ostream_sink_mt>(lines), threads);
        log->set_formatter(std::make_unique<corodump::json_formatter>());
        serve(*log);
    }
    std::cout << lines.str();
    return lines.str().find(R"("request_id":"r-1","message":"served")") == std::string::npos;
}
