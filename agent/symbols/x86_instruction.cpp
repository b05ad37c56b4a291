#include "agent/symbols/x86_instruction.hpp"
#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/symbols/dwarf_cursor.hpp"

namespace corodump::symbols {
namespace {

using effect = x86_instruction::effect;

// The processor's numbers of rax … rdi, as DWARF counts them.
constexpr std::uint8_t dwarf_number[8] = {0, 2, 1, 3, 7, 6, 4, 5};
constexpr unsigned stack_pointer = 4;
constexpr unsigned frame_pointer = 5;

// What follows an opcode. A bit for each of the 256 opcodes of a map.
struct opcode_set {
    std::uint64_t bits[4] = {};
    constexpr void add(unsigned first, unsigned last) noexcept {
        for (unsigned i = first; i <= last; ++i) bits[i / 64] |= std::uint64_t{1} << i % 64;
    }
    [[nodiscard]] constexpr bool has(unsigned index) const noexcept {
        return (bits[index / 64] >> index % 64 & 1) != 0;
    }
};

struct range {
    std::uint8_t first, last;
};
template <std::size_t Count>
constexpr opcode_set make_set(const range (&ranges)[Count]) noexcept {
    opcode_set made;
    for (const range& one : ranges) made.add(one.first, one.last);
    return made;
}

// One-byte opcodes. Prefixes, REX, VEX and EVEX are taken off before.
constexpr opcode_set one_operands = make_set({{0x00, 0x03},
                                              {0x08, 0x0b},
                                              {0x10, 0x13},
                                              {0x18, 0x1b},
                                              {0x20, 0x23},
                                              {0x28, 0x2b},
                                              {0x30, 0x33},
                                              {0x38, 0x3b},
                                              {0x63, 0x63},
                                              {0x69, 0x69},
                                              {0x6b, 0x6b},
                                              {0x80, 0x81},
                                              {0x83, 0x8f},
                                              {0xc0, 0xc1},
                                              {0xc6, 0xc7},
                                              {0xd0, 0xd3},
                                              {0xd8, 0xdf},
                                              {0xf6, 0xf7},
                                              {0xfe, 0xff}});
constexpr opcode_set one_bytes = make_set({{0x04, 0x04},
                                           {0x0c, 0x0c},
                                           {0x14, 0x14},
                                           {0x1c, 0x1c},
                                           {0x24, 0x24},
                                           {0x2c, 0x2c},
                                           {0x34, 0x34},
                                           {0x3c, 0x3c},
                                           {0x6a, 0x6b},
                                           {0x70, 0x80},
                                           {0x83, 0x83},
                                           {0xa8, 0xa8},
                                           {0xb0, 0xb7},
                                           {0xc0, 0xc1},
                                           {0xc6, 0xc6},
                                           {0xcd, 0xcd},
                                           {0xe0, 0xe7},
                                           {0xeb, 0xeb}});
// 4 bytes, or 2 behind an operand size prefix.
constexpr opcode_set one_words = make_set({{0x05, 0x05},
                                           {0x0d, 0x0d},
                                           {0x15, 0x15},
                                           {0x1d, 0x1d},
                                           {0x25, 0x25},
                                           {0x2d, 0x2d},
                                           {0x35, 0x35},
                                           {0x3d, 0x3d},
                                           {0x68, 0x69},
                                           {0x81, 0x81},
                                           {0xa9, 0xa9},
                                           {0xc7, 0xc7}});
constexpr opcode_set one_invalid = make_set({{0x06, 0x07},
                                             {0x0e, 0x0e},
                                             {0x16, 0x17},
                                             {0x1e, 0x1f},
                                             {0x27, 0x27},
                                             {0x2f, 0x2f},
                                             {0x37, 0x37},
                                             {0x3f, 0x3f},
                                             {0x40, 0x4f},
                                             {0x60, 0x62},
                                             {0x82, 0x82},
                                             {0x9a, 0x9a},
                                             {0xc4, 0xc5},
                                             {0xce, 0xce},
                                             {0xd4, 0xd6},
                                             {0xea, 0xea}});

// Behind 0f.
constexpr opcode_set two_plain = make_set({{0x05, 0x09},
                                           {0x0b, 0x0b},
                                           {0x0e, 0x0e},
                                           {0x30, 0x35},
                                           {0x37, 0x37},
                                           {0x77, 0x77},
                                           {0x80, 0x8f},
                                           {0xa0, 0xa2},
                                           {0xa8, 0xaa},
                                           {0xc8, 0xcf}});
constexpr opcode_set two_bytes = make_set({{0x0f, 0x0f},
                                           {0x70, 0x73},
                                           {0xa4, 0xa4},
                                           {0xac, 0xac},
                                           {0xba, 0xba},
                                           {0xc2, 0xc2},
                                           {0xc4, 0xc6}});
constexpr opcode_set two_invalid = make_set({{0x04, 0x04},
                                             {0x0a, 0x0a},
                                             {0x0c, 0x0c},
                                             {0x24, 0x27},
                                             {0x36, 0x36},
                                             {0x39, 0x39},
                                             {0x3b, 0x3f},
                                             {0x78, 0x79},
                                             {0xa6, 0xa7}});
// Those that write a general register named in the reg field, and in the r/m field. The others have
// vector registers there, or none.
constexpr opcode_set two_write_reg = make_set({{0x02, 0x03},
                                               {0x2c, 0x2d},
                                               {0x40, 0x4f},
                                               {0x50, 0x50},
                                               {0xaf, 0xaf},
                                               {0xb2, 0xb8},
                                               {0xbc, 0xbf},
                                               {0xc0, 0xc1},
                                               {0xc5, 0xc5},
                                               {0xd7, 0xd7}});
constexpr opcode_set two_write_rm = make_set({{0x7e, 0x7e},
                                              {0x90, 0x9f},
                                              {0xa4, 0xa5},
                                              {0xab, 0xad},
                                              {0xb0, 0xb1},
                                              {0xb3, 0xb3},
                                              {0xba, 0xbb},
                                              {0xc0, 0xc1},
                                              {0xc7, 0xc7}});

class decoder {
public:
    explicit decoder(std::span<const std::uint8_t> bytes) noexcept
        : at_(bytes.first(bytes.size() < max_instruction_bytes ? bytes.size()
                                                               : max_instruction_bytes),
              0) {}

