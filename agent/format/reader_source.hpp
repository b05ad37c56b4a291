// Where the bytes of a dump come from, and the counting input that the JSON parser pulls them
// through.
//
// The parser (nlohmann_json, event by event) tells neither where a value begins nor does it bound
// the length of a token, so the input it reads from does both: it notes the offset of the first
// byte of each token, and refuses to feed a token that outgrows `max_token_bytes`.
//
// Threads: one owner. Signals: unsafe. Blocks: as long as read(2) on the source does.
// Errors: read_failure, thrown through the parser and caught at the room's edge in read_dump.
// Bounds: one buffer of 256 KiB; the parser holds at most one token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace corodump::format {

class byte_source {
public:
    byte_source() = default;
    byte_source(const byte_source&) = delete;
    byte_source& operator=(const byte_source&) = delete;
    virtual ~byte_source() = default;

    /// Fills at most `size` bytes; 0 at the end. Throws std::system_error.
    virtual std::size_t read(char* into, std::size_t size) = 0;
};

/// Bytes in memory, which must outlive the source.
class memory_source final : public byte_source {
public:
    explicit memory_source(std::string_view bytes) : rest_(bytes) {}
    std::size_t read(char* into, std::size_t size) override;

private:
    std::string_view rest_;
};

/// Reads a descriptor, which the caller keeps and closes.
class descriptor_source final : public byte_source {
public:
    explicit descriptor_source(int descriptor) : descriptor_(descriptor) {}
    std::size_t read(char* into, std::size_t size) override;

private:
    int descriptor_;
};

/// What ends a reading. `offset` is the byte the message is about.
class read_failure : public std::exception {
public:
    read_failure(std::string text, std::uint64_t offset, std::string pointer = {})
        : text_(std::move(text)), pointer_(std::move(pointer)), offset_(offset) {}

    [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }
    [[nodiscard]] const std::string& pointer() const noexcept { return pointer_; }
    [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }

private:
    std::string text_, pointer_;
    std::uint64_t offset_;
};

class counting_input {
public:
    static constexpr std::size_t max_token_bytes = 1U << 20U;

    counting_input(byte_source& source, std::uint64_t max_bytes);

    [[nodiscard]] bool at_end() {
        if (next_ == end_) refill();
        saw_end_ = next_ == end_;
        return saw_end_;
    }
    /// The parser has asked for a byte behind the last one.
    [[nodiscard]] bool saw_end() const { return saw_end_; }
    /// The byte at the position; not at the end.
    [[nodiscard]] char take_note() {
        const char byte = *next_;
        if (!in_token_ && !separates(byte)) {
            in_token_ = true;
            token_start_ = offset();
        }
        return byte;
    }
    void advance() { ++next_; }

    /// The parser has had an event: what comes next is another token.
    void token_done() {
        in_token_ = false;
        last_event_ = offset();
    }
    [[nodiscard]] std::uint64_t token_start() const { return token_start_; }
    [[nodiscard]] std::uint64_t offset() const {
        return buffer_offset_ + static_cast<std::uint64_t>(next_ - buffer_.data());
    }

private:
    static bool separates(char byte) {
        return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r' || byte == ',' ||
               byte == ':';
    }
    void refill();

    byte_source& source_;
    std::uint64_t max_bytes_;
    std::vector<char> buffer_;
    const char* next_;
    const char* end_;
    std::uint64_t buffer_offset_ = 0;
    std::uint64_t token_start_ = 0;
    std::uint64_t last_event_ = 0;
    bool in_token_ = false;
    bool saw_end_ = false;
};

/// What nlohmann_json reads from: an input iterator over a counting_input.
class input_cursor {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = char;

    input_cursor() = default;  ///< the end
    explicit input_cursor(counting_input& input) : input_(&input) {}

    char operator*() const { return input_->take_note(); }
    input_cursor& operator++() {
        input_->advance();
        return *this;
    }
    void operator++(int) { input_->advance(); }
    friend bool operator==(const input_cursor& a, const input_cursor& b) {
        return a.ended() == b.ended();
    }

private:
    [[nodiscard]] bool ended() const { return input_ == nullptr || input_->at_end(); }

    counting_input* input_ = nullptr;
};

}  // namespace corodump::format
