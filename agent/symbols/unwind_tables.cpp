#include "agent/symbols/unwind_tables.hpp"

#include <elf.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/symbols/cfi_program.hpp"
#include "agent/symbols/eh_frame.hpp"
#include "agent/symbols/elf_image.hpp"
#include "agent/symbols/module_map.hpp"
#include "agent/symbols/unwind_row.hpp"

namespace corodump::symbols {
namespace {

// A power of two, so that the slot of an address is a multiplication and a shift.
constexpr unsigned row_bits = 10;
constexpr std::size_t row_slots = std::size_t{1} << row_bits;
constexpr std::uint64_t golden = 0x9e3779b97f4a7c15;

// CIEs are some 30 bytes.
constexpr std::size_t max_cie_bytes = 1024;

std::size_t row_slot(std::uint64_t address) noexcept {
    return static_cast<std::size_t>(address * golden >> (64 - row_bits));
}

std::uint64_t relative(std::uint64_t to, std::int32_t distance) noexcept {
    return to + static_cast<std::uint64_t>(static_cast<std::int64_t>(distance));
}

}  // namespace

unwind_tables::unwind_tables(const module_map& map, base::arena& memory) noexcept
    : map_(map),
      images_(memory),
      tables_(memory.allocate_span<image_table>(map.modules.size())),
      fde_bytes_(memory.allocate_uninitialized<std::uint8_t>(max_entry_bytes)),
      cie_bytes_(memory.allocate_uninitialized<std::uint8_t>(max_cie_bytes)),
      row_tags_(memory.allocate_span<std::uint64_t>(row_slots)),
      rows_(memory.allocate_uninitialized<unwind_row>(row_slots)) {
    if (rows_.empty()) row_tags_ = {};
}

unwind_row* unwind_tables::row(std::uint64_t address) noexcept {
    if (row_tags_.empty() || address == 0) return nullptr;
    const std::size_t slot = row_slot(address);
    if (row_tags_[slot] == address) return &rows_[slot];
    row_tags_[slot] = 0;
    if (!make_row(address, rows_[slot])) return nullptr;
    row_tags_[slot] = address;
    return &rows_[slot];
}

bool unwind_tables::make_row(std::uint64_t address, unwind_row& into) noexcept {
    function_entry function;
    if (!find_function(address, function)) return false;
    cfi_program program(function);
    if (!program.advance_to(address) || !program.cfa().valid) return false;
    program.copy_row(into);
    return true;
}

bool unwind_tables::is_code(std::uint64_t address) const noexcept {
    const module_info* const image = map_.find(address);
    return image != nullptr && address >= image->text_start && address < image->text_end;
}

bool unwind_tables::find_function(std::uint64_t address, function_entry& into) noexcept {
    image_table* const table = table_of(address);
    if (table == nullptr) return false;
    if (table->state == table_state::scanned) return scan(*table, address, into);
    const std::uint64_t entry = search(*table, address);
    return entry != 0 && load(entry, table->end, into) && into.fde.contains(address);
}

unwind_tables::image_table* unwind_tables::table_of(std::uint64_t address) noexcept {
    if (last_module_ == nullptr || !last_module_->contains(address)) {
        last_module_ = map_.find(address);
    }
    if (last_module_ == nullptr || tables_.empty()) return nullptr;
    const auto index = static_cast<std::size_t>(last_module_ - map_.modules.data());
    image_table& table = tables_[index];
    if (table.state == table_state::unread) read_table(*last_module_, table);
    return table.state == table_state::none ? nullptr : &table;
}

void unwind_tables::read_table(const module_info& image, image_table& into) noexcept {
    into.state = table_state::none;
    into.end = image.end;
    elf_image elf;
    if (!image.has_bias || !elf.open_memory(image.start, image.end - image.start)) return;
    Elf64_Phdr segment;
    for (std::uint32_t i = 0; elf.program_header(i, segment); ++i) {
        if (segment.p_type != PT_GNU_EH_FRAME) continue;
        const std::uint64_t at = image.load_bias + segment.p_vaddr;
        std::uint8_t bytes[max_search_header];
        const std::size_t got = image.contains(at) ? images_.read_some(at, bytes) : 0;
        if (!parse_search_header({bytes, got}, at, into.search)) return;
        if (into.search.count != 0) {
            into.state = table_state::sorted;
        } else if (image.contains(into.search.eh_frame)) {
            into.state = table_state::scanned;
        }
        return;
    }
}

// The last entry that begins at or before the address; 0: none.
std::uint64_t unwind_tables::search(const image_table& table, std::uint64_t address) noexcept {
    const search_table& in = table.search;
    if (in.entries >= table.end) return 0;
    std::uint64_t low = 0;
    std::uint64_t high = std::min(in.count, (table.end - in.entries) / search_entry_bytes);
    std::int32_t found[2] = {};
    bool any = false;
    while (low < high) {
        const std::uint64_t middle = low + (high - low) / 2;
        std::int32_t pair[2];
        if (!images_.read(in.entries + middle * search_entry_bytes, pair, sizeof pair)) return 0;
        if (relative(in.header, pair[0]) <= address) {
            low = middle + 1;
            found[0] = pair[0];
            found[1] = pair[1];
            any = true;
        } else {
            high = middle;
        }
    }
    return any ? relative(in.header, found[1]) : 0;
}

bool unwind_tables::scan(const image_table& table, std::uint64_t address,
                         function_entry& into) noexcept {
    std::uint64_t at = table.search.eh_frame;
    for (std::size_t i = 0; i < max_scanned_entries && at < table.end; ++i) {
        std::uint8_t bytes[max_entry_header];
        entry_header header;
        const std::size_t got = images_.read_some(at, bytes);
        if (!parse_entry_header({bytes, got}, at, header) || header.terminator) return false;
        if (header.cie != 0 && load(at, table.end, into) && into.fde.contains(address)) return true;
        if (header.size > table.end - at) return false;
        at += header.size;
    }
    return false;
}

std::span<const std::uint8_t> unwind_tables::fetch(std::uint64_t entry, std::uint64_t limit,
                                                   std::span<std::uint8_t> buffer) noexcept {
    std::uint8_t bytes[max_entry_header];
    entry_header header;
    const std::size_t got = images_.read_some(entry, bytes);
    if (!parse_entry_header({bytes, got}, entry, header) || header.terminator) return {};
    if (entry >= limit || header.size > limit - entry || header.size > buffer.size()) return {};
    const std::span<std::uint8_t> whole = buffer.first(static_cast<std::size_t>(header.size));
    if (!images_.read(entry, whole.data(), whole.size())) return {};
    return whole;
}

bool unwind_tables::load(std::uint64_t entry, std::uint64_t limit, function_entry& into) noexcept {
    const std::span<const std::uint8_t> fde = fetch(entry, limit, fde_bytes_);
    entry_header header;
    if (fde.empty() || !parse_entry_header(fde, entry, header) || header.cie == 0) return false;
    const std::span<const std::uint8_t> cie = fetch(header.cie, limit, cie_bytes_);
    return !cie.empty() && parse_cie(cie, header.cie, into.cie) &&
           parse_fde(fde, entry, into.cie, into.fde);
}

}  // namespace corodump::symbols