    x86_instruction run() noexcept {
        prefixes();
        if (opcode_ == 0xc4 || opcode_ == 0xc5 || opcode_ == 0x62) {
            vector();
        } else if (opcode_ == 0x0f) {
            two_byte_map();
        } else {
            one_byte_map();
        }
        if (at_.failed() || made_.what == effect::unknown) return {};
        made_.length = static_cast<std::uint8_t>(at_.position());
        return made_;
    }

private:
    void prefixes() noexcept {
        for (;;) {
            opcode_ = at_.u8();
            if (opcode_ == 0x66) {
                short_operand_ = true;
            } else if (opcode_ == 0x67) {
                short_address_ = true;
            } else if (opcode_ != 0xf0 && opcode_ != 0xf2 && opcode_ != 0xf3 && opcode_ != 0x2e &&
                       opcode_ != 0x36 && opcode_ != 0x3e && opcode_ != 0x26 && opcode_ != 0x64 &&
                       opcode_ != 0x65) {
                break;
            }
            if (at_.failed()) return;
        }
        if ((opcode_ & 0xf0U) != 0x40) return;
        rex_ = opcode_;
        opcode_ = at_.u8();
    }

    [[nodiscard]] bool wide() const noexcept { return (rex_ & 8U) != 0; }

    // ModR/M, SIB and displacement (SDM volume 2, 2.1.5 and 2.2.1).
    void operands() noexcept {
        const std::uint8_t byte = at_.u8();
        mode_ = byte >> 6U;
        reg_ = (byte >> 3U & 7U) | (rex_ & 4U) << 1U;
        rm_ = (byte & 7U) | (rex_ & 1U) << 3U;
        base_ = rm_;
        if (mode_ == 3) return;
        bool long_offset = mode_ == 2 || (mode_ == 0 && (byte & 7U) == 5);
        if ((byte & 7U) == 4) {
            const std::uint8_t sib = at_.u8();
            base_ = (sib & 7U) | (rex_ & 1U) << 3U;
            indexed_ = (sib >> 3U & 7U) != 4 || (rex_ & 2U) != 0;
            long_offset = mode_ == 2 || (mode_ == 0 && (sib & 7U) == 5);
        }
        if (long_offset) displacement_ = at_.fixed<std::int32_t>();
        if (mode_ == 1) displacement_ = signed_byte();
    }

