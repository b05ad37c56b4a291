#include "agent/symbols/unwinder.hpp"

#include <cstdint>
#include <optional>
#include <span>

#include "agent/symbols/cpu_state.hpp"
#include "agent/symbols/dwarf_expression.hpp"
#include "agent/symbols/prologue.hpp"
#include "agent/symbols/unwind_row.hpp"
#include "agent/symbols/unwind_tables.hpp"

namespace corodump::symbols {
namespace {

#if defined(__aarch64__)
// An interrupted function may have its return address in a register still.
constexpr bool calls_push = false;
constexpr unsigned link_register = 30;
#else
constexpr bool calls_push = true;
constexpr unsigned link_register = pc_register;
#endif

std::uint64_t plain_return_address(std::uint64_t value, bool signed_return) noexcept {
#if defined(__aarch64__)
    if (signed_return) {
        // XPACLRI, a hint: it does nothing where the processor has no such thing.
        register std::uint64_t link __asm__("x30") = value;
        __asm__("hint 7" : "+r"(link));
        return link;
    }
#endif
    (void)signed_return;
    return value;
}

/// One stack, from its first frame outwards.
class walk {
public:
    walk(unwind_tables& tables, stack_memory& memory, const cpu_state& from) noexcept
        : tables_(tables), memory_(memory), now_(from) {}

    unwound run(std::span<native_frame> into) noexcept;

private:
    // Those that return bool give false when the stack ends, for the reason in end_.
    unwind_row* find_row() noexcept;
    bool is_trampoline(std::uint64_t return_address) noexcept;
    bool step(unwind_row& row) noexcept;
    bool find_cfa(unwind_row& row, std::uint64_t& cfa) noexcept;
    bool infer_frame_pointer(unwind_row& row) noexcept;
    bool find_return_address(const unwind_row& row, std::uint64_t cfa, std::uint64_t& to) noexcept;
    void restore_registers(const unwind_row& row, std::uint64_t cfa, cpu_state& caller) noexcept;
    [[nodiscard]] bool rises(const unwind_row& row, const cpu_state& caller) const noexcept;
    bool enter(const cpu_state& caller) noexcept;

    found_value follow(const register_rule& rule, std::uint64_t cfa) noexcept;
    found_value load(std::uint64_t address) noexcept;
    found_value expression(std::int64_t address, std::uint32_t size,
                           std::optional<std::uint64_t> pushed) noexcept;

    [[nodiscard]] std::uint64_t lookup_address() const noexcept {
        return now_.pc() - (interrupted_ ? 0 : 1);
    }
    bool stop(unwind_end why) noexcept {
        end_ = why;
        return false;
    }

