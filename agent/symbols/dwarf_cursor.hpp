// Reads the numbers of DWARF one after the other, out of bytes that may be hostile.
//
// Used by the readers of .eh_frame, of CFI programs and of expressions. The first read beyond the
// end fails the cursor for good: it then gives zeros, so that a reader may read on and ask once.
//
// Threads: any. Signals: safe. Blocks: never. Errors: failed(). Bounds: the bytes given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace corodump::symbols {

/// How .eh_frame writes a pointer (LSB core specification, 10.5.1).
inline constexpr std::uint8_t pointer_absent = 0xff;
inline constexpr std::uint8_t pointer_indirect = 0x80;

/// What pointers can be relative to, beside their own place. 0: unknown.
struct pointer_bases {
    std::uint64_t text = 0;
    std::uint64_t data = 0;
    std::uint64_t function = 0;
};

class dwarf_cursor {
public:
    /// `address`: where the first byte lies in the process.
    dwarf_cursor(std::span<const std::uint8_t> bytes, std::uint64_t address) noexcept
        : bytes_(bytes), address_(address) {}

    [[nodiscard]] bool failed() const noexcept { return failed_; }
    [[nodiscard]] bool at_end() const noexcept { return failed_ || at_ == bytes_.size(); }
    [[nodiscard]] std::size_t position() const noexcept { return at_; }
    [[nodiscard]] std::uint64_t address() const noexcept { return address_ + at_; }
    [[nodiscard]] std::span<const std::uint8_t> rest() const noexcept {
        return bytes_.subspan(at_);
    }

    template <class T>
    T fixed() noexcept {
        T value{};
        if (!take(sizeof(T))) return value;
        std::memcpy(&value, bytes_.data() + at_ - sizeof(T), sizeof(T));
        return value;
    }
    std::uint8_t u8() noexcept { return fixed<std::uint8_t>(); }
    /// Bits beyond the 64th are dropped.
    std::uint64_t uleb() noexcept;
    std::int64_t sleb() noexcept;
    void skip(std::uint64_t count) noexcept { (void)take(count); }
    /// Forwards or back, within the bytes.
    void jump(std::int64_t distance) noexcept;
    /// Only a cursor that has not failed may be told so.
    void fail() noexcept { failed_ = true; }

    /// A pointer that is 0 stays 0, whatever it is relative to. Fails for the encodings that mean
    /// nothing, for an unknown base, and for an indirect pointer: none that matters here is one.
    std::uint64_t pointer(std::uint8_t encoding, const pointer_bases& bases = {}) noexcept;
    /// The number of such a pointer alone, as it stands there.
    std::uint64_t pointer_value(std::uint8_t encoding) noexcept;

private:
    /// LEB128, little-endian groups of 7 bits.
    template <bool Signed>
    std::uint64_t leb() noexcept;
    bool take(std::uint64_t count) noexcept {
        if (failed_ || count > bytes_.size() - at_) {
            failed_ = true;
            return false;
        }
        at_ += static_cast<std::size_t>(count);
        return true;
    }

    std::span<const std::uint8_t> bytes_;
    std::uint64_t address_;
    std::size_t at_ = 0;
    bool failed_ = false;
};

}  // namespace corodump::symbols
