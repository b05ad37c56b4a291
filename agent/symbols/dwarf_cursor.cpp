#include "agent/symbols/dwarf_cursor.hpp"

#include <cstddef>
#include <cstdint>

namespace corodump::symbols {
namespace {

// DW_EH_PE_*: the low half byte is the format, the next three bits what it is relative to.
enum format : std::uint8_t {
    format_pointer = 0x00,
    format_uleb = 0x01,
    format_u2 = 0x02,
    format_u4 = 0x03,
    format_u8 = 0x04,
    format_signed = 0x08,
    format_sleb = 0x09,
    format_s2 = 0x0a,
    format_s4 = 0x0b,
    format_s8 = 0x0c,
};
enum relation : std::uint8_t {
    absolute = 0x00,
    to_place = 0x10,
    to_text = 0x20,
    to_data = 0x30,
    to_function = 0x40,
    aligned = 0x50,
};

std::uint64_t extend(std::int64_t value) noexcept {
    return static_cast<std::uint64_t>(value);
}

}  // namespace

template <bool Signed>
std::uint64_t dwarf_cursor::leb() noexcept {
    std::uint64_t value = 0;
    unsigned shift = 0;
    std::uint8_t byte = 0;
    do {
        byte = u8();
        if (shift < 64) value |= std::uint64_t{byte & 0x7fU} << shift;
        shift += 7;
    } while ((byte & 0x80U) != 0);
    if (Signed && shift < 64 && (byte & 0x40U) != 0) value |= ~std::uint64_t{0} << shift;
    return value;
}

std::uint64_t dwarf_cursor::uleb() noexcept {
    return leb<false>();
}
std::int64_t dwarf_cursor::sleb() noexcept {
    return static_cast<std::int64_t>(leb<true>());
}

void dwarf_cursor::jump(std::int64_t distance) noexcept {
    const auto to = static_cast<std::int64_t>(at_) + distance;
    if (failed_ || to < 0 || static_cast<std::uint64_t>(to) > bytes_.size()) {
        failed_ = true;
        return;
    }
    at_ = static_cast<std::size_t>(to);
}

std::uint64_t dwarf_cursor::pointer_value(std::uint8_t encoding) noexcept {
    switch (encoding & 0x0fU) {
        case format_pointer:
        case format_u8:
        case format_signed:
        case format_s8:
            return fixed<std::uint64_t>();
        case format_uleb:
            return uleb();
        case format_sleb:
            return extend(sleb());
        case format_u2:
            return fixed<std::uint16_t>();
        case format_s2:
            return extend(fixed<std::int16_t>());
        case format_u4:
            return fixed<std::uint32_t>();
        case format_s4:
            return extend(fixed<std::int32_t>());
        default:
            failed_ = true;
            return 0;
    }
}

std::uint64_t dwarf_cursor::pointer(std::uint8_t encoding, const pointer_bases& bases) noexcept {
    if (encoding == pointer_absent || (encoding & pointer_indirect) != 0) {
        failed_ = true;
        return 0;
    }
    std::uint64_t base = 0;
    switch (encoding & 0x70U) {
        case absolute:
            return pointer_value(encoding);
        case aligned:
            skip((8 - address() % 8) % 8);
            return fixed<std::uint64_t>();
        case to_place:
            base = address();
            break;
        case to_text:
            base = bases.text;
            break;
        case to_data:
            base = bases.data;
            break;
        case to_function:
            base = bases.function;
            break;
        default:
            break;
    }
    if (base == 0) failed_ = true;
    const std::uint64_t value = pointer_value(encoding);
    return value == 0 || failed_ ? 0 : base + value;
}

}  // namespace corodump::symbols
