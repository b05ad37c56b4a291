// One line at error level for each failure that nobody got to see, written at the watchdog's tick:
// no thread of the host's waits for its own log.
//
// Threads: watchdog only, or after its end. Signals: unsafe. Blocks: never (see base/log.hpp).
// Bounds: 10 lines a second; the others come later, or are overwritten, and are in no log then.
#pragma once

#include "agent/base/config.hpp"

namespace corodump::runtime {

/// `redact`: as for labels, in messages.
void log_lost_failures(const base::redaction& redact) noexcept;

}  // namespace corodump::runtime