    std::int32_t signed_byte() noexcept {
        const std::int32_t byte = at_.u8();
        return byte < 0x80 ? byte : byte - 0x100;
    }

    void word() noexcept {
        immediate_ = short_operand_ ? at_.fixed<std::int16_t>() : at_.fixed<std::int32_t>();
    }

    // VEX and EVEX (2.3.5, 2.7.1): all have operands but vzeroupper. None writes rsp: compilers do
    // not put it into the few that could.
    void vector() noexcept {
        unsigned map = 1;
        const std::uint8_t first = at_.u8();
        if (opcode_ == 0xc4) {
            map = first & 0x1fU;
            (void)at_.u8();
        } else if (opcode_ == 0x62) {
            map = first & 7U;
            at_.skip(2);
        }
        const bool evex = opcode_ == 0x62;
        const std::uint8_t code = at_.u8();
        const bool known = (map >= 1 && map <= 3) || (evex && (map == 5 || map == 6));
        if (!known || rex_ != 0) return;
        made_.what = effect::none;
        if (map == 1 && code == 0x77 && !evex) return;
        operands();
        if (map == 3 || (map == 1 && two_bytes.has(code))) (void)at_.u8();
    }

    void two_byte_map() noexcept {
        const std::uint8_t code = at_.u8();
        if (two_invalid.has(code)) return;
        made_.what = effect::none;
        if (code == 0x38 || code == 0x3a) {
            (void)at_.u8();
            operands();
            if (code == 0x3a) (void)at_.u8();
            return;
        }
        if (two_plain.has(code)) return two_byte_plain(code);
        operands();
        if (two_bytes.has(code)) (void)at_.u8();
        const bool writes = (two_write_reg.has(code) && reg_ == stack_pointer) ||
                            (two_write_rm.has(code) && mode_ == 3 && rm_ == stack_pointer);
        if (writes) made_.what = effect::writes_stack;
        if (code == 0xb9 || code == 0xff) made_.what = effect::jump;  // ud1, ud0
    }

    void two_byte_plain(std::uint8_t code) noexcept {
        if (code >= 0x80 && code <= 0x8f) {
            at_.skip(4);
            made_.what = effect::branch;
        } else if (code == 0x0b) {
            made_.what = effect::jump;
        } else if (code == 0xa0 || code == 0xa8) {
            made_.what = effect::push_other;
        } else if (code == 0xa1 || code == 0xa9) {
            made_.what = effect::pop;
        } else if (code >= 0xc8 && code <= 0xcf) {
            if ((code & 7U) == stack_pointer && (rex_ & 1U) == 0) made_.what = effect::writes_stack;
        }
    }

