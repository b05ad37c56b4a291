// What the stall tests share: the threshold, the agent's log lines as they come, handlers that block
// until the test lets them go, and the dump that is taken meanwhile.
#pragma once

#include <chrono>
#include <corodump/agent.hpp>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace support {

/// When a stall is told of. Large enough that half of it is more than a busy machine's delays.
inline constexpr std::chrono::milliseconds threshold{200};
inline constexpr auto latest = threshold + threshold / 2;

/// Options of an agent that tells of stalls after the threshold.
[[nodiscard]] corodump::options watchful();
/// The loop of this name; fails the test if there is none.
[[nodiscard]] nlohmann::json loop_of(const nlohmann::json& dump, std::string_view name);
[[nodiscard]] bool has_frame(const nlohmann::json& frames, std::string_view function);

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

/// Waits until what blocks at the gate is told of in time, in a line that holds `told` and names
/// `function`; takes a dump, and lets it go.
[[nodiscard]] nlohmann::json dump_when_told(gate& at, log_lines& lines, std::string_view told,
                                            std::string_view function);

}  // namespace support

/// Blocks in read(2), or uses a processor, until the gate is released. Not in a namespace: their
/// names are looked for in stacks.
void slow_read(support::gate& at);
void slow_spin(support::gate& at);
