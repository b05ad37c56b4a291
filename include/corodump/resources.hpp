// Tells which resources of the service's own are open, since when, opened where and by which task:
// connections, transactions, buffers, sessions, whatever is to be given back.
//
//   inline corodump::resource_tracker<connection> connections("connection");
//
//   class lease {
//       connection& of_;
//       corodump::resource_tracker<connection>::token open_ = connections.open(of_, of_.peer());
//   };                                               // closed with the lease, on whichever thread
//
//   for (const corodump::leak& one : corodump::report_leaks(std::chrono::minutes(5))) log(one);
//
// A dump shows for each kind how many are open, how many there were at most and how old the oldest
// is; those that are older than the limit one by one, and as a verdict. (`corodump::resource` of
// task.hpp is something else: one lock or pool that tasks hold and wait for, so that a dump can
// tell who blocks whom. This here counts things that come and go.)
//
// Threads: a tracker any; a token by one at a time, opened on one and closed on another. Signals:
// unsafe. Blocks: never, but for a tracker's constructor. Errors: without memory a token is empty
// and the refusal counted; report_leaks then leaves out what does not fit.
// Bounds: 64 bytes for each open resource, 64 more for a label over 24 bytes; labels are cut at
// 72 bytes; 255 kinds, of 63 bytes.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "detail/resource_abi.hpp"
#include "detail/tracking.hpp"
#include "detail/type_name.hpp"

namespace corodump {
inline namespace abi_v1 {

struct resource_options {
    /// One that is open for longer is shown as leaked; 0: options::resource_max_age.
    std::chrono::nanoseconds max_age{0};
};

/// An open resource, as it was when it was asked for.
struct leak {
    std::string kind, type, label;
    std::chrono::nanoseconds age{0};  ///< to within 8 ms, from the agent's installation on
    const void* object = nullptr;
    std::string file, function;  ///< where it was opened
    std::uint32_t line = 0;
    std::string task_id;  ///< of the coroutine that opened it, while it lives
    std::string task_name;
    std::uint32_t thread = 0;  ///< tid
};

/// An open resource: closed by its end, or before that by close(). Moving it moves the resource.
class resource_token {
public:
    resource_token() noexcept = default;
    resource_token(resource_token&& other) noexcept
        : entry_(std::exchange(other.entry_, nullptr)) {}
    resource_token& operator=(resource_token&& other) noexcept {
        if (this != &other) {
            close();
            entry_ = std::exchange(other.entry_, nullptr);
        }
        return *this;
    }
    resource_token(const resource_token&) = delete;
    resource_token& operator=(const resource_token&) = delete;
    ~resource_token() { close(); }

    void close() noexcept {
        if (entry_ != nullptr) corodump_resource_close_v1(std::exchange(entry_, nullptr));
    }
    void relabel(std::string_view label) noexcept {
        corodump_resource_label_v1(entry_, label.data(), label.size());
    }
    /// False: closed, moved from, or there was no memory for it.
    [[nodiscard]] explicit operator bool() const noexcept { return entry_ != nullptr; }

private:
    template <class T>
    friend class resource_tracker;
    explicit resource_token(corodump_resource_entry_v1* entry) noexcept : entry_(entry) {}

    corodump_resource_entry_v1* entry_ = nullptr;
};

namespace detail {

[[nodiscard]] inline leak leak_from(const corodump_leak_v1* from) {
    leak made;
    made.kind = from->kind;
    made.type = from->type;
    made.label = from->label;
    made.age = std::chrono::nanoseconds(from->age_ns);
    made.object = from->object;
    made.file = from->file;
    made.function = from->function;
    made.line = from->line;
    made.thread = from->thread;
    made.task_name = from->task_name;
    for (std::uint64_t rest = from->task_address; rest != 0; rest /= 16)
        made.task_id.insert(made.task_id.begin(), "0123456789abcdef"[rest % 16]);
    if (from->task_address != 0) made.task_id += '.' + std::to_string(from->task_generation);
    return made;
}

/// The agent's library, in the middle of it, knows no exceptions.
inline void add_leak(void* to, const corodump_leak_v1* from) noexcept {
    CORODUMP_TRY {
        static_cast<std::vector<leak>*>(to)->push_back(leak_from(from));
    }
    CORODUMP_CATCH_ALL {}
}

[[nodiscard]] inline std::vector<leak> leaks_of(std::uint32_t kind, std::chrono::nanoseconds age) {
    std::vector<leak> found;
    const std::int64_t least = age.count() < 0 ? 0 : age.count();
    corodump_resource_report_v1(kind, static_cast<std::uint64_t>(least), add_leak, &found);
    std::sort(found.begin(), found.end(),
              [](const leak& a, const leak& b) { return a.age > b.age; });
    return found;
}

}  // namespace detail

/// Open resources of all trackers that are at least so old, oldest first.
[[nodiscard]] inline std::vector<leak> report_leaks(std::chrono::nanoseconds max_age) {
    return detail::leaks_of(0, max_age);
}

/// Trackers of equal name and type count together. It may end before its tokens do.
template <class T>
class resource_tracker {
    static_assert(std::is_object_v<T>, "name the type of what is tracked");

public:
    using token = resource_token;

    // open() is always inlined, so that the stack it notes begins with the code that calls it.

    /// The name is copied.
    explicit resource_tracker(std::string_view kind, const resource_options& chosen = {}) noexcept
        : kind_(corodump_resource_kind_v1(
              kind.data(), kind.size(), detail::type_name<T>().data(),
              detail::type_name<T>().size(),
              chosen.max_age.count() <= 0 ? 0
                                          : static_cast<std::uint64_t>(chosen.max_age.count()))) {}
    resource_tracker(const resource_tracker&) = delete;
    resource_tracker& operator=(const resource_tracker&) = delete;

    [[nodiscard, gnu::always_inline]] inline token open(
        const T* object, std::string_view label = {},
        std::source_location where = std::source_location::current()) const noexcept {
        return token(corodump_resource_open_v1(kind_, object, label.data(), label.size(),
                                               detail::site_of(where)));
    }
    [[nodiscard, gnu::always_inline]] inline token open(
        const T& object, std::string_view label = {},
        std::source_location where = std::source_location::current()) const noexcept {
        return open(std::addressof(object), label, where);
    }
    /// A temporary's address says nothing.
    token open(const T&& object, std::string_view label = {}) const = delete;
    /// Of something without an address.
    [[nodiscard, gnu::always_inline]] inline token open(
        std::string_view label = {},
        std::source_location where = std::source_location::current()) const noexcept {
        return open(static_cast<const T*>(nullptr), label, where);
    }

    /// Exact while nobody opens or closes.
    [[nodiscard]] std::uint64_t live() const noexcept { return counts().live; }
    [[nodiscard]] std::uint64_t opened() const noexcept { return counts().opened; }
    /// Exact up to 63, and of one thread; else to within a 64th for each thread that opens and
    /// closes.
    [[nodiscard]] std::uint64_t peak() const noexcept { return counts().peak; }

    [[nodiscard]] std::vector<leak> report_leaks(std::chrono::nanoseconds max_age) const {
        return kind_ == 0 ? std::vector<leak>{} : detail::leaks_of(kind_, max_age);
    }

private:
    [[nodiscard]] corodump_resource_counts_v1 counts() const noexcept {
        corodump_resource_counts_v1 found{};
        corodump_resource_count_v1(kind_, &found);
        return found;
    }

    std::uint32_t kind_;
};

}  // namespace abi_v1
}  // namespace corodump
