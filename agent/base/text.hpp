// Text without memory of its own: an appender into the caller's buffer, and two number parsers.
//
// For everything that is written before the dump file is in place, where snprintf (locale lock,
// malloc for wide or long conversions) must not be called. What does not fit is cut, never written
// past the end, and `truncated()` stays true from then on.
//
// Threads: one owner. Signals: safe. Blocks: never. Errors: truncation flag. Bounds: the buffer.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace corodump::base {

class text {
public:
    explicit text(std::span<char> buffer) noexcept : buffer_(buffer) {}

    text& append(std::string_view more) noexcept {
        const std::size_t fits = std::min(more.size(), buffer_.size() - size_);
        if (fits != 0) std::memcpy(buffer_.data() + size_, more.data(), fits);
        size_ += fits;
        truncated_ = truncated_ || fits < more.size();
        return *this;
    }
    text& append(char one) noexcept { return append(std::string_view(&one, 1)); }

    /// At least `min_digits` digits, filled with zeros.
    text& decimal(std::uint64_t value, unsigned min_digits = 1) noexcept {
        return number(value, 10, min_digits);
    }
    text& decimal_signed(std::int64_t value) noexcept {
        if (value >= 0) return decimal(static_cast<std::uint64_t>(value));
        // Unsigned negation: the minimum has no positive counterpart.
        return append('-').decimal(0 - static_cast<std::uint64_t>(value));
    }
    /// Lower case, no prefix.
    text& hex(std::uint64_t value, unsigned min_digits = 1) noexcept {
        return number(value, 16, min_digits);
    }

    /// Fixed point with `decimals` (at most 9) digits, rounded half away from zero. What JSON
    /// cannot say (NaN, infinity) and what exceeds 64 bits once scaled appends "null".
    text& fixed(double value, unsigned decimals) noexcept {
        decimals = std::min(decimals, 9U);
        std::uint64_t scale = 1;
        for (unsigned i = 0; i < decimals; ++i) scale *= 10;
        const double scaled = std::fabs(value) * static_cast<double>(scale) + 0.5;
        if (!(scaled < 18446744073709549568.0)) return append("null");
        const auto whole = static_cast<std::uint64_t>(scaled);
        if (std::signbit(value) && whole != 0) append('-');
        decimal(whole / scale);
        return decimals == 0 ? *this : append('.').decimal(whole % scale, decimals);
    }

    [[nodiscard]] std::string_view view() const noexcept { return {buffer_.data(), size_}; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::size_t room() const noexcept { return buffer_.size() - size_; }
    [[nodiscard]] bool truncated() const noexcept { return truncated_; }

    void clear() noexcept {
        size_ = 0;
        truncated_ = false;
    }
    /// Back to an earlier size(). What was cut behind it is forgotten with it.
    void shrink(std::size_t size) noexcept {
        size_ = std::min(size, size_);
        truncated_ = truncated_ && size_ == buffer_.size();
    }

private:
    text& number(std::uint64_t value, unsigned radix, unsigned min_digits) noexcept {
        char digits[64];
        char* const end = digits + sizeof digits;
        char* at = end;
        do {
            *--at = "0123456789abcdef"[value % radix];
            value /= radix;
        } while (value != 0);
        while (end - at < static_cast<std::ptrdiff_t>(std::min(min_digits, 64U))) *--at = '0';
        return append(std::string_view(at, static_cast<std::size_t>(end - at)));
    }

    std::span<char> buffer_;
    std::size_t size_ = 0;
    bool truncated_ = false;
};

/// All of `digits` must be a number of the radix that fits: no sign, no space, no prefix.
[[nodiscard]] inline bool parse_unsigned(std::string_view digits, std::uint64_t& value,
                                         int radix = 10) noexcept {
    if (digits.empty()) return false;
    const char* const end = digits.data() + digits.size();
    std::uint64_t parsed = 0;
    // For integers std::from_chars is a loop over the characters: no locale, no allocation.
    const auto [stop, error] = std::from_chars(digits.data(), end, parsed, radix);
    if (error != std::errc{} || stop != end) return false;
    value = parsed;
    return true;
}

[[nodiscard]] inline bool parse_hex(std::string_view digits, std::uint64_t& value) noexcept {
    return parse_unsigned(digits, value, 16);
}

/// Cuts off and returns what stands before the first `separator`; all of `rest` when there is none.
inline std::string_view split_off(std::string_view& rest, char separator) noexcept {
    const std::size_t at = rest.find(separator);
    const std::string_view head = rest.substr(0, at);
    rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
    return head;
}

}  // namespace corodump::base
