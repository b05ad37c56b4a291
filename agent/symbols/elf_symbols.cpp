#include "agent/symbols/elf_symbols.hpp"

#include <sys/auxv.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace corodump::symbols {
namespace {

// Symbols per copy out of the image.
constexpr std::size_t batch_size = 512;

// Of symbols that overlap (aliases, parts inside others) so many before the nearest are looked at.
constexpr std::size_t max_steps_back = 16;

bool is_function(const Elf64_Sym& one) noexcept {
    const unsigned type = ELF64_ST_TYPE(one.st_info);
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && one.st_shndx != SHN_UNDEF &&
           one.st_value != 0 && one.st_name != 0;
}

}  // namespace

base::result<void> symbol_table::open(const module_info& image, base::arena& memory) noexcept {
    bias_ = image.load_bias;
    entries_ = {};
    if (!image.has_bias) return base::failure{ENOEXEC};
    if (image.path == "[vdso]") {
        const auto opened = image_.open_memory(image.start, image.end - image.start);
        return opened.ok() ? load(memory) : opened;
    }
    // This name leads to the very file, even when it was deleted or replaced. Only the executable
    // has one that needs no privileges (/proc/<pid>/map_files does).
    const bool is_executable = image.contains(::getauxval(AT_ENTRY));
    const auto opened =
        image_.open_file(is_executable ? "/proc/thread-self/exe" : image.path.data());
    if (!opened) return opened;
    if (image_.build_id().view() != image.build_id) {
        image_.close();
        return base::failure{ESTALE};
    }
    return load(memory);
}

base::result<void> symbol_table::open_file(const char* path, std::uint64_t bias,
                                           base::arena& memory) noexcept {
    bias_ = bias;
    entries_ = {};
    const auto opened = image_.open_file(path);
    return opened.ok() ? load(memory) : opened;
}

bool symbol_table::find_section(std::uint32_t type, Elf64_Shdr& table) const noexcept {
    for (std::uint32_t i = 0; i < image_.section_count(); ++i) {
        if (!image_.section(i, table)) return false;
        if (table.sh_type == type && table.sh_entsize == sizeof(Elf64_Sym)) return true;
    }
    return false;
}

template <class Visitor>
void symbol_table::for_each_function(const Elf64_Shdr& table, Visitor visit) const noexcept {
    Elf64_Sym batch[batch_size];
    const std::uint64_t end = std::min(table.sh_size / sizeof(Elf64_Sym), max_symbols);
    for (std::uint64_t at = 0; at < end;) {
        const std::uint64_t offset = table.sh_offset + at * sizeof(Elf64_Sym);
        const std::size_t count =
            static_cast<std::size_t>(std::min<std::uint64_t>(batch_size, end - at));
        if (!image_.read(offset, batch, count * sizeof(Elf64_Sym))) return;
        for (std::size_t i = 0; i < count; ++i) {
            if (is_function(batch[i]) && !visit(batch[i])) return;
        }
        at += count;
    }
}

std::size_t symbol_table::count_functions(const Elf64_Shdr& table) const noexcept {
    std::size_t count = 0;
    for_each_function(table, [&count](const Elf64_Sym&) { return ++count != 0; });
    return count;
}

base::result<void> symbol_table::load(base::arena& memory) noexcept {
    Elf64_Shdr table;
    std::size_t count = 0;
    for (const std::uint32_t type : {std::uint32_t{SHT_SYMTAB}, std::uint32_t{SHT_DYNSYM}}) {
        if (find_section(type, table)) count = count_functions(table);
        if (count != 0) break;
    }
    Elf64_Shdr names;
    if (count == 0 || !image_.section(table.sh_link, names) || names.sh_type != SHT_STRTAB) {
        return base::failure{ENODATA};
    }
    names_offset_ = names.sh_offset;
    names_size_ = names.sh_size;
    const std::size_t wanted = count;
    do {
        entries_ = memory.allocate_uninitialized<entry>(count);
    } while (entries_.empty() && (count /= 2) != 0);
    std::size_t used = 0;
    for_each_function(table, [this, &used](const Elf64_Sym& one) {
        if (used == entries_.size()) return false;
        const auto size =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(one.st_size, 0xffffffff));
        entries_[used++] = {one.st_value, size, one.st_name};
        return true;
    });
    entries_ = entries_.first(used);
    std::sort(entries_.begin(), entries_.end(), [](const entry& a, const entry& b) {
        return a.address != b.address ? a.address < b.address : a.size < b.size;
    });
    return used == wanted ? base::result<void>{} : base::failure{ENOMEM};
}

const symbol_table::entry* symbol_table::find_entry(std::uint64_t address) const noexcept {
    auto at = std::upper_bound(entries_.begin(), entries_.end(), address,
                               [](std::uint64_t a, const entry& one) { return a < one.address; });
    const auto behind = at;
    for (std::size_t steps = 0; steps < max_steps_back && at != entries_.begin(); ++steps) {
        --at;
        if (address - at->address < at->size) return &*at;
        // One of unknown size reaches to the next symbol.
        if (at->size == 0 && at->address == std::prev(behind)->address) return &*at;
    }
    return nullptr;
}

symbol symbol_table::find(std::uint64_t address, std::span<char> buffer) const noexcept {
    const entry* const found = find_entry(address - bias_);
    if (found == nullptr || found->name >= names_size_) return {};
    const std::uint64_t left = names_size_ - found->name;
    const std::size_t room = std::min(buffer.size(), max_symbol_name);
    std::size_t have = 0;
    // In pieces: most names are short, and the page behind may be missing.
    while (have < room && have < left) {
        const std::size_t piece =
            static_cast<std::size_t>(std::min<std::uint64_t>({256, room - have, left - have}));
        const std::size_t got =
            image_.read_some(names_offset_ + found->name + have, buffer.subspan(have, piece));
        const void* const end = std::memchr(buffer.data() + have, '\0', got);
        if (end != nullptr) {
            have = static_cast<std::size_t>(static_cast<const char*>(end) - buffer.data());
            break;
        }
        have += got;
        if (got < piece) break;
    }
    return {{buffer.data(), have}, address - bias_ - found->address};
}

symbol symbolizer::find(std::uint64_t address, std::span<char> buffer) noexcept {
    const module_info* const image = map_.find(address);
    if (image == nullptr) return {};
    for (std::size_t i = 0; i < used_; ++i) {
        if (slots_[i].image == image) return slots_[i].table.find(address, buffer);
    }
    if (used_ == max_tables) {
        ++failures_;
        return {};
    }
    slot& made = slots_[used_++];
    made.image = image;
    if (!made.table.open(*image, memory_)) ++failures_;
    return made.table.find(address, buffer);
}

}  // namespace corodump::symbols
