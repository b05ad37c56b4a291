#include "support_stalls.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "support_dump.hpp"

namespace support {
namespace {

using nlohmann::json;
using steady = std::chrono::steady_clock;

std::atomic<steady::rep> began{0};
std::atomic<bool> released{false};

void enter() {
    began.store(steady::now().time_since_epoch().count());
}

}  // namespace

corodump::options watchful() {
    corodump::options chosen;
    chosen.stall_threshold = threshold;
    return chosen;
}

json loop_of(const json& dump, std::string_view name) {
    for (const json& loop : dump.value("loops", json::array()))
        if (loop["name"] == name) return loop;
    ADD_FAILURE() << "no loop " << name;
    return json::object();
}

bool has_frame(const json& frames, std::string_view function) {
    for (const json& frame : frames)
        if (frame["function"].is_string() && frame["function"] == function) return true;
    return false;
}

log_lines::log_lines() {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    stderr_ = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    pipe_ = ends[0];
}

log_lines::~log_lines() {
    dup2(stderr_, STDERR_FILENO);
    while (read_some(std::chrono::milliseconds(0))) {
    }
    const auto ignored = write(stderr_, text_.data(), text_.size());
    static_cast<void>(ignored);
    close(stderr_);
    close(pipe_);
}

bool log_lines::read_some(std::chrono::milliseconds limit) {
    pollfd one{pipe_, POLLIN, 0};
    if (poll(&one, 1, static_cast<int>(limit.count())) <= 0) return false;
    char buffer[4096];
    const ssize_t got = read(pipe_, buffer, sizeof buffer);
    if (got > 0) text_.append(buffer, static_cast<std::size_t>(got));
    return got > 0;
}

std::optional<std::string> log_lines::await(std::string_view part,
                                            std::chrono::milliseconds limit) {
    const auto deadline = steady::now() + limit;
    for (;;) {
        for (std::size_t end; (end = text_.find('\n', passed_)) != std::string::npos;) {
            const std::string line = text_.substr(passed_, end - passed_);
            passed_ = end + 1;
            if (line.find(part) != std::string::npos) return line;
        }
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady::now());
        if (left.count() <= 0) return std::nullopt;
        read_some(left);
    }
}

const std::string& log_lines::text() {
    while (read_some(std::chrono::milliseconds(0))) {
    }
    return text_;
}

gate::gate() {
    EXPECT_EQ(pipe(ends), 0);
    began = 0;
    released = false;
}

gate::~gate() {
    close(ends[0]);
    close(ends[1]);
}

void gate::release() {
    released = true;
    EXPECT_EQ(write(ends[1], "", 1), 1);
}

std::chrono::milliseconds gate::blocked_for() const {
    while (began.load() == 0) std::this_thread::yield();
    return std::chrono::duration_cast<std::chrono::milliseconds>(
        steady::now() - steady::time_point(steady::duration(began.load())));
}

json dump_when_told(gate& at, log_lines& lines, std::string_view told, std::string_view function) {
    static_cast<void>(at.blocked_for());
    const auto line = lines.await(told, std::chrono::seconds{5});
    const auto after = at.blocked_for();
    json dump = dump_as_json();
    at.release();
    EXPECT_TRUE(line.has_value()) << "nothing was told of " << told;
    EXPECT_NE(line.value_or("").find(function), std::string::npos) << line.value_or("");
    EXPECT_GE(after, threshold);
    EXPECT_LE(after, latest);
    testing::Test::RecordProperty("detected_after_ms", static_cast<int>(after.count()));
    return dump;
}

}  // namespace support

[[gnu::noinline]] void slow_read(support::gate& at) {
    support::enter();
    char byte = 0;
    const auto got = read(at.ends[0], &byte, 1);
    EXPECT_EQ(got, 1);
}

[[gnu::noinline]] void slow_spin(support::gate&) {
    support::enter();
    while (!support::released.load()) {
    }
}