    void one_byte_map() noexcept {
        if (one_invalid.has(opcode_)) return;
        if (one_operands.has(opcode_)) operands();
        if (opcode_ == 0x8f && (reg_ & 7U) != 0) return;  // XOP, which nobody emits any more
        if (one_bytes.has(opcode_)) immediate_ = signed_byte();
        if (one_words.has(opcode_)) word();
        made_.what = effect::none;
        if (opcode_ >= 0x70 && opcode_ <= 0x7f) {
            made_.what = effect::branch;
        } else if (one_operands.has(opcode_)) {
            with_operands();
        } else if (opcode_ >= 0x50 && opcode_ <= 0x5f) {
            push_or_pop();
        } else {
            without_operands();
        }
    }

    void push_or_pop() noexcept {
        const unsigned number = (opcode_ & 7U) | (rex_ & 1U) << 3U;
        // One of two bytes moves rsp by two.
        if (short_operand_) {
            made_.what = effect::writes_stack;
        } else if (opcode_ >= 0x58) {
            made_.what = number == stack_pointer ? effect::writes_stack : effect::pop;
        } else {
            made_.what = effect::push;
            made_.operand = number < 8 ? dwarf_number[number] : number;
        }
    }

    void without_operands() noexcept {
        const bool names_stack = (opcode_ & 7U) == stack_pointer && (rex_ & 1U) == 0;
        if (opcode_ >= 0x90 && opcode_ <= 0x97) {  // xchg with rax
            writes(names_stack);
        } else if (opcode_ >= 0xb0 && opcode_ <= 0xb7) {  // a constant to ah, or to spl
            writes(names_stack && rex_ != 0);
        } else if (opcode_ >= 0xb8 && opcode_ <= 0xbf) {
            at_.skip(wide() ? 8 : short_operand_ ? 2 : 4);
            writes(names_stack);
        } else if (opcode_ >= 0xa0 && opcode_ <= 0xa3) {  // to and from an absolute address
            at_.skip(short_address_ ? 4 : 8);
        } else if (!stack_operation()) {
            control_flow();
        }
    }

    bool stack_operation() noexcept {
        switch (opcode_) {
            case 0x68:
            case 0x6a:
            case 0x9c:
                made_.what = short_operand_ ? effect::writes_stack : effect::push_other;
                return true;
            case 0x9d:
                made_.what = effect::pop;
                return true;
            case 0xc8:
                at_.skip(3);
                made_.what = effect::writes_stack;
                return true;
            case 0xc9:
                made_.what = effect::leave;
                return true;
            default:
                return false;
        }
    }

    // Near calls and jumps have a 4-byte distance, also behind the padding prefixes of TLS calls.
    void control_flow() noexcept {
        switch (opcode_) {
            case 0xe0:
            case 0xe1:
            case 0xe2:
            case 0xe3:
                made_.what = effect::branch;
                return;
            case 0xe8:
            case 0xe9:
                at_.skip(4);
                made_.what = opcode_ == 0xe8 ? effect::call : effect::jump;
                return;
            case 0xc2:
            case 0xca:
                at_.skip(2);
                made_.what = effect::jump;
                return;
            case 0xc3:
            case 0xcb:
            case 0xcc:
            case 0xcf:
            case 0xeb:
            case 0xf1:
            case 0xf4:
                made_.what = effect::jump;
                return;
            default:
                return;
        }
    }

    void with_operands() noexcept {
        const unsigned part = reg_ & 7U;
        if (opcode_ == 0xff) return indirect(part);
        if (opcode_ == 0x8f) {
            const bool to_stack = short_operand_ || base_ == stack_pointer;
            made_.what = to_stack ? effect::writes_stack : effect::pop;
            return;
        }
        if (opcode_ == 0xf6 || opcode_ == 0xf7) {
            if (part < 2 && opcode_ == 0xf6) (void)at_.u8();
            if (part < 2 && opcode_ == 0xf7) word();
            writes((part == 2 || part == 3) && mode_ == 3 && rm_ == stack_pointer);
            return;
        }
        if (opcode_ == 0x8d && reg_ == stack_pointer) return load_address();
        if (opcode_ == 0x89 || opcode_ == 0x8b) return move();
        if ((opcode_ == 0x81 || opcode_ == 0x83) && mode_ == 3 && rm_ == stack_pointer) {
            return arithmetic(part);
        }
        writes(writes_stack_pointer(part));
    }

