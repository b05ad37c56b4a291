// JSON as a stream: values go into a fixed buffer, a full buffer goes to a sink.
//
// The dump writer's tool on the watchdog, where there is neither malloc nor stdio. It places the
// commas and escapes every text, so that what it wrote is valid JSON once all that was opened is
// closed; that the caller pairs its begins and ends is not checked.
//
//   begin, member, value ... ──> [ buffer ───── at ──────── limit | slack ]
//                                     └──── full or flush() ────> byte_sink
//
// What is written a million times goes past the values: `reserve` room once, lay the text down with
// the `put_*` of json_text.hpp, `commit` its end.
//
// Threads: one owner. Signals: unsafe (the sink writes files).
// Blocks:  as long as the sink does.
// Errors:  a sink that refuses a write is never called again; `failed()` stays true, and everything
//          after it is accepted and thrown away, so callers look at `failed()` once per element.
// Bounds:  the buffer; no memory of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "agent/format/json_text.hpp"

namespace corodump::format {

/// Where the bytes go. A sink that wants to end a dump (a deadline passed) returns false.
class byte_sink {
public:
    /// All of `bytes`, or false.
    [[nodiscard]] virtual bool write(std::span<const char> bytes) noexcept = 0;
    /// Writes over what it took before, from byte `offset` on; or false.
    [[nodiscard]] virtual bool overwrite(std::uint64_t offset,
                                         std::span<const char> bytes) noexcept = 0;

protected:
    ~byte_sink() = default;
};

class json_writer {
public:
    /// What one `reserve` may ask for: room for two texts at their longest.
    static constexpr std::size_t max_reserve_bytes = 2 * escaped_room(max_text_bytes) + 256;
    /// The least a buffer must have.
    static constexpr std::size_t min_buffer_bytes = max_reserve_bytes + slack_bytes;

    /// `buffer` has at least `min_buffer_bytes`; it and `sink` outlive the writer.
    json_writer(byte_sink& sink, std::span<char> buffer) noexcept;
    json_writer(const json_writer&) = delete;
    json_writer& operator=(const json_writer&) = delete;

    void begin_object() noexcept { open('{'); }
    void end_object() noexcept { close('}'); }
    void begin_array() noexcept { open('['); }
    void end_array() noexcept { close(']'); }

    /// The next element, or end, starts a line of the file.
    void line() noexcept { line_ = true; }

    /// A member's name; its value must follow. The literal must need no escaping.
    template <std::size_t Size>
    json_writer& member(const char (&name)[Size]) noexcept {
        static_assert(Size < 64);
        char* const to = element(Size + 3);
        *to = '"';
        at_ = put(put(to + 1, name), "\":");
        comma_ = false;
        return *this;
    }

    void text(std::string_view value) noexcept;
    void text_or_null(std::string_view value) noexcept;
    void number(std::uint64_t value) noexcept;
    /// Negative means unknown, and becomes null.
    void number_or_null(std::int64_t value) noexcept;
    /// Text that is JSON already, such as `true`; at most `max_reserve_bytes - 2`.
    void raw(std::string_view json) noexcept;
    void boolean(bool value) noexcept { raw(value ? "true" : "false"); }
    void null() noexcept { raw("null"); }
    /// Seconds with three decimals; null where that is no duration (NaN, infinite).
    void seconds_or_null(double value) noexcept;
    /// An address, as a string; null for 0.
    void address_or_null(std::uint64_t value) noexcept;

    /// Room for `bytes` (at most `max_reserve_bytes`) and the slack, from the returned place on.
    [[nodiscard]] char* reserve(std::size_t bytes) noexcept {
        if (static_cast<std::size_t>(limit_ - at_) < bytes) [[unlikely]]
            flush();
        return at_;
    }
    /// Takes what was written from the reserved place up to `end`.
    void commit(char* end) noexcept { at_ = end; }
    /// Room as `reserve`, behind the comma and the line break that come before an element.
    [[nodiscard]] char* element(std::size_t bytes) noexcept;
    /// Takes one whole element.
    void commit_element(char* end) noexcept {
        at_ = end;
        comma_ = true;
    }

    /// Where the next byte goes in what is written.
    [[nodiscard]] std::uint64_t position() const noexcept {
        return bytes_written_ + static_cast<std::uint64_t>(at_ - begin_);
    }
    /// Writes over what was written before, wherever it is by now.
    void overwrite(std::uint64_t position, std::string_view text) noexcept;

    void flush() noexcept;
    [[nodiscard]] bool failed() const noexcept { return failed_; }
    /// Bytes the sink has taken.
    [[nodiscard]] std::uint64_t bytes_written() const noexcept { return bytes_written_; }

private:
    void open(char bracket) noexcept;
    void close(char bracket) noexcept;

    byte_sink& sink_;
    char* const begin_;
    char* const limit_;
    char* at_;
    std::uint64_t bytes_written_ = 0;
    bool comma_ = false;
    bool line_ = false;
    bool failed_ = false;
};

}  // namespace corodump::format
