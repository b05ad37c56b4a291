#include "support_failures.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

namespace support {

nlohmann::json failure_with(const nlohmann::json& dump, std::string_view message) {
    if (!dump.contains("failures")) return {};
    const auto& failures = dump["failures"];
    for (auto at = failures.rbegin(); at != failures.rend(); ++at)
        if ((*at)["message"] == message) return *at;
    return {};
}

std::string functions_of(const nlohmann::json& chain) {
    std::string text;
    for (const auto& frame : chain) {
        const std::string name =
            frame["function"].is_string() ? frame["function"].get<std::string>() : "?";
        text.append(text.empty() ? "" : " > ").append(name.substr(name.rfind(':') + 1));
    }
    return text;
}

captured_log::captured_log() : saved_(dup(STDERR_FILENO)) {
    EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0);
    dup2(ends_[1], STDERR_FILENO);
}

captured_log::~captured_log() {
    dup2(saved_, STDERR_FILENO);
    for (const int one : {saved_, ends_[0], ends_[1]}) close(one);
}

bool captured_log::comes(std::string_view part, std::chrono::milliseconds within) {
    const auto deadline = std::chrono::steady_clock::now() + within;
    while (text_.find(part) == std::string::npos) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        pollfd event{ends_[0], POLLIN, 0};
        if (left.count() <= 0 || poll(&event, 1, static_cast<int>(left.count())) != 1) return false;
        char buffer[4096];
        const auto bytes = read(ends_[0], buffer, sizeof buffer);
        if (bytes <= 0) return false;
        text_.append(buffer, static_cast<std::size_t>(bytes));
    }
    return true;
}

int captured_log::count(std::string_view part) const {
    int found = 0;
    for (std::size_t at = text_.find(part); at != std::string::npos; at = text_.find(part, at + 1))
        ++found;
    return found;
}

}  // namespace support
