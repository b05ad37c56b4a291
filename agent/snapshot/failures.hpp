// Copies the failures and finished tasks into the snapshot's terms: names, redacted labels and
// messages, the native frames of throws.
//
// Threads: watchdog only. Signals: unsafe. Blocks: on the file system of the images, for throws.
// Errors: what the arena refuses is missing. Bounds: as sources/failures.hpp and finished.hpp.
#pragma once

#include <span>
#include <string_view>

#include "agent/base/arena.hpp"
#include "agent/model/failures.hpp"
#include "agent/snapshot/code_names.hpp"
#include "agent/snapshot/frame_details.hpp"
#include "agent/sources/failures.hpp"
#include "agent/sources/finished.hpp"

namespace corodump::snapshot {

class native_names;

/// `message` with the values of `name=value` and `name: value` hidden where the name is; a copy in
/// `out`, or itself. What does not fit is cut.
[[nodiscard]] std::string_view redact_message(std::string_view message, const redaction& redact,
                                              std::span<char> out) noexcept;

/// An exception's type from its mangled name (type_info::name), in `out` or as it was.
[[nodiscard]] std::string_view exception_type_name(std::string_view mangled,
                                                   std::span<char> out) noexcept;

class failure_copier {
public:
    failure_copier(base::arena& memory, code_names& code, const redaction& redact,
                   std::uint32_t now_tick, double seconds_per_tick) noexcept
        : memory_(memory),
          code_(code),
          redact_(redact),
          now_tick_(now_tick),
          seconds_per_tick_(seconds_per_tick) {}

    /// nullptr: nothing ever happened.
    [[nodiscard]] const model::failure_section* copy() noexcept;

private:
    [[nodiscard]] std::span<const model::failure> copy_failures() noexcept;
    [[nodiscard]] std::span<const model::finished_task> copy_finished() noexcept;
    [[nodiscard]] model::failure copy(const sources::failure_facts& from) noexcept;
    [[nodiscard]] model::finished_task copy(const sources::finished_facts& from) noexcept;
    [[nodiscard]] std::span<const model::native_frame> frames_of(std::uint32_t stack) noexcept;

    base::arena& memory_;
    code_names& code_;
    const redaction& redact_;
    std::uint32_t now_tick_;
    double seconds_per_tick_;
    native_names* names_ = nullptr;
};

}  // namespace corodump::snapshot
