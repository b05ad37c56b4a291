// The executable images mapped into this process, from /proc/<tid>/maps.
//
// Read once per dump by the snapshot. dl_iterate_phdr knows the same, but under the loader's lock,
// which the host may hold for ever. Lines of the same file in a row are one image:
//
//   7f10-7f12 r--p 0000 /usr/lib/libx.so   start   header, build id
//   7f12-7f18 r-xp 2000 /usr/lib/libx.so           text_start .. text_end
//   7f18-7f1a r--p 8000 /usr/lib/libx.so
//   7f1a-7f1b rw-p a000 /usr/lib/libx.so   end
//
// Threads: one owner. Signals: unsafe. Blocks: on the process's mmap lock, for the time of a page
// fault. Errors: `error`, and what could be had. Bounds: max_modules (more are counted), any number
// of lines.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "agent/base/arena.hpp"

namespace corodump::symbols {

inline constexpr std::size_t max_modules = 4096;

struct module_info {
    std::string_view path;      ///< without the kernel's " (deleted)"; "[vdso]" for the vDSO
    std::string_view build_id;  ///< hex, empty: none or unreadable
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    std::uint64_t text_start = 0;  ///< of the executable mappings
    std::uint64_t text_end = 0;
    std::uint64_t load_bias = 0;    ///< address in memory minus address in the file
    std::uint64_t file_offset = 0;  ///< of `start`
    bool deleted = false;           ///< the file's name is gone, or names another file by now
    bool has_bias = false;

    [[nodiscard]] bool contains(std::uint64_t address) const noexcept {
        return address >= start && address < end;
    }
};

struct module_map {
    std::span<const module_info> modules;  ///< by address
    std::uint64_t dropped = 0;             ///< images over max_modules, or that the arena refused
    std::uint64_t unreadable = 0;          ///< lines that could not be understood
    int error = 0;                         ///< errno when the map could not be read to its end

    /// Null when no image holds the address. O(log n).
    [[nodiscard]] const module_info* find(std::uint64_t address) const noexcept;
    /// The image of the executable file: the one that holds the process's entry point.
    [[nodiscard]] const module_info* executable() const noexcept;
};

/// Everything found lies in the arena.
[[nodiscard]] module_map read_module_map(base::arena& memory) noexcept;

/// One line of a maps file, as proc(5) describes it.
struct mapping {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    std::uint64_t offset = 0;
    std::uint64_t inode = 0;
    std::string_view device;
    std::string_view path;  ///< as it stands there: with \012 and (deleted)
    bool executable = false;
};
[[nodiscard]] bool parse_mapping(std::string_view line, mapping& into) noexcept;

/// The same from the text of any maps file, in pieces as they come: feed() and then finish(). Build
/// ids and load biases are read from this process, so they are missing for another's text.
class module_map_builder {
public:
    explicit module_map_builder(base::arena& memory) noexcept;
    void feed(std::string_view piece) noexcept;
    [[nodiscard]] module_map finish() noexcept;

private:
    void line(std::string_view text) noexcept;
    void begin(const mapping& first) noexcept;
    void close_image() noexcept;
    [[nodiscard]] bool continues(const mapping& next) const noexcept;

    base::arena& memory_;
    std::span<module_info> modules_;
    std::size_t count_ = 0;
    module_map result_;
    // The image that is being put together.
    module_info open_{};
    std::uint64_t open_inode_ = 0;
    std::uint64_t last_offset_ = 0;
    std::uint64_t last_end_ = 0;  // of any mapping
    std::size_t path_size_ = 0;
    bool is_open_ = false;
    bool skipping_ = false;  // a line that is longer than the buffer
    std::size_t held_ = 0;
    char path_[4608];
    char line_[8192];
};

}  // namespace corodump::symbols
