// Everything that the unwinder does with bytes it did not write, done with any bytes.
//
// Shared by the fuzzer and by the unit tests that truncate and damage real tables. The bytes are
// taken as .eh_frame: entry by entry, each function's program run row by row, each expression
// evaluated over the bytes themselves as memory; then as the header of a search table, and as code.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "agent/symbols/cfi_program.hpp"
#include "agent/symbols/dwarf_expression.hpp"
#include "agent/symbols/eh_frame.hpp"
#include "agent/symbols/x86_instruction.hpp"

namespace corodump::test {

class eh_frame_walk {
public:
    struct counts {
        std::uint64_t entries = 0;
        std::uint64_t functions = 0;
        std::uint64_t rows = 0;
        std::uint64_t expressions = 0;
        std::uint64_t instructions = 0;
    };

    /// `address`: where the bytes are, or claim to be.
    eh_frame_walk(std::span<const std::uint8_t> bytes, std::uint64_t address)
        : bytes_(bytes), address_(address), memory_(bytes, address) {}

    counts run() {
        entries();
        symbols::search_table table;
        (void)symbols::parse_search_header(bytes_, address_, table);
        code();
        return counts_;
    }

private:
    static constexpr unsigned rows_per_function = 64;

    class byte_memory : public symbols::stack_memory {
    public:
        byte_memory(std::span<const std::uint8_t> bytes, std::uint64_t address)
            : bytes_(bytes), address_(address) {}
        origin read(std::uint64_t at, std::uint64_t& into) noexcept override {
            if (at < address_ || bytes_.size() < 8 || at - address_ > bytes_.size() - 8) {
                return origin::none;
            }
            std::memcpy(&into, bytes_.data() + (at - address_), 8);
            return origin::copied;
        }

    private:
        std::span<const std::uint8_t> bytes_;
        std::uint64_t address_;
    };

    void entries() {
        std::optional<symbols::cie_entry> last;
        symbols::entry_header header;
        for (std::size_t at = 0; at < bytes_.size();) {
            const std::span<const std::uint8_t> entry = bytes_.subspan(at);
            if (!symbols::parse_entry_header(entry, address_ + at, header)) break;
            ++counts_.entries;
            symbols::cie_entry cie;
            symbols::function_entry function;
            if (header.terminator) {
                // Real tables end here; what follows is as good as anything.
            } else if (header.cie == 0) {
                if (symbols::parse_cie(entry, address_ + at, cie)) last = cie;
            } else if (last && symbols::parse_fde(entry, address_ + at, *last, function.fde)) {
                function.cie = *last;
                rows(function);
            }
            if (header.size > bytes_.size() - at) break;
            at += static_cast<std::size_t>(header.size);
        }
    }

    void rows(const symbols::function_entry& function) {
        ++counts_.functions;
        symbols::cfi_program program(function);
        const std::uint64_t size = function.fde.end - function.fde.begin;
        const std::uint64_t step = std::max<std::uint64_t>(1, size / rows_per_function);
        for (unsigned i = 0; i < rows_per_function && i * step < size; ++i) {
            if (!program.advance_to(function.fde.begin + i * step)) return;
            symbols::unwind_row row;
            program.copy_row(row);
            ++counts_.rows;
            if (row.cfa.expression) evaluate(row.cfa.value, row.cfa.size, std::nullopt);
            for (unsigned rule = 0; rule < row.count; ++rule) {
                const symbols::register_rule& one = row.rules[rule];
                if (one.size != 0) evaluate(one.value, one.size, address_);
            }
        }
    }

    void evaluate(std::int64_t address, std::uint32_t size, std::optional<std::uint64_t> pushed) {
        const std::uint64_t offset = static_cast<std::uint64_t>(address) - address_;
        if (offset > bytes_.size() || size > bytes_.size() - offset) __builtin_trap();
        ++counts_.expressions;
        symbols::cpu_state registers;
        for (unsigned i = 0; i < symbols::register_count; i += 2) registers.set(i, address_ + i);
        (void)symbols::evaluate_expression(bytes_.subspan(static_cast<std::size_t>(offset), size),
                                           registers, memory_, pushed);
    }

    void code() {
        for (std::size_t at = 0; at < bytes_.size();) {
            const symbols::x86_instruction one = symbols::decode_x86(bytes_.subspan(at));
            const bool known = one.what != symbols::x86_instruction::effect::unknown;
            if (known != (one.length != 0) || one.length > bytes_.size() - at) __builtin_trap();
            counts_.instructions += known ? 1 : 0;
            at += known ? one.length : 1;
        }
    }

    std::span<const std::uint8_t> bytes_;
    std::uint64_t address_;
    byte_memory memory_;
    counts counts_;
};

}  // namespace corodump::test
