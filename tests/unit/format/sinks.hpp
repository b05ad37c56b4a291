// Sinks for the writer's tests: one that keeps the text, one that fails when it is full.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "agent/format/json_writer.hpp"

namespace corodump::format::testing_sinks {

class string_sink final : public byte_sink {
public:
    bool write(std::span<const char> bytes) noexcept override {
        text.append(bytes.data(), bytes.size());
        return true;
    }
    bool overwrite(std::uint64_t offset, std::span<const char> bytes) noexcept override {
        text.replace(offset, bytes.size(), bytes.data(), bytes.size());
        return true;
    }
    std::string text;
};

/// Takes `capacity` bytes, as a disk with that much left: a write that does not fit fails.
class limited_sink final : public byte_sink {
public:
    explicit limited_sink(std::size_t capacity) : left_(capacity) {}
    bool write(std::span<const char> bytes) noexcept override {
        ++calls;
        if (bytes.size() > left_) return false;
        left_ -= bytes.size();
        return true;
    }
    bool overwrite(std::uint64_t, std::span<const char>) noexcept override { return true; }
    std::size_t calls = 0;

private:
    std::size_t left_;
};

}  // namespace corodump::format::testing_sinks
