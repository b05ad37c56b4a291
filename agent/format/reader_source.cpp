#include "agent/format/reader_source.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>

namespace corodump::format {

namespace {
constexpr std::size_t buffer_bytes = 256U << 10U;
}

std::size_t memory_source::read(char* into, std::size_t size) {
    const std::size_t taken = rest_.copy(into, size);
    rest_.remove_prefix(taken);
    return taken;
}

std::size_t descriptor_source::read(char* into, std::size_t size) {
    for (;;) {
        const ssize_t got = ::read(descriptor_, into, size);
        if (got >= 0) return static_cast<std::size_t>(got);
        if (errno != EINTR) throw std::system_error(errno, std::generic_category());
    }
}

counting_input::counting_input(byte_source& source, std::uint64_t max_bytes)
    : source_(source),
      max_bytes_(max_bytes),
      buffer_(buffer_bytes),
      next_(buffer_.data()),
      end_(buffer_.data()) {}

void counting_input::refill() {
    const std::uint64_t position = offset();
    // Only here, where a buffer ends: a test per byte would cost more and bound nothing better.
    if (position - last_event_ > max_token_bytes) {
        throw read_failure("a single value is longer than 1 MiB", last_event_);
    }
    if (position > max_bytes_) {
        throw read_failure("larger than the limit of " + std::to_string(max_bytes_) + " bytes",
                           max_bytes_);
    }
    buffer_offset_ = position;
    next_ = buffer_.data();
    end_ = next_ + source_.read(buffer_.data(), buffer_.size());
}

}  // namespace corodump::format
