// Reads the beacon of an agent (model/beacon.hpp) out of another process.
//
// Threads: one owner. Signals: unsafe. Blocks: up to 100 ms while the agent writes its beacon.
// Errors: trigger_error, thrown. Bounds: one page per mapping.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/cli/target_process.hpp"

namespace corodump::cli {

/// A beacon as it was at one moment. Strings are of the other process: print them escaped.
struct beacon_view {
    std::int32_t pid = 0, signal = 0, signal_tid = 0, watchdog_tid = 0, last_error = 0;
    std::uint64_t requests = 0, answered = 0, dumps = 0;
    std::string directory, last_path, last_error_text;
};

class beacon_reader {
public:
    /// Finds the beacon that `target` made itself. `has_agent` is false where there is none.
    explicit beacon_reader(const target_process& target, const process_status& status);

    [[nodiscard]] bool has_agent() const { return address_ != 0; }
    /// Why a beacon that is there does not count; empty otherwise.
    [[nodiscard]] const std::string& rejected() const { return rejected_; }
    [[nodiscard]] beacon_view read() const;
    /// The two counters alone, which need no agreement with the other fields.
    [[nodiscard]] std::uint64_t answered() const;
    [[nodiscard]] std::uint64_t requests() const;

private:
    [[nodiscard]] bool accept(std::uint64_t address, const process_status& status);
    [[nodiscard]] std::uint64_t word_at(std::size_t offset) const;

    const target_process& target_;
    std::uint64_t address_ = 0;
    std::string rejected_;
};

}  // namespace corodump::cli
