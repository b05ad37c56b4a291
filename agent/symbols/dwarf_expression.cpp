#include "agent/symbols/dwarf_expression.hpp"
#include <cstdint>
#include <optional>
#include <span>

#include "agent/symbols/cpu_state.hpp"
#include "agent/symbols/dwarf_cursor.hpp"
#include "agent/symbols/unwinder.hpp"

namespace corodump::symbols {
namespace {

// DWARF 5, 7.7.1.
enum operation : std::uint8_t {
    op_addr = 0x03,
    op_deref = 0x06,
    op_const1u = 0x08,
    op_const1s = 0x09,
    op_const2u = 0x0a,
    op_const2s = 0x0b,
    op_const4u = 0x0c,
    op_const4s = 0x0d,
    op_const8u = 0x0e,
    op_const8s = 0x0f,
    op_constu = 0x10,
    op_consts = 0x11,
    op_dup = 0x12,
    op_drop = 0x13,
    op_over = 0x14,
    op_pick = 0x15,
    op_swap = 0x16,
    op_rot = 0x17,
    op_abs = 0x19,
    op_and = 0x1a,
    op_div = 0x1b,
    op_minus = 0x1c,
    op_mod = 0x1d,
    op_mul = 0x1e,
    op_neg = 0x1f,
    op_not = 0x20,
    op_or = 0x21,
    op_plus = 0x22,
    op_plus_uconst = 0x23,
    op_shl = 0x24,
    op_shr = 0x25,
    op_shra = 0x26,
    op_xor = 0x27,
    op_bra = 0x28,
    op_eq = 0x29,
    op_ge = 0x2a,
    op_gt = 0x2b,
    op_le = 0x2c,
    op_lt = 0x2d,
    op_ne = 0x2e,
    op_skip = 0x2f,
    op_lit0 = 0x30,
    op_reg0 = 0x50,
    op_breg0 = 0x70,
    op_breg31 = 0x8f,
    op_regx = 0x90,
    op_bregx = 0x92,
    op_deref_size = 0x94,
    op_nop = 0x96,
};

std::uint64_t widen(std::int64_t value) noexcept {
    return static_cast<std::uint64_t>(value);
}
std::int64_t as_signed(std::uint64_t value) noexcept {
    return static_cast<std::int64_t>(value);
}

class evaluation {
public:
    evaluation(std::span<const std::uint8_t> bytes, const cpu_state& registers,
               stack_memory& memory) noexcept
        : at_(bytes, 0), registers_(registers), memory_(memory) {}

    void push(std::uint64_t value) noexcept {
        if (depth_ == max_expression_depth) return give_up(unwind_end::no_cfi);
        stack_[depth_++] = value;
    }

    found_value run() noexcept {
        for (unsigned steps = 0; !at_.at_end() && good_; ++steps) {
            if (steps == max_expression_steps) give_up(unwind_end::no_cfi);
            step(at_.u8());
        }
        if (at_.failed() || depth_ == 0) give_up(unwind_end::no_cfi);
        if (!good_) return {.why = why_};
        return {.value = stack_[depth_ - 1], .known = true, .live = live_};
    }

private:
    void give_up(unwind_end why) noexcept {
        if (good_) why_ = why;
        good_ = false;
    }

    std::uint64_t pop() noexcept {
        if (depth_ == 0) {
            give_up(unwind_end::no_cfi);
            return 0;
        }
        return stack_[--depth_];
    }

    void pick(std::uint64_t index) noexcept {
        if (index >= depth_) return give_up(unwind_end::no_cfi);
        push(stack_[depth_ - 1 - index]);
    }

    void push_register(std::uint64_t index, std::int64_t offset) noexcept {
        if (index >= register_count) return give_up(unwind_end::no_cfi);
        const auto number = static_cast<unsigned>(index);
        if (!registers_.knows(number)) return give_up(unwind_end::unknown_register);
        push(registers_.value[number] + widen(offset));
    }

    void dereference(std::uint64_t size) noexcept {
        if (size != 1 && size != 2 && size != 4 && size != 8) {
            return give_up(unwind_end::no_cfi);
        }
        std::uint64_t word = 0;
        const stack_memory::origin from = memory_.read(pop(), word);
        if (from == stack_memory::origin::none) return give_up(unwind_end::unreadable);
        live_ = live_ || from == stack_memory::origin::live;
        if (size < 8) word &= (std::uint64_t{1} << size * 8) - 1;
        push(word);
    }

    void branch(bool taken) noexcept {
        const std::int64_t distance = at_.fixed<std::int16_t>();
        if (taken) at_.jump(distance);
    }

