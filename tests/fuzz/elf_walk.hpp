// Everything that a dump does with an image's bytes, done with any bytes.
//
// Shared by the fuzzer and by the unit test that truncates and damages a real file. The bytes are
// at once a file and the memory that it would be mapped to: the module map finds it, its symbols
// are looked up and cleaned, its unwind tables searched, and a stack unwound whose words are the
// bytes themselves, half of them bent into return addresses. Everything lies at one address, so
// that an input does the same each time.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string_view>

#include "agent/base/arena.hpp"
#include "agent/symbols/demangle.hpp"
#include "agent/symbols/elf_image.hpp"
#include "agent/symbols/elf_symbols.hpp"
#include "agent/symbols/module_map.hpp"
#include "agent/symbols/prologue.hpp"
#include "agent/symbols/unwind_tables.hpp"
#include "agent/symbols/unwinder.hpp"
#include "tests/fuzz/invariant.hpp"

namespace corodump::test {

/// Made once, used for many inputs.
class elf_walk {
public:
    static constexpr std::uint64_t start = 0x300000000000;
    static constexpr std::size_t max_bytes = 64 << 10;

    struct counts {
        std::uint64_t opened = 0;
        std::uint64_t symbols = 0;
        std::uint64_t functions = 0;
        std::uint64_t rows = 0;
        std::uint64_t frames = 0;
    };

    elf_walk() {
        constexpr int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
        void* const at =
            ::mmap(reinterpret_cast<void*>(start), max_bytes, PROT_READ | PROT_WRITE, how, -1, 0);
        must(at == reinterpret_cast<void*>(start));
        image_ = std::span(static_cast<std::uint8_t*>(at), max_bytes);
        file_ = ::memfd_create("corodump-elf-walk", MFD_CLOEXEC);
        must(file_ >= 0 && memory_.reserve(64 << 20).ok());
        std::snprintf(path_, sizeof path_, "/proc/self/fd/%d", file_);
    }
    ~elf_walk() {
        ::munmap(image_.data(), image_.size());
        ::close(file_);
    }
    elf_walk(const elf_walk&) = delete;
    elf_walk& operator=(const elf_walk&) = delete;

    counts run(std::span<const std::uint8_t> bytes) {
        counts_ = {};
        bytes_ = bytes.first(std::min(bytes.size(), max_bytes));
        if (bytes_.empty()) return counts_;
        place();
        const auto mark = memory_.mark();
        const symbols::module_map map = find_module();
        symbols_of_file();
        if (!map.modules.empty()) {
            names(map);
            unwind(map);
        }
        memory_.rewind(mark);
        return counts_;
    }

private:
    static constexpr std::size_t looks = 64;

    // The words of the bytes, round and round; even ones become addresses inside of the image.
    class byte_stack : public symbols::stack_memory {
    public:
        explicit byte_stack(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
        origin read(std::uint64_t address, std::uint64_t& into) noexcept override {
            if (bytes_.size() < sizeof into || address % 61 == 0) return origin::none;
            std::memcpy(&into, &bytes_[address % (bytes_.size() - sizeof into + 1)], sizeof into);
            if (into % 2 == 0) into = start + into % bytes_.size();
            return address % 59 == 0 ? origin::live : origin::copied;
        }

    private:
        std::span<const std::uint8_t> bytes_;
    };

    // What a file leaves of its last page reads as zeros.
    void place() {
        const std::size_t stale = std::max(bytes_.size(), placed_);
        std::memcpy(image_.data(), bytes_.data(), bytes_.size());
        std::memset(image_.data() + bytes_.size(), 0, stale - bytes_.size());
        placed_ = bytes_.size();
        must(::ftruncate(file_, 0) == 0);
        must(::pwrite(file_, bytes_.data(), bytes_.size(), 0) ==
             static_cast<ssize_t>(bytes_.size()));
    }

    [[nodiscard]] std::uint64_t end() const { return start + (bytes_.size() + 4095) / 4096 * 4096; }

    symbols::module_map find_module() {
        char line[128];
        const int size = std::snprintf(line, sizeof line, "%llx-%llx r-xp 00000000 00:01 7 %s\n",
                                       static_cast<unsigned long long>(start),
                                       static_cast<unsigned long long>(end()), path_);
        symbols::module_map_builder builder(memory_);
        builder.feed({line, static_cast<std::size_t>(size)});
        const symbols::module_map map = builder.finish();
        must(map.modules.size() == 1 && map.unreadable == 0);
        const symbols::module_info& image = map.modules[0];
        must(image.path == path_ && image.start == start && image.end == end());
        must(image.build_id.size() <= 128);
        counts_.opened += image.has_bias ? 1 : 0;
        return map;
    }

    void symbols_of_file() {
        symbols::symbol_table table;
        (void)table.open_file(path_, start, memory_);
        must(table.size() <= bytes_.size() / sizeof(Elf64_Sym));
        for (std::size_t i = 0; i < looks; ++i) name(table.find(look(i), raw_), raw_);
        char small[3];
        name(table.find(look(7), small), small);
    }

    void names(const symbols::module_map& map) {
        symbols::symbolizer all(map, memory_);
        for (std::size_t i = 0; i < looks; ++i) name(all.find(look(i), raw_), raw_);
        must(all.failures() <= 1);
    }

    void name(const symbols::symbol& found, std::span<const char> buffer) {
        if (found.name.empty()) return;
        ++counts_.symbols;
        must(found.name.data() == buffer.data() && found.name.size() <= buffer.size());
        must(found.name.find('\0') == std::string_view::npos);
        char clean[256];
        const std::string_view shown = symbols::clean_function_name(found.name, clean);
        const bool ours = shown.data() >= clean && shown.data() < clean + sizeof clean;
        must(shown.size() <= (ours ? sizeof clean : found.name.size()));
    }

    void unwind(const symbols::module_map& map) {
        symbols::unwind_tables tables(map, memory_);
        for (std::size_t i = 0; i < looks; ++i) {
            const std::uint64_t at = look(i);
            symbols::function_entry entry;
            if (tables.find_function(at, entry)) {
                must(entry.fde.contains(at));
                ++counts_.functions;
            }
            (void)symbols::follows_call(tables, at);
            symbols::unwind_row* const row = tables.row(at);
            if (row == nullptr) continue;
            must(row->cfa.valid && row->count < symbols::register_count);
            ++counts_.rows;
            stack(tables, at);
        }
    }

    void stack(symbols::unwind_tables& tables, std::uint64_t pc) {
        byte_stack memory(bytes_);
        symbols::native_frame frames[16];
        symbols::cpu_state from = symbols::cpu_state::from_syscall(pc ^ 0x7ff0, pc);
        for (int round = 0; round < 2; ++round) {
            const symbols::unwound result = symbols::unwinder(tables).unwind(from, memory, frames);
            must(result.frames != 0 && result.frames <= std::size(frames) && frames[0].pc == pc);
            counts_.frames += result.frames;
            for (unsigned i = 0; i < symbols::register_count; ++i) {
                if (!from.knows(i)) from.set(i, start + i * 8);
            }
        }
    }

    [[nodiscard]] std::uint64_t look(std::size_t i) const {
        return start + i * bytes_.size() / looks;
    }

    std::span<std::uint8_t> image_;
    std::span<const std::uint8_t> bytes_;
    std::size_t placed_ = 0;
    int file_ = -1;
    char path_[32] = {};
    char raw_[symbols::max_symbol_name] = {};
    base::arena memory_;
    counts counts_;
};

}  // namespace corodump::test
