#include "agent/symbols/elf_image.hpp"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "agent/base/fd.hpp"
#include "agent/base/safe_copy.hpp"
#include "agent/base/text.hpp"

namespace corodump::symbols {
namespace {

constexpr unsigned char native_order =
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;

// More notes than this are not looked at: linkers put the build id first or nearly so.
constexpr std::size_t notes_size = 4096;

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t to) noexcept {
    return (value + to - 1) / to * to;
}

// Notes: a header, the owner's name, the description, each padded to 4 bytes (to 8 in a segment
// aligned so, as for GNU properties).
bool find_build_id(std::span<const char> notes, std::uint64_t alignment,
                   build_id_text& into) noexcept {
    const std::uint64_t step = alignment == 8 ? 8 : 4;
    std::uint64_t at = 0;
    while (at + sizeof(Elf64_Nhdr) <= notes.size()) {
        Elf64_Nhdr note;
        std::memcpy(&note, notes.data() + at, sizeof note);
        const std::uint64_t name = at + sizeof note;
        const std::uint64_t bytes = align_up(name + note.n_namesz, step);
        if (bytes + note.n_descsz > notes.size()) return false;
        const bool gnu = note.n_namesz == 4 && std::memcmp(notes.data() + name, "GNU", 4) == 0;
        if (gnu && note.n_type == NT_GNU_BUILD_ID && note.n_descsz != 0) {
            base::text out(into.storage());
            for (std::uint64_t i = 0; i < note.n_descsz; ++i) {
                out.hex(static_cast<unsigned char>(notes[bytes + i]), 2);
            }
            into.resize(out.size());
            return true;
        }
        at = align_up(bytes + note.n_descsz, step);
    }
    return false;
}

}  // namespace

void elf_image::swap(elf_image& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(size_, other.size_);
    std::swap(head_, other.head_);
    std::swap(mapped_, other.mapped_);
    std::swap(section_count_, other.section_count_);
    std::swap(header_, other.header_);
}

void elf_image::close() noexcept {
    if (mapped_) ::munmap(reinterpret_cast<void*>(base_), size_);
    base_ = size_ = 0;
    head_ = {};
    mapped_ = false;
    section_count_ = 0;
}

base::result<void> elf_image::open_file(const char* path) noexcept {
    close();
    // Not blocking on a FIFO that somebody put in the file's place.
    const base::result<base::unique_fd> file =
        base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (!file) return base::failure{file.error()};
    struct stat facts{};
    if (::fstat(file->get(), &facts) != 0) return base::failure{errno};
    if (!S_ISREG(facts.st_mode) || facts.st_size <= 0) return base::failure{ENOEXEC};
    const auto size = static_cast<std::uint64_t>(facts.st_size);
    void* const at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file->get(), 0);
    if (at == MAP_FAILED) return base::failure{errno};
    base_ = reinterpret_cast<std::uint64_t>(at);
    size_ = size;
    mapped_ = true;
    return read_header();
}

base::result<void> elf_image::open_memory(std::uint64_t address, std::uint64_t size,
                                          std::span<char> head) noexcept {
    close();
    base_ = address;
    size_ = size;
    if (!head.empty()) head_ = head.first(read_some(0, head));
    return read_header();
}

base::result<void> elf_image::read_header() noexcept {
    const bool good = read(0, header_) && std::memcmp(header_.e_ident, ELFMAG, SELFMAG) == 0 &&
                      header_.e_ident[EI_CLASS] == ELFCLASS64 &&
                      header_.e_ident[EI_DATA] == native_order &&
                      (header_.e_type == ET_EXEC || header_.e_type == ET_DYN);
    if (!good) {
        close();
        return base::failure{ENOEXEC};
    }
    count_sections();
    return {};
}

// From 65,280 sections on their number stands in the first one (gABI, e_shnum).
void elf_image::count_sections() noexcept {
    section_count_ = 0;
    if (header_.e_shoff == 0 || header_.e_shentsize != sizeof(Elf64_Shdr)) return;
    std::uint64_t count = header_.e_shnum;
    Elf64_Shdr first;
    if (count == 0) {
        if (!read(header_.e_shoff, first)) return;
        count = first.sh_size;
    }
    section_count_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(count, max_sections));
}

bool elf_image::read(std::uint64_t offset, void* into, std::size_t size) const noexcept {
    if (offset > size_ || size > size_ - offset) return false;
    if (offset <= head_.size() && size <= head_.size() - offset) {
        std::memcpy(into, head_.data() + offset, size);
        return true;
    }
    return base::safe_copy(into, base_ + offset, size) == size;
}

std::size_t elf_image::read_some(std::uint64_t offset, std::span<char> into) const noexcept {
    // Nothing is no copy: there may be no head to copy it from.
    if (offset >= size_ || into.empty()) return 0;
    const auto wanted =
        static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), size_ - offset));
    if (offset <= head_.size() && wanted <= head_.size() - offset) {
        std::memcpy(into.data(), head_.data() + offset, wanted);
        return wanted;
    }
    return base::safe_copy(into.data(), base_ + offset, wanted);
}

bool elf_image::program_header(std::uint32_t index, Elf64_Phdr& into) const noexcept {
    if (header_.e_phentsize != sizeof(Elf64_Phdr)) return false;
    if (index >= header_.e_phnum || index >= max_program_headers) return false;
    std::uint64_t at = 0;
    return !__builtin_add_overflow(header_.e_phoff, index * sizeof(Elf64_Phdr), &at) &&
           read(at, into);
}

bool elf_image::section(std::uint32_t index, Elf64_Shdr& into) const noexcept {
    std::uint64_t at = 0;
    return index < section_count_ &&
           !__builtin_add_overflow(header_.e_shoff, index * sizeof(Elf64_Shdr), &at) &&
           read(at, into);
}

build_id_text elf_image::build_id(bool by_address) const noexcept {
    build_id_text found;
    std::uint64_t first_address = 0;
    bool loaded = false;
    Elf64_Phdr segment;
    for (std::uint32_t i = 0; program_header(i, segment); ++i) {
        if (segment.p_type == PT_LOAD && !loaded) {
            first_address = segment.p_vaddr - segment.p_offset;
            loaded = true;
        }
        if (segment.p_type != PT_NOTE) continue;
        alignas(8) char notes[notes_size];
        const std::uint64_t at = by_address ? segment.p_vaddr - first_address : segment.p_offset;
        const std::size_t want =
            static_cast<std::size_t>(std::min<std::uint64_t>(segment.p_filesz, notes_size));
        const std::size_t got = read_some(at, std::span(notes, want));
        if (find_build_id({notes, got}, segment.p_align, found)) break;
    }
    return found;
}

}  // namespace corodump::symbols
