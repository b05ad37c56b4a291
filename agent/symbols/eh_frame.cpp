#include "agent/symbols/eh_frame.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include "agent/symbols/dwarf_cursor.hpp"

namespace corodump::symbols {
namespace {

constexpr std::uint32_t extended_length = 0xffffffff;
constexpr std::size_t max_augmentation = 16;

// The fields that the augmentation's letters announce. `pointers` is what they may be relative to.
bool read_augmentation(dwarf_cursor& at, std::string_view letters, cie_entry& into) noexcept {
    if (letters.empty()) return true;
    if (letters[0] != 'z') return false;
    into.has_data = true;
    const std::uint64_t size = at.uleb();
    const std::uint64_t start = at.position();
    for (const char letter : letters.substr(1)) {
        if (letter == 'R') {
            into.pointer_encoding = at.u8();
        } else if (letter == 'P') {
            const std::uint8_t encoding = at.u8();
            (void)at.pointer_value(encoding);  // the personality routine is nobody's business here
        } else if (letter == 'L') {
            (void)at.u8();
        } else if (letter == 'S') {
            into.signal_frame = true;
        } else if (letter != 'B' && letter != 'G') {  // aarch64: which key signs, memory tags
            return false;
        }
    }
    const std::uint64_t read = at.position() - start;
    if (at.failed() || read > size) return false;
    at.skip(size - read);
    return true;
}

std::string_view read_letters(dwarf_cursor& at, char (&buffer)[max_augmentation]) noexcept {
    for (std::size_t i = 0; i < max_augmentation; ++i) {
        buffer[i] = static_cast<char>(at.u8());
        if (buffer[i] == '\0') return {buffer, i};
    }
    at.fail();
    return {};
}

}  // namespace

bool parse_entry_header(std::span<const std::uint8_t> bytes, std::uint64_t address,
                        entry_header& into) noexcept {
    into = {};
    dwarf_cursor at(bytes, address);
    std::uint64_t length = at.fixed<std::uint32_t>();
    if (at.failed()) return false;
    if (length == 0) {
        into.terminator = true;
        into.size = into.content = at.position();
        return true;
    }
    if (length == extended_length) length = at.fixed<std::uint64_t>();
    if (__builtin_add_overflow(length, at.position(), &into.size)) return false;
    // In .eh_frame the id has 4 bytes, also where the length is extended.
    const std::uint64_t id_address = at.address();
    const std::uint32_t id = at.fixed<std::uint32_t>();
    into.content = at.position();
    if (at.failed() || into.content > into.size) return false;
    into.cie = id == 0 ? 0 : id_address - id;
    return id == 0 || into.cie < address;
}

bool parse_cie(std::span<const std::uint8_t> entry, std::uint64_t address,
               cie_entry& into) noexcept {
    into = {};
    entry_header header;
    if (!parse_entry_header(entry, address, header) || header.terminator || header.cie != 0 ||
        header.size > entry.size()) {
        return false;
    }
    dwarf_cursor at(entry.first(static_cast<std::size_t>(header.size)), address);
    at.skip(header.content);
    const std::uint8_t version = at.u8();
    if (version != 1 && version != 3 && version != 4) return false;
    char buffer[max_augmentation];
    const std::string_view letters = read_letters(at, buffer);
    if (version == 4 && (at.u8() != sizeof(void*) || at.u8() != 0)) return false;
    into.code_align = at.uleb();
    into.data_align = at.sleb();
    into.return_register = version == 1 ? at.u8() : at.uleb();
    if (at.failed() || !read_augmentation(at, letters, into)) return false;
    into.program = at.rest();
    into.program_address = at.address();
    return !at.failed();
}

bool parse_fde(std::span<const std::uint8_t> entry, std::uint64_t address, const cie_entry& cie,
               fde_entry& into) noexcept {
    into = {};
    entry_header header;
    if (!parse_entry_header(entry, address, header) || header.terminator || header.cie == 0 ||
        header.size > entry.size()) {
        return false;
    }
    dwarf_cursor at(entry.first(static_cast<std::size_t>(header.size)), address);
    at.skip(header.content);
    into.begin = at.pointer(cie.pointer_encoding);
    const std::uint64_t size = at.pointer_value(cie.pointer_encoding);
    if (cie.has_data) at.skip(at.uleb());
    into.program = at.rest();
    into.program_address = at.address();
    return !at.failed() && into.begin != 0 && !__builtin_add_overflow(into.begin, size, &into.end);
}

bool parse_search_header(std::span<const std::uint8_t> bytes, std::uint64_t address,
                         search_table& into) noexcept {
    constexpr std::uint8_t written_by_linkers = 0x3b;  // 4 bytes, signed, relative to the header
    into = {};
    into.header = address;
    dwarf_cursor at(bytes.first(std::min(bytes.size(), max_search_header)), address);
    if (at.u8() != 1) return false;
    const std::uint8_t frame_encoding = at.u8();
    const std::uint8_t count_encoding = at.u8();
    const std::uint8_t table_encoding = at.u8();
    const pointer_bases bases{.data = address};
    if (frame_encoding != pointer_absent) into.eh_frame = at.pointer(frame_encoding, bases);
    if (at.failed()) return false;
    if (count_encoding == pointer_absent || table_encoding != written_by_linkers) return true;
    into.count = at.pointer(count_encoding, bases);
    into.entries = at.address();
    return !at.failed();
}

}  // namespace corodump::symbols