    void writes(bool stack) noexcept {
        if (stack) made_.what = effect::writes_stack;
    }

    // In the byte forms number 4 is ah, or spl with a REX prefix.
    [[nodiscard]] bool writes_stack_pointer(unsigned part) const noexcept {
        const bool to_rm = mode_ == 3 && rm_ == stack_pointer;
        const bool to_reg = reg_ == stack_pointer;
        const bool byte_form = (opcode_ & 1U) == 0 && opcode_ != 0x8c && opcode_ != 0x8e;
        if (byte_form && rex_ == 0 && opcode_ != 0x8d) return false;
        if (opcode_ < 0x38) return (opcode_ & 2U) != 0 ? to_reg : to_rm;
        if (opcode_ < 0x40) return false;  // cmp
        switch (opcode_) {
            case 0x63:
            case 0x69:
            case 0x6b:
            case 0x8a:
                return to_reg;
            case 0x80:
                return to_rm && part != 7;
            case 0x84:
            case 0x85:
            case 0x8e:
                return false;
            case 0x86:
            case 0x87:
                return to_rm || to_reg;
            default:
                // Vector and x87 opcodes do not come here but with memory.
                return to_rm && (opcode_ < 0xd8 || opcode_ > 0xdf);
        }
    }

    void indirect(unsigned part) noexcept {
        if (part == 2 || part == 3) {
            made_.what = effect::call;
        } else if (part == 4 || part == 5) {
            made_.what = effect::jump;
        } else if (part == 6) {
            made_.what = short_operand_ ? effect::writes_stack : effect::push_other;
        } else {
            writes(mode_ == 3 && rm_ == stack_pointer);
        }
    }

    // lea …,%rsp
    void load_address() noexcept {
        made_.what = effect::writes_stack;
        const bool plain = wide() && !indexed_ && !short_address_ && (mode_ == 1 || mode_ == 2);
        if (plain && base_ == stack_pointer) {
            made_.what = effect::lower;
            made_.operand = -std::int64_t{displacement_};
        } else if (plain && base_ == frame_pointer) {
            made_.what = effect::from_frame;
            made_.operand = displacement_;
        }
    }

    void move() noexcept {
        if (mode_ != 3) return writes(opcode_ == 0x8b && reg_ == stack_pointer);
        const unsigned to = opcode_ == 0x89 ? rm_ : reg_;
        const unsigned from = opcode_ == 0x89 ? reg_ : rm_;
        if (to == stack_pointer) {
            const bool whole = wide() && from == frame_pointer;
            made_.what = whole ? effect::from_frame : effect::writes_stack;
        } else if (to == frame_pointer && from == stack_pointer) {
            made_.what = effect::set_frame;
        }
    }

    // add, or, adc, sbb, and, sub, xor, cmp of a constant.
    void arithmetic(unsigned part) noexcept {
        if (part == 7) return;
        made_.what = effect::writes_stack;
        if (!wide() || (part != 0 && part != 5)) return;
        made_.what = effect::lower;
        made_.operand = part == 5 ? immediate_ : -std::int64_t{immediate_};
    }

    dwarf_cursor at_;
    x86_instruction made_;
    std::uint8_t opcode_ = 0;
    std::uint8_t rex_ = 0;
    bool short_operand_ = false;
    bool short_address_ = false;
    bool indexed_ = false;
    unsigned mode_ = 0, reg_ = 0, rm_ = 0, base_ = 0;
    std::int32_t displacement_ = 0;
    std::int32_t immediate_ = 0;
};

}  // namespace

x86_instruction decode_x86(std::span<const std::uint8_t> bytes) noexcept {
    return decoder(bytes).run();
}

}  // namespace corodump::symbols
