// JSON strings for log lines: whatever the bytes are, the line stays one line of valid JSON.
//
// Threads: any. Signals: unsafe. Blocks: never. Errors: bytes that are no UTF-8 become U+FFFD.
#pragma once

#include <cstddef>
#include <string_view>

namespace corodump {
inline namespace abi_v1 {
namespace detail {

/// The bytes of the UTF-8 character that `text` begins with; 0: it begins with none. After the
/// Unicode standard's table of well-formed sequences: no surrogates, no overlong forms.
constexpr std::size_t utf8_bytes(std::string_view text) noexcept {
    const auto at = [text](std::size_t i) {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    const auto follows = [&](std::size_t i) { return (at(i) & 0xC0U) == 0x80U; };
    const unsigned first = at(0), second = at(1);
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        const bool well = !(first == 0xE0 && second < 0xA0) && !(first == 0xED && second > 0x9F);
        return well && follows(1) && follows(2) ? 3 : 0;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        const bool well = !(first == 0xF0 && second < 0x90) && !(first == 0xF4 && second > 0x8F);
        return well && follows(1) && follows(2) && follows(3) ? 4 : 0;
    }
    return 0;
}

template <class Buffer>
void put_text(Buffer& to, std::string_view text) {
    to.append(text.data(), text.data() + text.size());
}

/// What stands for a character that may not stand for itself; empty: it may.
template <class Buffer>
void put_escaped_byte(Buffer& to, char byte) {
    constexpr std::string_view digits = "0123456789abcdef";
    constexpr std::string_view named = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt";
    const std::size_t name = named.find(byte);
    const auto value = static_cast<unsigned char>(byte);
    if (name != std::string_view::npos) {
        const char escape[] = {'\\', letters[name]};
        put_text(to, {escape, sizeof escape});
    } else {
        const char escape[] = {'\\', 'u', '0', '0', digits[value >> 4U], digits[value & 15U]};
        put_text(to, {escape, sizeof escape});
    }
}

/// Without the quotes.
template <class Buffer>
void put_json_escaped(Buffer& to, std::string_view text) {
    std::size_t plain = 0;  // bytes that go as they are
    const auto flush = [&] {
        put_text(to, text.substr(0, plain));
        text.remove_prefix(plain);
        plain = 0;
    };
    while (plain < text.size()) {
        const auto byte = static_cast<unsigned char>(text[plain]);
        const bool escaped = byte < 0x20 || byte == '"' || byte == '\\' || byte == 0x7F;
        const std::size_t bytes = escaped ? 0 : utf8_bytes(text.substr(plain));
        if (bytes != 0) {
            plain += bytes;
            continue;
        }
        flush();
        if (escaped)
            put_escaped_byte(to, text.front());
        else
            put_text(to, "\xEF\xBF\xBD");
        text.remove_prefix(1);
    }
    flush();
}

template <class Buffer>
void put_json_string(Buffer& to, std::string_view text, bool cut = false) {
    put_text(to, "\"");
    put_json_escaped(to, text);
    put_text(to, cut ? "\xE2\x80\xA6\"" : "\"");
}

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
