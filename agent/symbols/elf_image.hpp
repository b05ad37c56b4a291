// The bytes of an ELF file, wherever they are, read so that nothing they say can do harm.
//
// A file can be truncated, replaced or plainly hostile while we look at it. So it is mapped
// read-only, its descriptor closed at once (the host may close every descriptor it does not know),
// and every byte fetched by safe_copy: beyond a new end of the file a copy is short where a load
// would be SIGBUS. Rejected: pread into the arena (symbol names of large binaries are tens of
// megabytes, of which a dump needs a few hundred bytes), and loads from the mapping after checking
// st_size (a race). An image that is mapped as a whole already, such as the vDSO, is read where it
// lies.
//
// Threads: one owner. Signals: unsafe. Blocks: as the file system does. Errors: false, nothing
// read. Bounds: 64-bit ELF of this machine's byte order; max_program_headers, max_sections.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "agent/base/fixed_string.hpp"
#include "agent/base/result.hpp"

namespace corodump::symbols {

inline constexpr std::uint32_t max_program_headers = 256;
inline constexpr std::uint32_t max_sections = 1U << 20;

/// Hexadecimal; build ids have 20 bytes, rarely 8, 16 or 32.
using build_id_text = base::fixed_string<128>;

class elf_image {
public:
    elf_image() noexcept = default;
    ~elf_image() { close(); }
    elf_image(elf_image&& other) noexcept { swap(other); }
    elf_image& operator=(elf_image&& other) noexcept {
        swap(other);
        return *this;
    }
    elf_image(const elf_image&) = delete;
    elf_image& operator=(const elf_image&) = delete;

    /// Maps a file. ENOEXEC when it is no ELF file that this can read.
    [[nodiscard]] base::result<void> open_file(const char* path) noexcept;
    /// Reads an image in this process at `address`, of which `size` bytes may be there. What fits
    /// is first copied to `head`, all at once: headers and notes are mostly in the first page.
    [[nodiscard]] base::result<void> open_memory(std::uint64_t address, std::uint64_t size,
                                                 std::span<char> head = {}) noexcept;
    void close() noexcept;

    [[nodiscard]] const Elf64_Ehdr& header() const noexcept { return header_; }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

    /// Exactly `size` bytes, all of them inside the image.
    [[nodiscard]] bool read(std::uint64_t offset, void* into, std::size_t size) const noexcept;
    /// As many as there are, from the front.
    [[nodiscard]] std::size_t read_some(std::uint64_t offset, std::span<char> into) const noexcept;
    template <class T>
    [[nodiscard]] bool read(std::uint64_t offset, T& into) const noexcept {
        return read(offset, &into, sizeof(T));
    }

    [[nodiscard]] bool program_header(std::uint32_t index, Elf64_Phdr& into) const noexcept;
    [[nodiscard]] std::uint32_t section_count() const noexcept { return section_count_; }
    [[nodiscard]] bool section(std::uint32_t index, Elf64_Shdr& into) const noexcept;

    /// From the PT_NOTE segments. `by_address`: the image lies in memory as its segments say, so
    /// they are at their virtual address, relative to the first one, and not at their file offset.
    [[nodiscard]] build_id_text build_id(bool by_address = false) const noexcept;

private:
    void swap(elf_image& other) noexcept;
    [[nodiscard]] base::result<void> read_header() noexcept;
    void count_sections() noexcept;

    std::uint64_t base_ = 0;
    std::uint64_t size_ = 0;
    std::span<const char> head_;  // a copy of the first bytes
    bool mapped_ = false;         // by us
    std::uint32_t section_count_ = 0;
    Elf64_Ehdr header_{};
};

}  // namespace corodump::symbols
