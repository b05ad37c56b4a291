// What the stall tests share: the agent's log lines as they come, and handlers that block until the
// test lets them go.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace support {

/// Takes what is written to stderr while it lives; hands it on when it ends.
class log_lines {
public:
    log_lines();
    log_lines(const log_lines&) = delete;
    log_lines& operator=(const log_lines&) = delete;
    ~log_lines();

    /// The next line that holds `part`, or none within the time.
    [[nodiscard]] std::optional<std::string> await(std::string_view part,
                                                   std::chrono::milliseconds limit);
    /// All that came so far.
    [[nodiscard]] const std::string& text();

private:
    bool read_some(std::chrono::milliseconds limit);

    int stderr_ = -1;
    int pipe_ = -1;
    std::string text_;
    std::size_t passed_ = 0;
};

/// A thread is in slow_read() until release() is called, and says since when.
class gate {
public:
    gate();
    gate(const gate&) = delete;
    gate& operator=(const gate&) = delete;
    ~gate();

    void release();
    /// Since slow_read or slow_spin began; waits for that.
    [[nodiscard]] std::chrono::milliseconds blocked_for() const;

    int ends[2] = {-1, -1};
};

}  // namespace support

/// Blocks in read(2), or uses a processor, until the gate is released. Not in a namespace: their
/// names are looked for in stacks.
void slow_read(support::gate& at);
void slow_spin(support::gate& at);
