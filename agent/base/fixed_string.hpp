// A string with its storage inside: for facts that are kept where no memory may be allocated.
//
// Always terminated, so c_str() can go to a system call. What does not fit is cut.
//
// Threads: one owner. Signals: safe. Blocks: never. Errors: truncation flag. Bounds: Capacity
// bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

namespace corodump::base {

template <std::size_t Capacity>
class fixed_string {
public:
    fixed_string() noexcept = default;
    explicit fixed_string(std::string_view from) noexcept { assign(from); }

    fixed_string& assign(std::string_view from) noexcept {
        clear();
        return append(from);
    }
    fixed_string& append(std::string_view more) noexcept {
        const std::size_t fits = std::min(more.size(), Capacity - size_);
        // memmove: assigning a part of itself is allowed.
        if (fits != 0) std::memmove(bytes_ + size_, more.data(), fits);
        truncated_ = truncated_ || fits < more.size();
        size_ += fits;
        bytes_[size_] = '\0';
        return *this;
    }
    void clear() noexcept {
        size_ = 0;
        bytes_[0] = '\0';
        truncated_ = false;
    }

    [[nodiscard]] std::string_view view() const noexcept { return {bytes_, size_}; }
    [[nodiscard]] const char* c_str() const noexcept { return bytes_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] bool truncated() const noexcept { return truncated_; }
    [[nodiscard]] static constexpr std::size_t capacity() noexcept { return Capacity; }

    /// For system calls that fill a buffer: write into storage(), then say how much is text.
    [[nodiscard]] std::span<char> storage() noexcept { return {bytes_, Capacity}; }
    void resize(std::size_t size) noexcept {
        size_ = std::min(size, Capacity);
        bytes_[size_] = '\0';
    }

    friend bool operator==(const fixed_string& a, std::string_view b) noexcept {
        return a.view() == b;
    }

private:
    std::size_t size_ = 0;
    bool truncated_ = false;
    char bytes_[Capacity + 1] = {};
};

}  // namespace corodump::base
