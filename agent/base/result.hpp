// A value, or the errno that says why there is none.
//
// Everything on the dump path reports failure this way: exceptions allocate, std::error_code drags
// in a category object, and an errno is what the kernel gave us anyway.
//
// Threads: any. Signals: safe. Blocks: never. Errors: none of its own. Bounds: one T and one int.
#pragma once

#include <cstring>
#include <type_traits>
#include <utility>

namespace corodump::base {

/// Carries an errno into any result: `return failure{ENOENT};`
struct failure {
    int error;
};

/// T must be default constructible: a failed result holds a T{} that nobody may rely on.
template <class T>
class [[nodiscard]] result {
public:
    // Implicit on purpose, so that functions read `return value;` and `return failure{errno};`.
    result(T value) noexcept : value_(std::move(value)) {}
    result(failure why) noexcept : error_(why.error) {}

    [[nodiscard]] bool ok() const noexcept { return error_ == 0; }
    explicit operator bool() const noexcept { return ok(); }

    /// 0 when ok.
    [[nodiscard]] int error() const noexcept { return error_; }

    [[nodiscard]] T& value() & noexcept { return value_; }
    [[nodiscard]] const T& value() const& noexcept { return value_; }
    [[nodiscard]] T&& value() && noexcept { return std::move(value_); }
    T& operator*() & noexcept { return value_; }
    const T& operator*() const& noexcept { return value_; }
    T&& operator*() && noexcept { return std::move(value_); }
    T* operator->() noexcept { return &value_; }
    const T* operator->() const noexcept { return &value_; }
    [[nodiscard]] T value_or(T other) const noexcept { return ok() ? value_ : other; }

private:
    static_assert(std::is_nothrow_default_constructible_v<T>);
    static_assert(std::is_nothrow_move_constructible_v<T>);

    T value_{};
    int error_ = 0;
};

/// Success, or an errno.
template <>
class [[nodiscard]] result<void> {
public:
    result() noexcept = default;
    result(failure why) noexcept : error_(why.error) {}

    [[nodiscard]] bool ok() const noexcept { return error_ == 0; }
    explicit operator bool() const noexcept { return ok(); }
    [[nodiscard]] int error() const noexcept { return error_; }

private:
    int error_ = 0;
};

/// The text of an errno in plain C locale, without strerror's lock and locale; never null.
[[nodiscard]] inline const char* error_text(int error) noexcept {
    const char* text = ::strerrordesc_np(error);
    return text != nullptr ? text : "unknown error";
}

}  // namespace corodump::base
