// Function names of addresses, from the symbol tables of the files themselves.
//
// dladdr sees neither local symbols (and a coroutine's parts are local) nor past the loader's lock.
// A table is one image's functions, sorted by address in the arena; the names stay in the file and
// are fetched one at a time:
//
//   file   .symtab ──filter functions──> arena: {address, size, name}[] sorted ──search──> .strtab
//
// .dynsym serves where .symtab is stripped.
//
// Threads: one owner. Signals: unsafe. Blocks: as the file system does. Errors: nothing found; a
// file that is not what was loaded (other build id) is refused. Bounds: 16 bytes of arena per
// function, max_symbols; building is O(n log n), a lookup O(log n) and one name.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "agent/base/arena.hpp"
#include "agent/base/result.hpp"
#include "agent/symbols/elf_image.hpp"
#include "agent/symbols/module_map.hpp"

namespace corodump::symbols {

inline constexpr std::uint64_t max_symbols = 8'000'000;
inline constexpr std::size_t max_symbol_name = 8192;

struct symbol {
    std::string_view name;  ///< raw; empty: none found
    std::uint64_t offset = 0;
};

class symbol_table {
public:
    /// ENOEXEC: no ELF file; ESTALE: another file than the one loaded; ENODATA: no symbols; ENOMEM:
    /// not all of them fit the arena, those that do are there.
    [[nodiscard]] base::result<void> open(const module_info& image, base::arena& memory) noexcept;
    /// The same for any file, `bias` being added to its addresses.
    [[nodiscard]] base::result<void> open_file(const char* path, std::uint64_t bias,
                                               base::arena& memory) noexcept;

    /// The function that holds the address. The name lies in `buffer`, cut at its end.
    [[nodiscard]] symbol find(std::uint64_t address, std::span<char> buffer) const noexcept;

    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

private:
    struct entry {
        std::uint64_t address;  // in the file
        std::uint32_t size;     // 0: unknown
        std::uint32_t name;
    };
    static_assert(sizeof(entry) == 16);

    [[nodiscard]] base::result<void> load(base::arena& memory) noexcept;
    [[nodiscard]] bool find_section(std::uint32_t type, Elf64_Shdr& table) const noexcept;
    [[nodiscard]] std::size_t count_functions(const Elf64_Shdr& table) const noexcept;
    template <class Visitor>
    void for_each_function(const Elf64_Shdr& table, Visitor visit) const noexcept;
    [[nodiscard]] const entry* find_entry(std::uint64_t address) const noexcept;

    elf_image image_;
    std::uint64_t bias_ = 0;
    std::uint64_t names_offset_ = 0;
    std::uint64_t names_size_ = 0;
    std::span<entry> entries_;
};

/// All images of the process: finds the one, opens its table on first use, and keeps it.
class symbolizer {
public:
    static constexpr std::size_t max_tables = 64;

    /// `map` and `memory` must outlive this; the tables lie in the arena, so it must not be rewound
    /// below them.
    symbolizer(const module_map& map, base::arena& memory) noexcept : map_(map), memory_(memory) {}

    [[nodiscard]] symbol find(std::uint64_t address, std::span<char> buffer) noexcept;
    /// Images whose table could not be opened or not wholly, or for which there was no place.
    [[nodiscard]] std::uint64_t failures() const noexcept { return failures_; }

private:
    struct slot {
        const module_info* image = nullptr;
        symbol_table table;
    };
    const module_map& map_;
    base::arena& memory_;
    std::size_t used_ = 0;
    std::uint64_t failures_ = 0;
    slot slots_[max_tables];
};

}  // namespace corodump::symbols
