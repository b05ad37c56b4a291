#include "agent/format/json_writer.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "agent/format/json_text.hpp"

namespace corodump::format {

json_writer::json_writer(byte_sink& sink, std::span<char> buffer) noexcept
    : sink_(sink),
      begin_(buffer.data()),
      limit_(buffer.data() + buffer.size() - slack_bytes),
      at_(buffer.data()) {}

void json_writer::overwrite(std::uint64_t position, std::string_view text) noexcept {
    // In two steps it could lie on the border.
    if (position < bytes_written_) flush();
    if (position >= bytes_written_)
        std::memcpy(begin_ + (position - bytes_written_), text.data(), text.size());
    else if (!failed_ && !sink_.overwrite(position, text))
        failed_ = true;
}

void json_writer::flush() noexcept {
    const std::span<const char> bytes(begin_, at_);
    at_ = begin_;
    if (failed_ || bytes.empty()) return;
    if (sink_.write(bytes)) {
        bytes_written_ += bytes.size();
    } else {
        failed_ = true;
    }
}

char* json_writer::element(std::size_t bytes) noexcept {
    char* to = reserve(bytes + 2);
    *to = ',';
    to += comma_ ? 1 : 0;
    *to = '\n';
    to += line_ ? 1 : 0;
    line_ = false;
    return to;
}

void json_writer::open(char bracket) noexcept {
    char* const to = element(1);
    *to = bracket;
    at_ = to + 1;
    comma_ = false;
}

void json_writer::close(char bracket) noexcept {
    comma_ = false;
    char* const to = element(1);
    *to = bracket;
    commit_element(to + 1);
}

void json_writer::text(std::string_view value) noexcept {
    char* to = element(escaped_room(value.size()) + 2);
    *to = '"';
    to = put_escaped(to + 1, value);
    *to = '"';
    commit_element(to + 1);
}

void json_writer::text_or_null(std::string_view value) noexcept {
    if (value.empty()) return null();
    text(value);
}

void json_writer::number(std::uint64_t value) noexcept {
    commit_element(put_decimal(element(number_room), value));
}

void json_writer::number_or_null(std::int64_t value) noexcept {
    if (value < 0) return null();
    number(static_cast<std::uint64_t>(value));
}

void json_writer::raw(std::string_view json) noexcept {
    char* const to = element(json.size());
    std::memcpy(to, json.data(), json.size());
    commit_element(to + json.size());
}

void json_writer::seconds_or_null(double value) noexcept {
    if (!is_duration(value)) return null();
    commit_element(put_duration(element(number_room), value));
}

void json_writer::address_or_null(std::uint64_t value) noexcept {
    if (value == 0) return null();
    char* to = element(number_room);
    *to = '"';
    to = put_hex(to + 1, value);
    *to = '"';
    commit_element(to + 1);
}

}  // namespace corodump::format