    void step(std::uint8_t code) noexcept {
        if (code >= op_lit0 && code < op_reg0) return push(code - op_lit0);
        if (code >= op_reg0 && code < op_breg0) return push_register(code - op_reg0, 0);
        if (code >= op_breg0 && code <= op_breg31) {
            return push_register(code - op_breg0, at_.sleb());
        }
        if (code >= op_addr && code <= op_consts && code != op_deref) return constant(code);
        if (code >= op_dup && code <= op_rot) return shuffle(code);
        if (code >= op_abs && code <= op_ne && code != op_bra) return calculate(code);
        switch (code) {
            case op_nop:
                return;
            case op_deref:
                return dereference(8);
            case op_deref_size:
                return dereference(at_.u8());
            case op_bra:
                return branch(pop() != 0);
            case op_skip:
                return branch(true);
            case op_regx:
                return push_register(at_.uleb(), 0);
            case op_bregx: {
                const std::uint64_t index = at_.uleb();
                return push_register(index, at_.sleb());
            }
            default:
                return give_up(unwind_end::no_cfi);
        }
    }

    void constant(std::uint8_t code) noexcept {
        switch (code) {
            case op_const1u:
                return push(at_.u8());
            case op_const1s:
                return push(widen(at_.fixed<std::int8_t>()));
            case op_const2u:
                return push(at_.fixed<std::uint16_t>());
            case op_const2s:
                return push(widen(at_.fixed<std::int16_t>()));
            case op_const4u:
                return push(at_.fixed<std::uint32_t>());
            case op_const4s:
                return push(widen(at_.fixed<std::int32_t>()));
            case op_addr:
            case op_const8u:
            case op_const8s:
                return push(at_.fixed<std::uint64_t>());
            case op_constu:
                return push(at_.uleb());
            case op_consts:
                return push(widen(at_.sleb()));
            default:
                return give_up(unwind_end::no_cfi);
        }
    }

    void shuffle(std::uint8_t code) noexcept {
        switch (code) {
            case op_dup:
                return pick(0);
            case op_drop:
                (void)pop();
                return;
            case op_over:
                return pick(1);
            case op_pick:
                return pick(at_.u8());
            case op_swap: {
                const std::uint64_t top = pop();
                const std::uint64_t below = pop();
                push(top);
                return push(below);
            }
            default: {  // rot
                const std::uint64_t top = pop();
                const std::uint64_t second = pop();
                const std::uint64_t third = pop();
                push(top);
                push(third);
                return push(second);
            }
        }
    }

    void calculate(std::uint8_t code) noexcept {
        const std::uint64_t top = pop();
        switch (code) {
            case op_abs:
                return push(as_signed(top) < 0 ? 0 - top : top);
            case op_neg:
                return push(0 - top);
            case op_not:
                return push(~top);
            case op_plus_uconst:
                return push(top + at_.uleb());
            default:
                return combine(code, pop(), top);
        }
    }

    void combine(std::uint8_t code, std::uint64_t left, std::uint64_t right) noexcept {
        const bool wide = right >= 64;
        switch (code) {
            case op_and:
                return push(left & right);
            case op_or:
                return push(left | right);
            case op_xor:
                return push(left ^ right);
            case op_plus:
                return push(left + right);
            case op_minus:
                return push(left - right);
            case op_mul:
                return push(left * right);
            case op_div:
            case op_mod:
                return divide(code, left, right);
            case op_shl:
                return push(wide ? 0 : left << right);
            case op_shr:
                return push(wide ? 0 : left >> right);
            case op_shra:
                return push(widen(as_signed(left) >> (wide ? 63 : right)));
            default:
                return push(compare(code, as_signed(left), as_signed(right)) ? 1 : 0);
        }
    }

    // Division is signed, modulo is not; dividing by -1 can overflow.
    void divide(std::uint8_t code, std::uint64_t left, std::uint64_t right) noexcept {
        if (right == 0) return give_up(unwind_end::no_cfi);
        if (code == op_mod) return push(left % right);
        if (as_signed(right) == -1) return push(0 - left);
        return push(widen(as_signed(left) / as_signed(right)));
    }

    static bool compare(std::uint8_t code, std::int64_t left, std::int64_t right) noexcept {
        switch (code) {
            case op_eq:
                return left == right;
            case op_ge:
                return left >= right;
            case op_gt:
                return left > right;
            case op_le:
                return left <= right;
            case op_lt:
                return left < right;
            default:
                return left != right;
        }
    }

    dwarf_cursor at_;
    const cpu_state& registers_;
    stack_memory& memory_;
    std::uint64_t stack_[max_expression_depth] = {};
    unsigned depth_ = 0;
    bool good_ = true;
    bool live_ = false;
    unwind_end why_ = unwind_end::no_cfi;
};

}  // namespace

found_value evaluate_expression(std::span<const std::uint8_t> bytes, const cpu_state& registers,
                                stack_memory& memory,
                                std::optional<std::uint64_t> pushed) noexcept {
    evaluation one(bytes, registers, memory);
    if (pushed) one.push(*pushed);
    return one.run();
}

}  // namespace corodump::symbols
