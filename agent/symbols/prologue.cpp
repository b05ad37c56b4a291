#include "agent/symbols/prologue.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "agent/symbols/cfi_program.hpp"
#include "agent/symbols/cpu_state.hpp"
#include "agent/symbols/eh_frame.hpp"
#include "agent/symbols/image_memory.hpp"
#include "agent/symbols/unwind_row.hpp"
#include "agent/symbols/unwind_tables.hpp"
#include "agent/symbols/x86_instruction.hpp"

namespace corodump::symbols {

#if defined(__x86_64__)
namespace {

using effect = x86_instruction::effect;

constexpr std::int64_t word = 8;
// What is above rbp: itself and the return address.
constexpr std::int64_t frame_offset = 2 * word;
// A frame of more is more than any stack.
constexpr std::int64_t max_depth = std::int64_t{1} << 30;

// The function's code through a small window, so that each instruction costs no page look-up.
class code_window {
public:
    code_window(image_memory& images, std::uint64_t end) noexcept : images_(images), end_(end) {}

    [[nodiscard]] x86_instruction at(std::uint64_t address) noexcept {
        if (address < start_ || address + max_instruction_bytes > start_ + size_) fill(address);
        const auto offset = static_cast<std::size_t>(address - start_);
        return decode_x86(std::span<const std::uint8_t>(bytes_).first(size_).subspan(offset));
    }

private:
    void fill(std::uint64_t address) noexcept {
        const std::uint64_t want = std::min<std::uint64_t>(bytes_.size(), end_ - address);
        start_ = address;
        size_ = images_.read_some(address, std::span(bytes_).first(static_cast<std::size_t>(want)));
    }

    image_memory& images_;
    std::uint64_t end_;
    std::uint64_t start_ = 0;
    std::size_t size_ = 0;
    std::array<std::uint8_t, 512> bytes_{};
};

/// One function, decoded from its first byte to its last.
class frame_decoder {
public:
    frame_decoder(const function_entry& function, const unwind_row& row, std::uint64_t address,
                  bool interrupted) noexcept
        : program_(function),
          row_(row),
          begin_(function.fde.begin),
          end_(function.fde.end),
          address_(address),
          interrupted_(interrupted) {}

    [[nodiscard]] std::optional<std::uint64_t> run(image_memory& images) noexcept {
        if (end_ - begin_ > max_decoded_bytes || !starts_like_a_function()) return std::nullopt;
        code_window code(images, end_);
        for (std::uint64_t at = begin_; at < end_;) {
            const x86_instruction one = code.at(at);
            if (one.what == effect::unknown || one.length > end_ - at) return std::nullopt;
            if (!follow_tables(at)) return std::nullopt;
            const bool here = address_ >= at && address_ < at + one.length;
            if (here && !note_depth(at, one)) return std::nullopt;
            if (!apply(one)) return std::nullopt;
            at += one.length;
        }
        return found_;
    }

private:
    enum class phase : std::uint8_t { before, prologue, body, epilogue };

    // A cold part that the compiler put elsewhere begins in the middle of things.
    bool starts_like_a_function() noexcept {
        if (!program_.advance_to(begin_)) return false;
        const cfa_rule& cfa = program_.cfa();
        const register_rule back = program_.rule(pc_register);
        return cfa.valid && !cfa.expression && cfa.base == sp_register && cfa.value == word &&
               back.kind == rule_kind::at_offset && back.value == -word;
    }

    // The tables say when rbp is the frame pointer; before and after that they know rsp.
    bool follow_tables(std::uint64_t at) noexcept {
        if (!program_.advance_to(at)) return false;
        const cfa_rule& cfa = program_.cfa();
        if (cfa.expression) return false;
        if (cfa.base == sp_register) {
            in_frame_ = false;
            outside_depth_ = cfa.value;
            return true;
        }
        const register_rule saved = program_.rule(frame_pointer_register);
        if (cfa.base != frame_pointer_register || cfa.value != frame_offset ||
            saved.kind != rule_kind::at_offset || saved.value != -frame_offset) {
            return false;
        }
        if (in_frame_) return true;
        in_frame_ = true;
        if (phase_ != phase::before) {
            phase_ = phase::body;  // behind an epilogue
            return true;
        }
        phase_ = phase::prologue;
        depth_ = outside_depth_;
        return frame_set_ && depth_ == frame_offset;
    }

    bool note_depth(std::uint64_t at, const x86_instruction& one) noexcept {
        if (!in_frame_ || phase_ == phase::epilogue) return false;
        const bool stopped_here = interrupted_
                                      ? address_ == at
                                      : one.what == effect::call && address_ == at + one.length - 1;
        if (!stopped_here) return false;
        found_ = static_cast<std::uint64_t>(depth_);
        return true;
    }

