#include "agent/symbols/module_map.hpp"

#include <sys/auxv.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/base/fd.hpp"
#include "agent/base/text.hpp"
#include "agent/symbols/elf_image.hpp"

namespace corodump::symbols {
namespace {

constexpr std::string_view deleted_mark = " (deleted)";

bool is_image_path(std::string_view path) noexcept {
    return !path.empty() && (path[0] == '/' || path == "[vdso]");
}

// The kernel writes a line break in a path as \012, and nothing else specially (seq_file's escape).
std::size_t unescape(std::string_view path, std::span<char> into) noexcept {
    base::text out(into);
    while (!path.empty()) {
        if (path.substr(0, 4) == "\\012") {
            out.append('\n');
            path.remove_prefix(4);
        } else {
            out.append(path[0]);
            path.remove_prefix(1);
        }
    }
    return out.size();
}

// Where the file says its first mapped byte belongs, against where it is.
void read_headers(module_info& image, base::arena& memory) noexcept {
    elf_image elf;
    char head[4096];
    if (image.file_offset != 0 || !elf.open_memory(image.start, image.end - image.start, head))
        return;
    image.build_id = memory.copy(elf.build_id(true).view());
    Elf64_Phdr segment;
    for (std::uint32_t i = 0; elf.program_header(i, segment); ++i) {
        if (segment.p_type != PT_LOAD) continue;
        // Address and offset are congruent modulo the page size, so this is right on any.
        image.load_bias = image.start - (segment.p_vaddr - segment.p_offset);
        image.has_bias = true;
        return;
    }
}

}  // namespace

bool parse_mapping(std::string_view line, mapping& into) noexcept {
    std::string_view range = base::split_off(line, ' ');
    const std::string_view start = base::split_off(range, '-');
    const std::string_view permissions = base::split_off(line, ' ');
    const std::string_view offset = base::split_off(line, ' ');
    into.device = base::split_off(line, ' ');
    const std::string_view inode = base::split_off(line, ' ');
    if (permissions.size() != 4 || !base::parse_hex(start, into.start) ||
        !base::parse_hex(range, into.end) || !base::parse_hex(offset, into.offset) ||
        !base::parse_unsigned(inode, into.inode) || into.end <= into.start) {
        return false;
    }
    into.executable = permissions[2] == 'x';
    // Filled with spaces up to a column; a path never begins with one.
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    into.path = line;
    return true;
}

module_map_builder::module_map_builder(base::arena& memory) noexcept : memory_(memory) {
    for (std::size_t count = max_modules; count >= 16 && modules_.empty(); count /= 4) {
        modules_ = memory_.allocate_uninitialized<module_info>(count);
    }
}

void module_map_builder::feed(std::string_view piece) noexcept {
    while (!piece.empty()) {
        const std::size_t end = piece.find('\n');
        const std::string_view part = piece.substr(0, end);
        piece.remove_prefix(end == std::string_view::npos ? piece.size() : end + 1);
        if (part.size() > sizeof line_ - held_) {
            skipping_ = true;
        } else {
            std::memcpy(line_ + held_, part.data(), part.size());
            held_ += part.size();
        }
        if (end == std::string_view::npos) return;
        if (skipping_) {
            ++result_.unreadable;
        } else {
            line({line_, held_});
        }
        held_ = 0;
        skipping_ = false;
    }
}

void module_map_builder::line(std::string_view text) noexcept {
    mapping next;
    // The kernel's never go back (Documentation/filesystems/proc.rst), and find() relies on that.
    if (!parse_mapping(text, next) || next.start < last_end_) {
        ++result_.unreadable;
        return;
    }
    last_end_ = next.end;
    // Memory without a file does not end an image: .bss lies between the mappings of some.
    if (!is_image_path(next.path)) return;
    if (!is_open_ || !continues(next)) {
        close_image();
        begin(next);
    }
    open_.end = next.end;
    last_offset_ = next.offset;
    if (next.executable) {
        if (open_.text_end == 0) open_.text_start = next.start;
        open_.text_end = next.end;
    }
}

// An image loaded twice (dlmopen) begins again at a lower offset.
bool module_map_builder::continues(const mapping& next) const noexcept {
    return next.inode == open_inode_ && next.offset >= last_offset_ &&
           next.path == std::string_view(path_, path_size_);
}

void module_map_builder::begin(const mapping& first) noexcept {
    open_ = module_info{};
    open_.start = first.start;
    open_.file_offset = first.offset;
    open_inode_ = first.inode;
    path_size_ = std::min(first.path.size(), sizeof path_);
    std::memcpy(path_, first.path.data(), path_size_);
    is_open_ = true;
}

void module_map_builder::close_image() noexcept {
    if (!is_open_) return;
    is_open_ = false;
    if (open_.text_end == 0) return;  // mapped data
    if (count_ == modules_.size()) {
        ++result_.dropped;
        return;
    }
    std::string_view path(path_, path_size_);
    open_.deleted = path.size() > deleted_mark.size() &&
                    path.substr(path.size() - deleted_mark.size()) == deleted_mark;
    if (open_.deleted) path.remove_suffix(deleted_mark.size());
    char plain[sizeof path_];
    open_.path = memory_.copy({plain, unescape(path, plain)});
    if (open_.path.empty()) {
        ++result_.dropped;
        return;
    }
    read_headers(open_, memory_);
    modules_[count_++] = open_;
}

module_map module_map_builder::finish() noexcept {
    if (held_ != 0 || skipping_) feed("\n");
    close_image();
    result_.modules = modules_.first(count_);
    return result_;
}

module_map read_module_map(base::arena& memory) noexcept {
    // /proc/self is the thread group's leader, which has no memory once main left by pthread_exit.
    const base::result<base::unique_fd> file = base::open_file("/proc/thread-self/maps");
    if (!file) {
        module_map failed;
        failed.error = file.error();
        return failed;
    }
    module_map_builder builder(memory);
    char buffer[4096];
    int error = 0;
    for (;;) {
        const base::result<std::size_t> got = base::read_some(file->get(), buffer);
        error = got.error();
        if (!got || *got == 0) break;
        builder.feed({buffer, *got});
    }
    module_map all = builder.finish();
    all.error = error;
    return all;
}

const module_info* module_map::find(std::uint64_t address) const noexcept {
    const auto after =
        std::upper_bound(modules.begin(), modules.end(), address,
                         [](std::uint64_t at, const module_info& one) { return at < one.start; });
    if (after == modules.begin()) return nullptr;
    const module_info& before = *std::prev(after);
    return before.contains(address) ? &before : nullptr;
}

const module_info* module_map::executable() const noexcept {
    return find(::getauxval(AT_ENTRY));
}

}  // namespace corodump::symbols
