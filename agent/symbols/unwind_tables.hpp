// The unwind tables (.eh_frame) of all images of a dump, and the rows found in them so far.
//
// Made once per dump over its module map, asked by the unwinder for each pc. The tables lie in the
// image's own memory, which its loader mapped anyway:
//
//   module ─> program headers ─> .eh_frame_hdr ──binary search──> FDE ─> CIE ──CFI program──> row
//                                 (sorted by pc)                                          cache <─┘
//
// Rejected: dl_iterate_phdr, under the loader's lock, which the host may hold for ever; loads from
// that memory, which may be dlclosed at any time; and mapping the files, which costs three system
// calls for each image and may give another file than the one loaded.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: null or false: no tables, or none
// that make sense. Bounds: 1 MiB of arena and some, taken in the constructor; a search is
// O(log n), or without a search table max_scanned_entries; one FDE has at most max_entry_bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/symbols/eh_frame.hpp"
#include "agent/symbols/image_memory.hpp"
#include "agent/symbols/module_map.hpp"
#include "agent/symbols/unwind_row.hpp"

namespace corodump::symbols {

inline constexpr std::size_t max_entry_bytes = std::size_t{1} << 16;
inline constexpr std::size_t max_scanned_entries = std::size_t{1} << 18;

class unwind_tables {
public:
    /// The map's modules and the arena's memory must outlive this object.
    unwind_tables(const module_map& map, base::arena& memory) noexcept;
    unwind_tables(const unwind_tables&) = delete;
    unwind_tables& operator=(const unwind_tables&) = delete;

    /// Valid until the next call. Null where there is none.
    [[nodiscard]] unwind_row* row(std::uint64_t address) noexcept;

    /// The entries that hold the address; their bytes are valid until the next call.
    [[nodiscard]] bool find_function(std::uint64_t address, function_entry& into) noexcept;

    [[nodiscard]] bool is_code(std::uint64_t address) const noexcept;
    /// Memory of the images: expressions and code.
    [[nodiscard]] image_memory& images() noexcept { return images_; }

private:
    enum class table_state : std::uint8_t { unread, none, sorted, scanned };
    struct image_table {
        table_state state = table_state::unread;
        search_table search;
        std::uint64_t end = 0;  // of the image
    };

    [[nodiscard]] image_table* table_of(std::uint64_t address) noexcept;
    void read_table(const module_info& image, image_table& into) noexcept;
    [[nodiscard]] std::uint64_t search(const image_table& table, std::uint64_t address) noexcept;
    [[nodiscard]] bool scan(const image_table& table, std::uint64_t address,
                            function_entry& into) noexcept;
    [[nodiscard]] bool load(std::uint64_t entry, std::uint64_t limit,
                            function_entry& into) noexcept;
    [[nodiscard]] std::span<const std::uint8_t> fetch(std::uint64_t entry, std::uint64_t limit,
                                                      std::span<std::uint8_t> buffer) noexcept;
    [[nodiscard]] bool make_row(std::uint64_t address, unwind_row& into) noexcept;

    module_map map_;
    image_memory images_;
    std::span<image_table> tables_;
    const module_info* last_module_ = nullptr;
    std::span<std::uint8_t> fde_bytes_;
    std::span<std::uint8_t> cie_bytes_;
    std::span<std::uint64_t> row_tags_;
    std::span<unwind_row> rows_;
};

}  // namespace corodump::symbols
