#include "agent/symbols/eh_frame.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "agent/symbols/cfi_program.hpp"
#include "agent/symbols/dwarf_expression.hpp"

namespace corodump::symbols {
namespace {

constexpr std::uint64_t place = 0x10000;

/// Bytes, written as an assembler would.
class bytes {
public:
    bytes& u8(std::initializer_list<unsigned> all) {
        for (const unsigned one : all) data.push_back(static_cast<std::uint8_t>(one));
        return *this;
    }
    bytes& number(std::uint64_t value, std::size_t size) {
        for (std::size_t i = 0; i < size; ++i) u8({static_cast<unsigned>(value >> 8 * i & 0xff)});
        return *this;
    }
    bytes& text(std::string_view all) {
        data.insert(data.end(), all.begin(), all.end());
        return u8({0});
    }
    bytes& append(const bytes& other) {
        data.insert(data.end(), other.data.begin(), other.data.end());
        return *this;
    }

    std::vector<std::uint8_t> data;
};

bytes entry(const bytes& id_and_content) {
    return bytes().number(id_and_content.data.size(), 4).append(id_and_content);
}

// Version 1, code in units of 1, data in units of -8, return address in 16.
bytes cie_bytes(std::string_view letters, const bytes& augmentation, const bytes& program) {
    bytes content;
    content.number(0, 4).u8({1}).text(letters).u8({1, 0x78, 16});
    return entry(content.append(augmentation).append(program));
}

// An FDE for [0x1000, 0x1100) with absolute 8-byte addresses.
struct function_bytes {
    explicit function_bytes(const bytes& program,
                            const bytes& common = bytes().u8({0x0c, 7, 8, 0x90, 1})) {
        cie = cie_bytes("", {}, common);
        bytes content;
        content.number(cie.data.size() + 4, 4).number(0x1000, 8).number(0x100, 8);
        fde = entry(content.append(program));
    }

    [[nodiscard]] function_entry parse() const {
        function_entry into;
        EXPECT_TRUE(parse_cie(cie.data, place, into.cie));
        EXPECT_TRUE(parse_fde(fde.data, place + cie.data.size(), into.cie, into.fde));
        return into;
    }