    bool apply(const x86_instruction& one) noexcept {
        const bool second_frame = one.what == effect::set_frame && phase_ != phase::before;
        if (second_frame) return false;
        frame_set_ = one.what == effect::set_frame;
        if (!in_frame_) return true;
        switch (phase_) {
            case phase::prologue:
                return in_prologue(one);
            case phase::body:
                return in_body(one);
            default:
                return in_epilogue(one);
        }
    }

    bool in_prologue(const x86_instruction& one) noexcept {
        switch (one.what) {
            case effect::push:
                return push(static_cast<unsigned>(one.operand));
            case effect::lower:
                if (one.operand > 0) return allocate(one.operand);
                break;
            case effect::none:
                return true;
            default:
                break;
        }
        // The first thing that is not straight-line code ends it.
        phase_ = phase::body;
        return in_body(one);
    }

    // Saved registers are where the tables say. clang pushes rax where it needs eight bytes.
    bool push(unsigned number) noexcept {
        if (allocated_) return false;
        if (number == 0) return allocate(word);
        depth_ += word;
        for (unsigned i = 0; i < row_.count; ++i) {
            const register_rule& rule = row_.rules[i];
            if (rule.target != number) continue;
            return rule.kind == rule_kind::at_offset && rule.value == -depth_;
        }
        return false;
    }

    bool allocate(std::int64_t bytes) noexcept {
        if (allocated_ || bytes % word != 0 || bytes > max_depth) return false;
        allocated_ = true;
        depth_ += bytes;
        return true;
    }

    // In the body rsp stays where it is; whatever raises it begins an epilogue.
    bool in_body(const x86_instruction& one) noexcept {
        switch (one.what) {
            case effect::none:
            case effect::call:
            case effect::branch:
            case effect::jump:
                return true;
            case effect::lower:
                if (one.operand >= 0) return false;
                break;
            case effect::pop:
            case effect::from_frame:
            case effect::leave:
                break;
            default:
                return false;
        }
        phase_ = phase::epilogue;
        return true;
    }

    bool in_epilogue(const x86_instruction& one) noexcept {
        switch (one.what) {
            case effect::jump:
                phase_ = phase::body;
                return true;
            case effect::lower:
                return one.operand < 0;
            case effect::none:
            case effect::pop:
            case effect::from_frame:
            case effect::leave:
                return true;
            default:
                return false;
        }
    }

    cfi_program program_;
    const unwind_row& row_;
    std::uint64_t begin_;
    std::uint64_t end_;
    std::uint64_t address_;
    bool interrupted_;
    phase phase_ = phase::before;
    bool in_frame_ = false;
    bool frame_set_ = false;  // by the last instruction
    bool allocated_ = false;
    std::int64_t outside_depth_ = 0;
    std::int64_t depth_ = 0;  // of the body, once the prologue is over
    std::optional<std::uint64_t> found_;
};

}  // namespace

std::optional<std::uint64_t> infer_frame_depth(unwind_tables& tables, unwind_row& row,
                                               std::uint64_t address, bool interrupted) noexcept {
    frame_depth& known = row.depth;
    if (known.state == frame_depth::answer::unasked) {
        known.state = frame_depth::answer::refused;
        function_entry function;
        if (row.cfa.base != frame_pointer_register || row.cfa.expression || row.signal_frame ||
            !tables.find_function(address, function)) {
            return std::nullopt;
        }
        frame_decoder decoder(function, row, address, interrupted);
        const std::optional<std::uint64_t> depth = decoder.run(tables.images());
        if (!depth) return std::nullopt;
        known.bytes = static_cast<std::uint32_t>(*depth);
        known.state = frame_depth::answer::found;
    }
    if (known.state == frame_depth::answer::refused) return std::nullopt;
    return known.bytes;
}

bool follows_call(unwind_tables& tables, std::uint64_t return_address) noexcept {
    function_entry caller;
    if (!tables.is_code(return_address - 1) || !tables.find_function(return_address - 1, caller)) {
        return false;
    }
    // From two bytes (call *%rax) to eight (through memory, with prefixes).
    constexpr std::size_t longest = 8;
    std::uint8_t bytes[longest];
    if (!tables.images().read(return_address - longest, bytes, longest)) return false;
    for (std::size_t size = 2; size <= longest; ++size) {
        const x86_instruction one = decode_x86(std::span<const std::uint8_t>(bytes).last(size));
        if (one.what == effect::call && one.length == size) return true;
    }
    return false;
}

#else

std::optional<std::uint64_t> infer_frame_depth(unwind_tables& /*tables*/, unwind_row& /*row*/,
                                               std::uint64_t /*address*/,
                                               bool /*interrupted*/) noexcept {
    return std::nullopt;
}

bool follows_call(unwind_tables& /*tables*/, std::uint64_t /*return_address*/) noexcept {
    return false;
}

#endif

}  // namespace corodump::symbols
