// The name of an asynchronous operation from the type that initiates it, as I/O libraries of Asio's
// kind spell it: `boost::asio::basic_waitable_timer<...>::initiate_async_wait` is
// `boost::asio::steady_timer::async_wait`.
//
// Threads: any. Signals: safe. Blocks: never. Bounds: the caller's buffer.
#pragma once

#include <span>
#include <string_view>

namespace corodump::snapshot {

/// Empty when `type` names no initiation. The result is in `out`.
[[nodiscard]] std::string_view operation_name(std::string_view type, std::span<char> out) noexcept;

}  // namespace corodump::snapshot