    bytes cie, fde;
};

TEST(EhFrame, ReadsTheFieldsOfAnEntry) {
    const function_bytes raw(bytes().u8({0x41, 0x0e, 16}));
    const function_entry function = raw.parse();
    EXPECT_EQ(function.cie.code_align, 1U);
    EXPECT_EQ(function.cie.data_align, -8);
    EXPECT_EQ(function.cie.return_register, 16U);
    EXPECT_EQ(function.fde.begin, 0x1000U);
    EXPECT_EQ(function.fde.end, 0x1100U);
    EXPECT_EQ(function.fde.program.size(), 3U);
    entry_header header;
    ASSERT_TRUE(parse_entry_header(raw.fde.data, place + raw.cie.data.size(), header));
    EXPECT_EQ(header.cie, place);
}

TEST(EhFrame, ReadsAugmentations) {
    cie_entry cie;
    // A personality routine, an encoding for the language's data, one for pointers, a signal.
    const bytes fields = bytes().u8({7, 0x03, 1, 2, 3, 4, 0x1b, 0x1b});
    ASSERT_TRUE(parse_cie(cie_bytes("zPLRSB", fields, {}).data, place, cie));
    EXPECT_TRUE(cie.has_data);
    EXPECT_TRUE(cie.signal_frame);
    EXPECT_EQ(cie.pointer_encoding, 0x1bU);
    EXPECT_TRUE(cie.program.empty());
}

TEST(EhFrame, RefusesAugmentationsThatAreNotUnderstood) {
    cie_entry cie;
    EXPECT_FALSE(parse_cie(cie_bytes("zX", bytes().u8({0}), {}).data, place, cie));
    EXPECT_FALSE(parse_cie(cie_bytes("eh", bytes().number(0, 8), {}).data, place, cie));
    // Fields beyond the size that is given for them.
    EXPECT_FALSE(parse_cie(cie_bytes("zR", bytes().u8({0, 0x1b}), {}).data, place, cie));
    EXPECT_FALSE(parse_cie(cie_bytes("zRRRRRRRRRRRRRRRRRRR", {}, {}).data, place, cie));
}

TEST(EhFrame, ReadsEveryPointerEncoding) {
    struct sample {
        unsigned encoding;
        bytes written;
        std::uint64_t expected;
    };
    const pointer_bases bases{.text = 0x2000, .data = 0x3000, .function = 0x4000};
    const sample samples[] = {
        {0x00, bytes().number(0x1234, 8), 0x1234},
        {0x01, bytes().u8({0x81, 0x02}), 0x101},
        {0x02, bytes().number(0xfffe, 2), 0xfffe},
        {0x03, bytes().number(0xfffffffe, 4), 0xfffffffe},
        {0x04, bytes().number(0x123456789a, 8), 0x123456789a},
        {0x09, bytes().u8({0x7e}), ~std::uint64_t{1}},
        {0x0a, bytes().number(0xfffe, 2), ~std::uint64_t{1}},
        {0x0b, bytes().number(0xfffffffe, 4), ~std::uint64_t{1}},
        {0x0c, bytes().number(5, 8), 5},
        {0x1b, bytes().number(0xfffffffe, 4), place - 2},
        {0x2b, bytes().number(1, 4), 0x2001},
        {0x3b, bytes().number(1, 4), 0x3001},
        {0x4b, bytes().number(1, 4), 0x4001},
        {0x50, bytes().number(77, 8), 77},
        {0x1b, bytes().number(0, 4), 0},  // null stays null
    };
    for (const sample& one : samples) {
        dwarf_cursor at(one.written.data, place);
        EXPECT_EQ(at.pointer(static_cast<std::uint8_t>(one.encoding), bases), one.expected)
            << one.encoding;
        EXPECT_TRUE(at.at_end() && !at.failed()) << one.encoding;
    }
    for (const unsigned encoding : {0x05U, 0x0fU, 0x60U, 0x70U, 0x9bU, 0xffU}) {
        const bytes some = bytes().number(1, 8);
        dwarf_cursor at(some.data, place);
        (void)at.pointer(static_cast<std::uint8_t>(encoding), bases);
        EXPECT_TRUE(at.failed()) << encoding;
    }
}

TEST(EhFrame, ReadsTheSearchTablesHeader) {
    search_table table;
    const bytes header =
        bytes().u8({1, 0x1b, 0x03, 0x3b}).number(0x100, 4).number(12, 4).number(0, 8);
    ASSERT_TRUE(parse_search_header(header.data, place, table));
    EXPECT_EQ(table.eh_frame, place + 4 + 0x100);
    EXPECT_EQ(table.count, 12U);
    EXPECT_EQ(table.entries, place + 12);
    // Without a table, or with one that is not searchable, there is .eh_frame to go through.
    const bytes without = bytes().u8({1, 0x1b, 0xff, 0xff}).number(0x100, 4);
    ASSERT_TRUE(parse_search_header(without.data, place, table));
    EXPECT_EQ(table.count, 0U);
    EXPECT_FALSE(parse_search_header(bytes().u8({2, 0x1b, 0x03, 0x3b}).data, place, table));
}

// The row at `offset` of the function with this program.
bool row_at(const bytes& program, std::uint64_t offset, unwind_row& into) {
    const function_bytes raw(program);
    const function_entry function = raw.parse();
    cfi_program run(function);
    if (!run.advance_to(0x1000 + offset)) return false;
    run.copy_row(into);
    return true;
}

const register_rule* rule_of(const unwind_row& row, unsigned number) {
    for (unsigned i = 0; i < row.count; ++i) {
        if (row.rules[i].target == number) return &row.rules[i];
    }
    return nullptr;
}

TEST(CfiProgram, FindsTheRowThatHoldsAnAddress) {
    // push %rbp; mov %rsp,%rbp; … leave
    const bytes program = bytes().u8(
        {0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x02, 0x20, 0x0c, 7, 8, 0xc6, 0x00, 0x00});
    unwind_row row;
    ASSERT_TRUE(row_at(program, 0, row));
    EXPECT_EQ(row.cfa.base, 7);
    EXPECT_EQ(row.cfa.value, 8);
    EXPECT_EQ(row.return_address.kind, rule_kind::at_offset);
    EXPECT_EQ(row.return_address.value, -8);
    EXPECT_EQ(row.count, 0);
    ASSERT_TRUE(row_at(program, 3, row));
    EXPECT_EQ(row.cfa.value, 16);
    ASSERT_NE(rule_of(row, 6), nullptr);
    EXPECT_EQ(rule_of(row, 6)->value, -16);
    ASSERT_TRUE(row_at(program, 4, row));
    EXPECT_EQ(row.cfa.base, 6);
    ASSERT_TRUE(row_at(program, 35, row));
    EXPECT_EQ(row.cfa.base, 6);
    ASSERT_TRUE(row_at(program, 36, row));
    EXPECT_EQ(row.cfa.base, 7);
    EXPECT_EQ(rule_of(row, 6), nullptr);
}

TEST(CfiProgram, GivesTheSameRowsInOnePassAsOneByOne) {
    const bytes program = bytes().u8({0x41, 0x0e, 16, 0x42, 0x0a, 0x0e, 24, 0x43, 0x0b, 0x03, 1,
                                      0,    0x0e, 32, 0x04, 9,    0,    0,  0,    0x0e, 40});
    const function_bytes raw(program);
    const function_entry function = raw.parse();
    cfi_program pass(function);
    for (std::uint64_t offset = 0; offset < 0x100; ++offset) {
        unwind_row row;
        ASSERT_TRUE(row_at(program, offset, row));
        ASSERT_TRUE(pass.advance_to(0x1000 + offset));
        EXPECT_EQ(pass.cfa().value, row.cfa.value) << offset;
    }
    EXPECT_FALSE(pass.advance_to(0x1000));  // not backwards
}

TEST(CfiProgram, KnowsEveryOpcode) {
    const bytes program = bytes().u8({
        0x05, 3,    4,              // offset_extended rbx at -32
        0x11, 12,   0x7f,           // offset_extended_sf r12 at +8
        0x2f, 13,   1,              // negative_offset_extended r13 at +8
        0x14, 14,   2,              // val_offset r14 = -16
        0x15, 15,   0x7e,           // val_offset_sf r15 = +16
        0x07, 0,                    // undefined rax
        0x08, 1,                    // same_value rdx
        0x09, 2,    11,             // register rcx in r11
        0x10, 8,    2,    0x77, 0,  // expression r8
        0x16, 9,    1,    0x30,     // val_expression r9
        0x2e, 16,                   // args_size
        0x05, 60,   1,              // of a register that nobody follows
        0x12, 7,    0x7e,           // def_cfa_sf rsp+16
        0x13, 0x7d,                 // def_cfa_offset_sf 24
        0x0d, 6,                    // def_cfa_register rbp
    });
    unwind_row row;
    ASSERT_TRUE(row_at(program, 0, row));
    EXPECT_EQ(row.cfa.base, 6);
    EXPECT_EQ(row.cfa.value, 24);
    const auto expect = [&row](unsigned number, rule_kind kind, std::int64_t value) {
        const register_rule* const rule = rule_of(row, number);
        ASSERT_NE(rule, nullptr) << number;
        EXPECT_EQ(rule->kind, kind) << number;
        EXPECT_EQ(rule->value, value) << number;
    };
    expect(3, rule_kind::at_offset, -32);
    expect(12, rule_kind::at_offset, 8);
    expect(13, rule_kind::at_offset, 8);
    expect(14, rule_kind::is_offset, -16);
    expect(15, rule_kind::is_offset, 16);
    expect(0, rule_kind::undefined, 0);
    expect(1, rule_kind::same_value, 0);
    expect(2, rule_kind::in_register, 11);
    EXPECT_EQ(rule_of(row, 8)->kind, rule_kind::at_expression);
    EXPECT_EQ(rule_of(row, 8)->size, 2U);
    EXPECT_EQ(rule_of(row, 9)->kind, rule_kind::is_expression);
    EXPECT_EQ(row.count, 10);
}

TEST(CfiProgram, RefusesWhatItDoesNotUnderstand) {
    unwind_row row;
    EXPECT_FALSE(row_at(bytes().u8({0x17}), 0, row));                    // no such opcode
    EXPECT_FALSE(row_at(bytes().u8({0x0b}), 0, row));                    // nothing remembered
    EXPECT_FALSE(row_at(bytes().u8({0x0c, 77, 8}), 0, row));             // no such register
    EXPECT_FALSE(row_at(bytes().u8({0x0f, 5, 0x30}), 0, row));           // an expression cut short
    EXPECT_FALSE(row_at(bytes().u8({0x0f, 1, 0x30, 0x0e, 8}), 0, row));  // half of a CFA
    EXPECT_FALSE(row_at(bytes().u8({0x02}), 0, row));
    bytes deep;
    for (unsigned i = 0; i <= max_remembered; ++i) deep.u8({0x0a});
    EXPECT_FALSE(row_at(deep, 0, row));
    // What comes behind the address does not count.
    EXPECT_TRUE(row_at(bytes().u8({0x41, 0x17}), 0, row));
}

class no_memory : public stack_memory {
public:
    origin read(std::uint64_t address, std::uint64_t& into) noexcept override {
        if (address != 0x5000) return origin::none;
        into = 0x1122334455667788;
        return origin::live;
    }
};

found_value evaluate(const bytes& expression) {
    cpu_state registers;
    registers.set(7, 0x4ff8);
    registers.set(16, 0x100b);
    no_memory memory;
    return evaluate_expression(expression.data, registers, memory, 100);
}

TEST(DwarfExpression, CalculatesAsTheStandardSays) {
    struct sample {
        bytes expression;
        std::uint64_t expected;
    };
    const sample samples[] = {
        // A PLT stub's: rsp + 8 + ((rip & 15) >= 11) << 3
        {bytes().u8({0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22}), 0x5008},
        {bytes().u8({0x77, 8, 0x06}), 0x1122334455667788},
        {bytes().u8({0x77, 8, 0x94, 2}), 0x7788},
        {bytes(), 100},
        {bytes().u8({0x0b, 0xfe, 0xff, 0x1e}), static_cast<std::uint64_t>(-200)},
        {bytes().u8({0x09, 0xfd, 0x1b}), static_cast<std::uint64_t>(-33)},
        {bytes().u8({0x37, 0x1d}), 2},
        {bytes().u8({0x09, 0xff, 0x1b}), static_cast<std::uint64_t>(-100)},
        {bytes().u8({0x31, 0x32, 0x17}), 1},  // rot: 1 2 on top of 100 -> 2 100 1
        {bytes().u8({0x31, 0x16, 0x1c}), static_cast<std::uint64_t>(-99)},
        {bytes().u8({0x1f, 0x19}), 100},
        {bytes().u8({0x20, 0x32, 0x26}), static_cast<std::uint64_t>(-26)},
        {bytes().u8({0x12, 0x28, 1, 0, 0x00, 0x32}), 2},  // bra over an opcode that is none
        {bytes().u8({0x23, 0x81, 0x01}), 229},
        {bytes().u8({0x31, 0x15, 1, 0x22}), 101},
    };
    for (const sample& one : samples) {
        const found_value found = evaluate(one.expression);
        EXPECT_TRUE(found.known) << one.expected;
        EXPECT_EQ(found.value, one.expected);
    }
    EXPECT_TRUE(evaluate(bytes().u8({0x77, 8, 0x06})).live);
}

TEST(DwarfExpression, SaysWhyThereIsNoValue) {
    EXPECT_EQ(evaluate(bytes().u8({0x76, 0})).why, unwind_end::unknown_register);
    EXPECT_EQ(evaluate(bytes().u8({0x06})).why, unwind_end::unreadable);
    for (const bytes& bad :
         {bytes().u8({0x13}), bytes().u8({0x13, 0x13}), bytes().u8({0x30, 0x1b}),
          bytes().u8({0x2f, 0xfd, 0xff}), bytes().u8({0x2f, 9, 0}), bytes().u8({0x0e, 1}),
          bytes().u8({0xe0}), bytes().u8({0x92, 99, 0})}) {
        EXPECT_FALSE(evaluate(bad).known);
        EXPECT_EQ(evaluate(bad).why, unwind_end::no_cfi);
    }
    bytes tall;
    for (unsigned i = 0; i < max_expression_depth; ++i) tall.u8({0x30});
    EXPECT_FALSE(evaluate(tall).known);
}

}  // namespace
}  // namespace corodump::symbols
