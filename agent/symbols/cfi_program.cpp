#include "agent/symbols/cfi_program.hpp"

#include <cstdint>
#include <limits>
#include "agent/symbols/cpu_state.hpp"
#include "agent/symbols/dwarf_cursor.hpp"
#include "agent/symbols/eh_frame.hpp"
#include "agent/symbols/unwind_row.hpp"

namespace corodump::symbols {
namespace {

// DWARF 5, 7.24, and the extensions of GNU and ARM. The first three carry an operand in their low
// six bits.
enum opcode : std::uint8_t {
    advance_loc = 0x40,
    offset = 0x80,
    restore_short = 0xc0,
    nop = 0x00,
    set_loc = 0x01,
    advance_loc1 = 0x02,
    advance_loc2 = 0x03,
    advance_loc4 = 0x04,
    offset_extended = 0x05,
    restore_extended = 0x06,
    undefined = 0x07,
    same_value = 0x08,
    register_in = 0x09,
    remember_state = 0x0a,
    restore_state = 0x0b,
    def_cfa = 0x0c,
    def_cfa_register = 0x0d,
    def_cfa_offset = 0x0e,
    def_cfa_expression = 0x0f,
    expression = 0x10,
    offset_extended_sf = 0x11,
    def_cfa_sf = 0x12,
    def_cfa_offset_sf = 0x13,
    val_offset = 0x14,
    val_offset_sf = 0x15,
    val_expression = 0x16,
    negate_ra_state = 0x2d,  // on SPARC: window save
    args_size = 0x2e,
    negative_offset_extended = 0x2f,
};

bool defines_cfa(std::uint8_t code) noexcept {
    return (code >= def_cfa && code <= def_cfa_expression) || code == def_cfa_sf ||
           code == def_cfa_offset_sf;
}

constexpr std::uint64_t max_offset = std::numeric_limits<std::int64_t>::max();

// An operand that no offset can be is hostile, and must not wrap into one that can.
std::int64_t unsigned_operand(dwarf_cursor& at) noexcept {
    const std::uint64_t value = at.uleb();
    if (value > max_offset) at.fail();
    return value > max_offset ? 0 : static_cast<std::int64_t>(value);
}

// The bytes of an expression stay where they are.
std::int64_t block(dwarf_cursor& at, std::uint64_t& size) noexcept {
    size = at.uleb();
    const auto address = static_cast<std::int64_t>(at.address());
    at.skip(size);
    return address;
}

}  // namespace

cfi_program::cfi_program(const function_entry& function) noexcept
    : function_(&function),
      at_(function.fde.program, function.fde.program_address),
      location_(function.fde.begin),
      next_(function.fde.begin) {
    for (unsigned i = 0; i < register_count; ++i) {
        now_.rules[i].target = static_cast<std::uint8_t>(i);
    }
    dwarf_cursor common(function.cie.program, function.cie.program_address);
    good_ = run(common, std::numeric_limits<std::uint64_t>::max()) && next_ == location_;
    initial_ = now_;
    in_cie_ = false;
}

bool cfi_program::advance_to(std::uint64_t address) noexcept {
    if (!good_ || address < location_) return false;
    if (next_ > address) return true;
    location_ = next_;
    good_ = run(at_, address);
    return good_;
}

// Stops with the row of `until` in now_: at the advance that leads beyond it, or at the end.
bool cfi_program::run(dwarf_cursor& at, std::uint64_t until) noexcept {
    while (!at.at_end()) {
        step(at, at.u8());
        if (at.failed()) return false;
        if (next_ > until) return true;
        location_ = next_;
    }
    if (!in_cie_) next_ = std::numeric_limits<std::uint64_t>::max();
    return !at.failed();
}

void cfi_program::step(dwarf_cursor& at, std::uint8_t code) noexcept {
    const std::uint8_t low = code & 0x3fU;
    switch (code & 0xc0U) {
        case advance_loc:
            return move(at, low);
        case offset:
            return set(low, rule_kind::at_offset, scaled(unsigned_operand(at)));
        case restore_short:
            return restore(low);
        default:
            break;
    }
    switch (code) {
        case nop:
            return;
        case set_loc:
            return move_to(at, at.pointer(function_->cie.pointer_encoding));
        case advance_loc1:
            return move(at, at.u8());
        case advance_loc2:
            return move(at, at.fixed<std::uint16_t>());
        case advance_loc4:
            return move(at, at.fixed<std::uint32_t>());
        case restore_extended:
            return restore(at.uleb());
        case remember_state:
            return remember(at);
        case restore_state:
            return recall(at);
        case args_size:
            (void)at.uleb();  // for landing pads only
            return;
#if defined(__aarch64__)
        case negate_ra_state:
            now_.signed_return = !now_.signed_return;
            return;
#endif
        default:
            return defines_cfa(code) ? define_cfa(at, code) : set_rule(at, code);
    }
}

void cfi_program::define_cfa(dwarf_cursor& at, std::uint8_t code) noexcept {
    cfa_rule& cfa = now_.cfa;
    if (code == def_cfa_expression) {
        std::uint64_t size = 0;
        cfa.value = block(at, size);
        cfa.size = static_cast<std::uint32_t>(size);
        cfa.expression = cfa.valid = true;
        return;
    }
    const bool both = code == def_cfa || code == def_cfa_sf;
    // The others change a half of what must be there.
    if (!both && (!cfa.valid || cfa.expression)) return at.fail();
    if (both || code == def_cfa_register) set_base(at, at.uleb());
    if (code == def_cfa || code == def_cfa_offset) cfa.value = unsigned_operand(at);
    if (code == def_cfa_sf || code == def_cfa_offset_sf) cfa.value = scaled(at.sleb());
    cfa.expression = false;
    cfa.valid = true;
}

void cfi_program::set_base(dwarf_cursor& at, std::uint64_t index) noexcept {
    if (index >= register_count) return at.fail();
    now_.cfa.base = static_cast<std::uint8_t>(index);
}

void cfi_program::set_rule(dwarf_cursor& at, std::uint8_t code) noexcept {
    if (code < offset_extended || (code > val_expression && code != negative_offset_extended)) {
        return at.fail();
    }
    const std::uint64_t index = at.uleb();
    std::uint64_t size = 0;
    std::int64_t value = 0;
    switch (code) {
        case offset_extended:
            return set(index, rule_kind::at_offset, scaled(unsigned_operand(at)));
        case offset_extended_sf:
            return set(index, rule_kind::at_offset, scaled(at.sleb()));
        case negative_offset_extended:
            return set(index, rule_kind::at_offset, scaled(-unsigned_operand(at)));
        case val_offset:
            return set(index, rule_kind::is_offset, scaled(unsigned_operand(at)));
        case val_offset_sf:
            return set(index, rule_kind::is_offset, scaled(at.sleb()));
        case undefined:
            return set(index, rule_kind::undefined, 0);
        case same_value:
            return set(index, rule_kind::same_value, 0);
        case register_in:
            return set(index, rule_kind::in_register, unsigned_operand(at));
        case expression:
            value = block(at, size);
            return set(index, rule_kind::at_expression, value, size);
        case val_expression:
            value = block(at, size);
            return set(index, rule_kind::is_expression, value, size);
        default:
            return at.fail();
    }
}

void cfi_program::move(dwarf_cursor& at, std::uint64_t units) noexcept {
    std::uint64_t distance = 0;
    if (in_cie_ || __builtin_mul_overflow(units, function_->cie.code_align, &distance) ||
        __builtin_add_overflow(location_, distance, &next_)) {
        next_ = location_;
        at.fail();
    }
}

void cfi_program::move_to(dwarf_cursor& at, std::uint64_t address) noexcept {
    if (in_cie_ || address < location_) return at.fail();
    next_ = address;
}

// Registers that are not kept here (vector registers) have rules that matter to nobody.
void cfi_program::set(std::uint64_t index, rule_kind kind, std::int64_t value,
                      std::uint64_t size) noexcept {
    if (index >= register_count) return;
    register_rule& rule = now_.rules[index];
    rule.kind = kind;
    rule.value = value;
    rule.size = static_cast<std::uint32_t>(size);
}

void cfi_program::restore(std::uint64_t index) noexcept {
    if (index < register_count) now_.rules[index] = initial_.rules[index];
}

void cfi_program::remember(dwarf_cursor& at) noexcept {
    if (remembered_ == max_remembered) return at.fail();
    stack_[remembered_++] = now_;
}

void cfi_program::recall(dwarf_cursor& at) noexcept {
    if (remembered_ == 0) return at.fail();
    now_ = stack_[--remembered_];
}

std::int64_t cfi_program::scaled(std::int64_t units) const noexcept {
    std::int64_t value = 0;
    // One that overflows names no memory of this process: the read fails.
    return __builtin_mul_overflow(units, function_->cie.data_align, &value)
               ? std::numeric_limits<std::int64_t>::min()
               : value;
}

void cfi_program::copy_row(unwind_row& into) const noexcept {
    into.cfa = now_.cfa;
    into.signal_frame = function_->cie.signal_frame;
    into.signed_return = now_.signed_return;
    into.count = 0;
    into.depth = {};
    const std::uint64_t link = function_->cie.return_register;
    into.return_address = link < register_count ? now_.rules[link] : register_rule{};
    for (const register_rule& rule : now_.rules) {
        if (rule.target == pc_register || rule.kind == rule_kind::unspecified) continue;
        into.rules[into.count++] = rule;
    }
}

}  // namespace corodump::symbols