    unwind_tables& tables_;
    stack_memory& memory_;
    cpu_state now_;
    unwind_end end_ = unwind_end::bound;
    bool interrupted_ = true;  // now_.pc() is exact
    bool live_ = false;
    bool inferred_ = false;
};

unwound walk::run(std::span<native_frame> into) noexcept {
    unwound result;
    for (bool further = true; further && result.frames < into.size();) {
        unwind_row* const row = find_row();
        into[result.frames++] = {
            .pc = now_.pc(), .live = live_, .inferred = inferred_, .interrupted = interrupted_};
        further = row != nullptr ? step(*row) : stop(unwind_end::no_cfi);
    }
    result.end = end_;
    result.inferred = result.frames != 0 && into[result.frames - 1].inferred;
    result.live = result.frames != 0 && into[result.frames - 1].live;
    return result;
}

// A return address may lie behind its function's end, when the call does not return. A signal's
// trampoline is returned to without having called: it is found at its very first byte.
unwind_row* walk::find_row() noexcept {
    unwind_row* row = tables_.row(lookup_address());
    if (row == nullptr && !interrupted_) {
        row = tables_.row(now_.pc());
        if (row != nullptr && !row->signal_frame) row = nullptr;
    }
    if (row != nullptr && row->signal_frame) interrupted_ = true;
    return row;
}

bool walk::step(unwind_row& row) noexcept {
    if (row.return_address.kind == rule_kind::undefined) return stop(unwind_end::complete);
    std::uint64_t cfa = 0;
    if (!find_cfa(row, cfa)) return false;
    cpu_state caller = now_;
    // What a call may clobber is lost unless the row says where it is; of an interrupted function
    // only that is known.
    caller.known &= row.signal_frame ? 0 : preserved_registers;
    std::uint64_t return_address = 0;
    if (!find_return_address(row, cfa, return_address)) return false;
    caller.set(sp_register, cfa);
    restore_registers(row, cfa, caller);
    caller.set(pc_register, return_address);
    if (!caller.knows(sp_register)) return stop(unwind_end::unknown_register);
    if (!row.signal_frame && !rises(row, caller)) return stop(unwind_end::no_progress);
    interrupted_ = row.signal_frame;
    return enter(caller);
}

// Each caller's frame lies above; also the first may have nothing on the stack, whose return
// address is in a register: a leaf function of aarch64, vfork, the end of longjmp. Signals may be
// handled on another stack, above or below, so that is not asked of their frames.
bool walk::rises(const unwind_row& row, const cpu_state& caller) const noexcept {
    const rule_kind where = row.return_address.kind;
    const bool in_register = where == rule_kind::in_register || where == rule_kind::same_value ||
                             where == rule_kind::unspecified;
    if (interrupted_ && in_register) return caller.sp() >= now_.sp();
    return caller.sp() > now_.sp();
}

bool walk::enter(const cpu_state& caller) noexcept {
    now_ = caller;
    if (now_.pc() != 0) return true;
    const bool outermost =
        now_.knows(frame_pointer_register) && now_.value[frame_pointer_register] == 0;
    return stop(outermost ? unwind_end::complete : unwind_end::no_cfi);
}

bool walk::find_cfa(unwind_row& row, std::uint64_t& cfa) noexcept {
    const cfa_rule& rule = row.cfa;
    if (rule.expression) {
        const found_value found = expression(rule.value, rule.size, std::nullopt);
        cfa = found.value;
        live_ = live_ || found.live;
        return found.known || stop(found.why);
    }
    if (!now_.knows(rule.base) && !infer_frame_pointer(row)) {
        return stop(unwind_end::unknown_register);
    }
    cfa = now_.value[rule.base] + static_cast<std::uint64_t>(rule.value);
    return true;
}

/// A signal handler's return address: no call is before it, but no other place is marked so.
bool walk::is_trampoline(std::uint64_t return_address) noexcept {
    function_entry entry;
    return tables_.find_function(return_address, entry) && entry.cie.signal_frame;
}

bool walk::infer_frame_pointer(unwind_row& row) noexcept {
    const std::optional<std::uint64_t> depth =
        infer_frame_depth(tables_, row, lookup_address(), interrupted_);
    if (!depth) return false;
    const std::uint64_t cfa = now_.sp() + *depth;
    std::uint64_t return_address = 0;
    const stack_memory::origin from = memory_.read(cfa - 8, return_address);
    if (from == stack_memory::origin::none) return false;
    if (!follows_call(tables_, return_address) && !is_trampoline(return_address)) return false;
    now_.set(frame_pointer_register, cfa - static_cast<std::uint64_t>(row.cfa.value));
    inferred_ = true;
    return true;
}

bool walk::find_return_address(const unwind_row& row, std::uint64_t cfa,
                               std::uint64_t& to) noexcept {
    const register_rule& rule = row.return_address;
    found_value found;
    if (rule.kind == rule_kind::unspecified || rule.kind == rule_kind::same_value) {
        if (calls_push) return stop(unwind_end::no_cfi);
        if (!interrupted_ || !now_.knows(link_register)) {
            return stop(unwind_end::unknown_register);
        }
        found = {.value = now_.value[link_register], .known = true};
    } else {
        found = follow(rule, cfa);
    }
    if (!found.known) return stop(found.why);
    live_ = live_ || found.live;
    to = plain_return_address(found.value, row.signed_return);
    return true;
}

void walk::restore_registers(const unwind_row& row, std::uint64_t cfa, cpu_state& caller) noexcept {
    for (unsigned i = 0; i < row.count; ++i) {
        const register_rule& rule = row.rules[i];
        const found_value found = follow(rule, cfa);
        live_ = live_ || found.live;
        if (found.known) {
            caller.set(rule.target, found.value);
        } else {
            caller.forget(rule.target);
        }
    }
}

found_value walk::follow(const register_rule& rule, std::uint64_t cfa) noexcept {
    switch (rule.kind) {
        case rule_kind::at_offset:
            return load(cfa + static_cast<std::uint64_t>(rule.value));
        case rule_kind::is_offset:
            return {.value = cfa + static_cast<std::uint64_t>(rule.value), .known = true};
        case rule_kind::at_expression: {
            found_value place = expression(rule.value, rule.size, cfa);
            if (!place.known) return place;
            found_value found = load(place.value);
            found.live = found.live || place.live;
            return found;
        }
        case rule_kind::is_expression:
            return expression(rule.value, rule.size, cfa);
        case rule_kind::in_register:
        case rule_kind::same_value: {
            const auto index = rule.kind == rule_kind::same_value
                                   ? rule.target
                                   : static_cast<std::uint64_t>(rule.value);
            if (index >= register_count || !now_.knows(static_cast<unsigned>(index))) break;
            return {.value = now_.value[index], .known = true};
        }
        case rule_kind::unspecified:
        case rule_kind::undefined:
            break;
    }
    return {.why = unwind_end::unknown_register};
}

found_value walk::load(std::uint64_t address) noexcept {
    found_value found{.why = unwind_end::unreadable};
    const stack_memory::origin from = memory_.read(address, found.value);
    found.known = from != stack_memory::origin::none;
    found.live = from == stack_memory::origin::live;
    return found;
}

found_value walk::expression(std::int64_t address, std::uint32_t size,
                             std::optional<std::uint64_t> pushed) noexcept {
    std::uint8_t bytes[max_expression_bytes];
    if (size > sizeof bytes ||
        !tables_.images().read(static_cast<std::uint64_t>(address), bytes, size)) {
        return {.why = unwind_end::no_cfi};
    }
    return evaluate_expression({bytes, size}, now_, memory_, pushed);
}

}  // namespace

unwound unwinder::unwind(const cpu_state& from, stack_memory& memory,
                         std::span<native_frame> into) noexcept {
    if (!from.knows(pc_register) || !from.knows(sp_register)) {
        return {.end = unwind_end::unknown_register};
    }
    return walk(*tables_, memory, from).run(into);
}

}  // namespace corodump::symbols
