// What the tests of failures ask of the agent: failures in a dump, and its log lines.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace support {

/// The newest failure whose message is this; null: none.
[[nodiscard]] nlohmann::json failure_with(const nlohmann::json& dump, std::string_view message);

/// The functions of an await chain without their namespaces, "outer > inner".
[[nodiscard]] std::string functions_of(const nlohmann::json& chain);

/// While it lives, what this process writes to stderr goes here.
class captured_log {
public:
    captured_log();
    captured_log(const captured_log&) = delete;
    captured_log& operator=(const captured_log&) = delete;
    ~captured_log();

    /// Waits for a line that holds `part`; false: none came in time.
    [[nodiscard]] bool comes(std::string_view part,
                             std::chrono::milliseconds within = std::chrono::seconds{20});
    /// How many lines that came by now hold it. The watchdog has ticked since the last failure if a
    /// line about a later one has come.
    [[nodiscard]] int count(std::string_view part) const;
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    int saved_ = -1;
    int ends_[2] = {-1, -1};
    std::string text_;
};

}  // namespace support
