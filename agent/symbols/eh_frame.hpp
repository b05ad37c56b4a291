// The entries of .eh_frame and the header of its search table, parsed out of plain bytes.
//
// Called by the unwind tables with bytes copied out of an image; knows no process, so the fuzzer
// calls it as it is. The format is that of the LSB core specification, 10.6: CIEs (what is common
// to many functions) and FDEs (one for each contiguous piece of a function):
//
//   length │ id: 0 (CIE), or the distance back to the CIE │ fields │ CFI program │ padding
//
// Threads: any. Signals: safe. Blocks: never. Errors: false, and the result is not to be used.
// Bounds: the bytes given. Entries with an augmentation that is not understood are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/symbols/dwarf_cursor.hpp"

namespace corodump::symbols {

/// Length, extended length and id.
inline constexpr std::size_t max_entry_header = 20;

struct entry_header {
    std::uint64_t size = 0;     ///< of the whole entry
    std::uint64_t content = 0;  ///< offset of what follows the id
    std::uint64_t cie = 0;      ///< address; 0: this is one
    bool terminator = false;    ///< a length of 0, which ends the section
};

/// `bytes` may begin with more than the header.
[[nodiscard]] bool parse_entry_header(std::span<const std::uint8_t> bytes, std::uint64_t address,
                                      entry_header& into) noexcept;

struct cie_entry {
    std::uint64_t code_align = 0;
    std::int64_t data_align = 0;
    std::uint64_t return_register = 0;
    std::uint8_t pointer_encoding = 0;
    bool has_data = false;      ///< z: FDEs have augmentation data
    bool signal_frame = false;  ///< S
    std::span<const std::uint8_t> program;
    std::uint64_t program_address = 0;
};

struct fde_entry {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::span<const std::uint8_t> program;
    std::uint64_t program_address = 0;

    [[nodiscard]] bool contains(std::uint64_t address) const noexcept {
        return address >= begin && address < end;
    }
};

struct function_entry {
    cie_entry cie;
    fde_entry fde;
};

/// Both take the whole entry, header included; the programs are views of it.
[[nodiscard]] bool parse_cie(std::span<const std::uint8_t> entry, std::uint64_t address,
                             cie_entry& into) noexcept;
[[nodiscard]] bool parse_fde(std::span<const std::uint8_t> entry, std::uint64_t address,
                             const cie_entry& cie, fde_entry& into) noexcept;

/// .eh_frame_hdr: pairs of 32-bit distances from its own address, sorted by the first.
struct search_table {
    std::uint64_t header = 0;
    std::uint64_t eh_frame = 0;  ///< 0: not told
    std::uint64_t entries = 0;   ///< address of the first pair
    std::uint64_t count = 0;     ///< 0: no table, or one in a form that nobody writes
};
inline constexpr std::size_t max_search_header = 32;
inline constexpr std::size_t search_entry_bytes = 8;

[[nodiscard]] bool parse_search_header(std::span<const std::uint8_t> bytes, std::uint64_t address,
                                       search_table& into) noexcept;

}  // namespace corodump::symbols
