#include "agent/sources/value_reader.hpp"

#include <algorithm>
#include <charconv>
#include <corodump/detail/abi.hpp>
#include <cstring>

#include "agent/base/safe_copy.hpp"
#include "agent/sources/frame_memory.hpp"

namespace corodump::sources {
namespace {

using detail::value_kind;

struct words {
    std::uint64_t at[4] = {};
};

bool fetch(std::uint64_t address, std::size_t bytes, words& to) noexcept {
    return bytes <= sizeof to.at && read_bytes(address, to.at, bytes);
}

value_outcome show_signed(std::uint64_t raw, std::uint8_t bytes, base::text& to) noexcept {
    const unsigned shift = 64U - 8U * bytes;
    to.decimal_signed(static_cast<std::int64_t>(raw << shift) >> shift);
    return value_outcome::literal;
}

value_outcome show_floating(std::uint64_t raw, std::uint8_t bytes, base::text& to) noexcept {
    double value = 0;
    if (bytes == sizeof(float)) {
        float narrow = 0;
        std::memcpy(&narrow, &raw, sizeof narrow);
        value = static_cast<double>(narrow);
    } else {
        std::memcpy(&value, &raw, sizeof value);
    }
    char digits[32];
    // Shortest round-trip form by table look-up: no locale, no allocation.
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
    if (error != std::errc{}) return value_outcome::unreadable;
    to.append({digits, static_cast<std::size_t>(end - digits)});
    // NaN and infinities are no JSON numbers.
    return value == value && value - value == 0 ? value_outcome::literal : value_outcome::text;
}

value_outcome show_text(std::uint64_t data, std::uint64_t bytes, std::size_t limit,
                        base::text& to) noexcept {
    if (bytes > (std::uint64_t{1} << 40U)) return value_outcome::unreadable;
    return read_text(data, bytes, limit, to) ? value_outcome::text : value_outcome::unreadable;
}

/// libc++: the low bit of the first byte tells a long string {capacity, size, data}; a short one is
/// {size * 2, bytes}. (https://libcxx.llvm.org/DesignDocs, little endian, default layout)
value_outcome show_libcxx(std::uint64_t address, const words& raw, std::size_t limit,
                          base::text& to) noexcept {
    if ((raw.at[0] & 1U) != 0) return show_text(raw.at[2], raw.at[1], limit, to);
    return show_text(address + 1, (raw.at[0] & 0xffU) >> 1U, limit, to);
}

value_outcome show_number(value_shape shape, std::uint64_t raw, base::text& to) noexcept {
    switch (static_cast<value_kind>(shape.kind)) {
        case value_kind::boolean:
            to.append((raw & 0xffU) != 0 ? "true" : "false");
            return value_outcome::literal;
        case value_kind::character:
            to.append(static_cast<char>(raw));
            return value_outcome::text;
        case value_kind::signed_integer:
            return show_signed(raw, shape.size_bytes, to);
        case value_kind::unsigned_integer:
            to.decimal(raw);
            return value_outcome::literal;
        case value_kind::floating:
            return show_floating(raw, shape.size_bytes, to);
        default:
            to.append("0x").hex(raw);
            return value_outcome::text;
    }
}

}  // namespace

bool read_text(std::uint64_t address, std::size_t bytes, std::size_t limit,
               base::text& to) noexcept {
    char buffer[max_string_bytes];
    const std::size_t wanted = std::min(bytes, limit);
    for (std::size_t done = 0; done < wanted; done += sizeof buffer) {
        const std::size_t piece = std::min(wanted - done, sizeof buffer);
        if (!read_bytes(address + done, buffer, piece)) return false;
        to.append({buffer, piece});
    }
    if (wanted < bytes) to.append("\xE2\x80\xA6 +").decimal(bytes - wanted).append(" bytes");
    return true;
}

bool read_c_string(std::uint64_t address, std::size_t limit, base::text& to) noexcept {
    char buffer[max_string_bytes];
    const std::size_t copied = base::safe_copy(buffer, address, std::min(limit, sizeof buffer));
    if (copied == 0) return false;
    const void* const end = std::memchr(buffer, '\0', copied);
    const std::size_t bytes =
        end == nullptr ? copied : static_cast<std::size_t>(static_cast<const char*>(end) - buffer);
    to.append({buffer, bytes});
    if (end == nullptr) to.append("\xE2\x80\xA6");
    return true;
}

value_outcome read_value(value_shape shape, std::uint64_t address, std::size_t limit,
                         base::text& to) noexcept {
    limit = std::min(limit, max_string_bytes);
    const auto kind = static_cast<value_kind>(shape.kind);
    // A watch notes no address where to_string threw.
    if (kind == value_kind::text)
        return address == 0 ? value_outcome::unreadable
                            : show_text(address, shape.text_bytes, limit, to);
    words raw;
    const std::size_t bytes = kind == value_kind::string_libcxx      ? 24
                              : kind == value_kind::string_libstdcxx ? 16
                              : kind == value_kind::c_string         ? 8
                                                                     : shape.size_bytes;
    if (bytes == 0 || !fetch(address, bytes, raw)) return value_outcome::unreadable;
    switch (kind) {
        case value_kind::none:
            return value_outcome::unreadable;
        case value_kind::string_libstdcxx:
            return show_text(raw.at[0], raw.at[1], limit, to);
        case value_kind::string_libcxx:
            return show_libcxx(address, raw, limit, to);
        case value_kind::string_view_libstdcxx:
            return show_text(raw.at[1], raw.at[0], limit, to);
        case value_kind::string_view_libcxx:
            return show_text(raw.at[0], raw.at[1], limit, to);
        case value_kind::c_string:
            return read_c_string(raw.at[0], limit, to) ? value_outcome::text
                                                       : value_outcome::unreadable;
        default:
            return show_number(shape, raw.at[0], to);
    }
}

}  // namespace corodump::sources
