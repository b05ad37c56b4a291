// The running task and its context variables in the lines of spdlog.
//
//     auto pattern = std::make_unique<spdlog::pattern_formatter>();
//     pattern->add_flag<corodump::task_id_flag>('k')
//         .add_flag<corodump::context_flag>('q', request_id)
//         .set_pattern("%T [%k %q] %v");
//     logger->set_formatter(std::move(pattern));
//
//     logger->set_formatter(std::make_unique<corodump::json_formatter>());   // or JSON lines
//
// They say what holds where the line is logged. spdlog's own asynchronous logger formats elsewhere,
// later: there they say nothing; corodump::async_logger takes the context along.
//
// Threads: as spdlog's own. Signals: unsafe. Blocks: as spdlog's own. Errors: a line whose context
// is not known, out of a backtrace or another's queue, has no task and no variables.
// Bounds: values of 95 bytes, further ones are cut.
#pragma once

#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/os.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/sink.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "context.hpp"
#include "detail/json_text.hpp"
#include "detail/log_line.hpp"

namespace corodump {
inline namespace abi_v1 {
namespace detail {

[[nodiscard]] inline std::string_view view_of(spdlog::string_view_t text) noexcept {
    return {text.data(), text.size()};
}

/// False for a line that was logged elsewhere, or before: spdlog's copies of a message hold the
/// payload straight behind the logger's name.
[[nodiscard]] inline bool is_logged_here(const spdlog::details::log_msg& line) noexcept {
    return line.payload.data() != line.logger_name.data() + line.logger_name.size() &&
           line.thread_id == spdlog::details::os::thread_id();
}

/// The line that this thread writes for another, or nullptr.
[[nodiscard]] inline const log_line* line_of_another() noexcept {
    return static_cast<const log_line*>(*corodump_log_line_v1());
}

inline void put_padded(spdlog::memory_buf_t& to, std::string_view text,
                       const spdlog::details::padding_info& padding) {
    using side = spdlog::details::padding_info::pad_side;
    if (padding.enabled() && padding.truncate_) text = text.substr(0, padding.width_);
    const std::size_t missing =
        padding.enabled() && padding.width_ > text.size() ? padding.width_ - text.size() : 0;
    // `left` pads on the left.
    const std::size_t before = padding.side_ == side::left     ? missing
                               : padding.side_ == side::center ? missing / 2
                                                               : 0;
    const std::string spaces(missing, ' ');
    put_text(to, std::string_view(spaces).substr(0, before));
    put_text(to, text);
    put_text(to, std::string_view(spaces).substr(before));
}

/// Calls `use(id, name)`; both are empty where there is no task.
template <class Use>
void with_task(const spdlog::details::log_msg& line, Use use) {
    if (const log_line* const other = line_of_another()) return use(other->id, other->name);
    task_text task{};
    if (is_logged_here(line)) corodump_task_text_v1(&task);
    use(std::string_view(task.id, task.id_bytes), std::string_view(task.name, task.name_bytes));
}

/// Calls `use(field)` for each variable, the oldest binding first.
template <class Use>
void with_fields(const spdlog::details::log_msg& line, Use use) {
    if (const log_line* const other = line_of_another()) {
        for (const log_field& one : other->fields) use(one);
        return;
    }
    if (!is_logged_here(line)) return;
    corodump_context_visit_v1(
        [](void* with, const context_text* one) {
            (*static_cast<Use*>(with))(log_field{one->variable,
                                                 one->kind,
                                                 one->cut != 0,
                                                 {one->name, one->name_bytes},
                                                 {one->text, one->text_bytes}});
        },
        &use);
}

}  // namespace detail

/// The id of the task, as in a dump's `tasks[].id`; empty outside of tracked coroutines.
class task_id_flag final : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& line, const std::tm&,
                spdlog::memory_buf_t& to) override {
        detail::with_task(line, [&](std::string_view id, std::string_view) {
            detail::put_padded(to, id, padinfo_);
        });
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<task_id_flag>(*this);
    }
};

/// The name that the task was given by set_name; empty: none.
class task_name_flag final : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& line, const std::tm&,
                spdlog::memory_buf_t& to) override {
        detail::with_task(line, [&](std::string_view, std::string_view name) {
            detail::put_padded(to, name, padinfo_);
        });
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<task_name_flag>(*this);
    }
};

/// One context variable, which must outlive the formatter; empty where it is not bound.
class context_flag final : public spdlog::custom_flag_formatter {
public:
    template <class T>
    explicit context_flag(const context_variable<T>& variable) noexcept : variable_(&variable) {}
    void format(const spdlog::details::log_msg& line, const std::tm&,
                spdlog::memory_buf_t& to) override {
        std::string text;
        detail::with_fields(line, [&](const detail::log_field& one) {
            if (one.variable == variable_) text.assign(one.text).append(one.cut ? "…" : "");
        });
        detail::put_padded(to, text, padinfo_);
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<context_flag>(*this);
    }

private:
    const void* variable_;
};

/// One JSON object a line:
///
///     {"time":"2026-01-31T12:00:00.000001Z","level":"info","logger":"orders","thread":42,
///      "task":"7f12a0001b50.1","task_name":"session 7","request_id":"r-1","message":"accepted"}
///
/// `task` is null outside of tracked coroutines, `task_name` is there where the task has one, and a
/// context variable where it is bound: numbers and booleans as such, all else as strings. A variable
/// named like a member of the line itself becomes `context.NAME`; of several with one name the one
/// bound last is there.
class json_formatter final : public spdlog::formatter {
public:
    explicit json_formatter(std::string end_of_line = spdlog::details::os::default_eol)
        : end_of_line_(std::move(end_of_line)) {}

    /// Of the variables only those that are named so: a value that does not belong into a log is
    /// hidden by no pattern.
    template <class T>
    json_formatter& with(const context_variable<T>& variable) {
        chosen_.push_back(&variable);
        return *this;
    }

    void format(const spdlog::details::log_msg& line, spdlog::memory_buf_t& to) override {
        detail::put_text(to, "{\"time\":\"");
        put_time(to, line.time);
        detail::put_text(to, "\",\"level\":");
        detail::put_json_string(to, detail::view_of(spdlog::level::to_string_view(line.level)));
        detail::put_text(to, ",\"logger\":");
        detail::put_json_string(to, detail::view_of(line.logger_name));
        detail::put_text(to, ",\"thread\":" + std::to_string(line.thread_id));
        put_task(to, line);
        put_fields(to, line);
        if (!line.source.empty()) put_source(to, line.source);
        detail::put_text(to, ",\"message\":");
        detail::put_json_string(to, detail::view_of(line.payload));
        detail::put_text(to, "}");
        detail::put_text(to, end_of_line_);
    }
    [[nodiscard]] std::unique_ptr<spdlog::formatter> clone() const override {
        auto other = std::make_unique<json_formatter>(end_of_line_);
        other->chosen_ = chosen_;
        return other;
    }

private:
    static void put_digits(spdlog::memory_buf_t& to, std::uint64_t value, std::size_t digits) {
        char text[20];
        for (std::size_t i = digits; i-- > 0; value /= 10)
            text[i] = static_cast<char>('0' + value % 10);
        detail::put_text(to, {text, digits});
    }
    /// RFC 3339 in UTC, with microseconds. Years before 0 or after 9999 have no such form.
    static void put_time(spdlog::memory_buf_t& to, spdlog::log_clock::time_point when) {
        using namespace std::chrono;
        const auto time = floor<microseconds>(when.time_since_epoch());
        const auto day = floor<days>(time);
        const year_month_day date{sys_days(day)};
        const auto within = static_cast<std::uint64_t>((time - day).count());
        const auto part = [&](std::string_view before, std::uint64_t value, std::size_t digits) {
            detail::put_text(to, before);
            put_digits(to, value, digits);
        };
        part("", static_cast<std::uint64_t>(std::max(0, static_cast<int>(date.year()))), 4);
        part("-", static_cast<unsigned>(date.month()), 2);
        part("-", static_cast<unsigned>(date.day()), 2);
        part("T", within / 3'600'000'000U, 2);
        part(":", within / 60'000'000U % 60, 2);
        part(":", within / 1'000'000U % 60, 2);
        part(".", within % 1'000'000U, 6);
        detail::put_text(to, "Z");
    }
    static void put_task(spdlog::memory_buf_t& to, const spdlog::details::log_msg& line) {
        detail::with_task(line, [&](std::string_view id, std::string_view name) {
            detail::put_text(to, ",\"task\":");
            if (id.empty())
                detail::put_text(to, "null");
            else
                detail::put_json_string(to, id);
            if (name.empty()) return;
            detail::put_text(to, ",\"task_name\":");
            detail::put_json_string(to, name);
        });
    }
    static void put_source(spdlog::memory_buf_t& to, const spdlog::source_loc& where) {
        detail::put_text(to, ",\"source\":");
        detail::put_json_string(to, std::string(where.filename) + ':' + std::to_string(where.line));
    }

    struct field {
        std::string name, text;
        detail::value_kind kind;
        bool cut;
    };
    [[nodiscard]] static std::string key_of(std::string_view name) {
        for (const std::string_view own :
             {"time", "level", "logger", "thread", "task", "task_name", "source", "message"})
            if (name == own) return "context." + std::string(name);
        return std::string(name);
    }
    void put_fields(spdlog::memory_buf_t& to, const spdlog::details::log_msg& line) const {
        std::vector<field> fields;
        detail::with_fields(line, [&](const detail::log_field& one) {
            if (!chosen_.empty() && std::ranges::find(chosen_, one.variable) == chosen_.end())
                return;
            field known{key_of(one.name), std::string(one.text), one.kind, one.cut};
            const auto same = std::ranges::find(fields, known.name, &field::name);
            if (same == fields.end())
                fields.push_back(std::move(known));
            else
                *same = std::move(known);
        });
        for (const field& one : fields) put_field(to, one);
    }
    static void put_field(spdlog::memory_buf_t& to, const field& one) {
        using kind = detail::value_kind;
        detail::put_text(to, ",");
        detail::put_json_string(to, one.name);
        detail::put_text(to, ":");
        const bool number = one.kind == kind::signed_integer ||
                            one.kind == kind::unsigned_integer || one.kind == kind::boolean;
        // inf and nan are no JSON.
        const bool finite =
            one.kind == kind::floating && one.text.find_first_of("in") == std::string::npos;
        if (number || finite)
            detail::put_text(to, one.text);
        else
            detail::put_json_string(to, one.text, one.cut);
    }

    std::string end_of_line_;
    std::vector<const void*> chosen_;
};

/// spdlog's asynchronous logger, with the context of the thread that logs. It puts it behind the
/// message, and takes it off again where the line is written.
///
///   logs ─ sink_it_ ─> [message | context] ─> thread_pool's queue ─> backend ─> sinks
///
/// Made by make_shared, as spdlog's. Lines of a backtrace have no context: what spdlog kept of them
/// has none.
class async_logger final : public std::enable_shared_from_this<async_logger>,
                           public spdlog::logger {
public:
    using pool = std::weak_ptr<spdlog::details::thread_pool>;
    using policy = spdlog::async_overflow_policy;

    template <class Iterator>
    async_logger(std::string name, Iterator begin, Iterator end, pool threads,
                 policy overflow = policy::block)
        : logger(std::move(name), begin, end),
          threads_(std::move(threads)),
          overflow_(overflow),
          worker_(make_worker()) {}
    async_logger(std::string name, spdlog::sinks_init_list sinks, pool threads,
                 policy overflow = policy::block)
        : async_logger(std::move(name), sinks.begin(), sinks.end(), std::move(threads), overflow) {}
    async_logger(std::string name, spdlog::sink_ptr sink, pool threads,
                 policy overflow = policy::block)
        : async_logger(std::move(name), {std::move(sink)}, std::move(threads), overflow) {}
    async_logger(const async_logger& other)
        : std::enable_shared_from_this<async_logger>(other),
          logger(other),
          threads_(other.threads_),
          overflow_(other.overflow_),
          worker_(make_worker()) {}
    async_logger& operator=(const async_logger&) = delete;
    ~async_logger() override = default;

    std::shared_ptr<spdlog::logger> clone(std::string new_name) override {
        auto cloned = std::make_shared<async_logger>(*this);
        cloned->name_ = std::move(new_name);
        return cloned;
    }

protected:
    void sink_it_(const spdlog::details::log_msg& line) override {
        const auto threads = threads_.lock();
        if (threads == nullptr)
            spdlog::throw_spdlog_ex("async log: thread pool doesn't exist anymore");
        spdlog::memory_buf_t payload;
        payload.append(line.payload.data(), line.payload.data() + line.payload.size());
        detail::pack_line(payload, detail::is_logged_here(line));
        spdlog::details::log_msg packed = line;
        packed.payload = {payload.data(), payload.size()};
        threads->post_log(address(), packed, overflow_);
    }
    void flush_() override {
        const auto threads = threads_.lock();
        if (threads == nullptr)
            spdlog::throw_spdlog_ex("async flush: thread pool doesn't exist anymore");
        threads->post_flush(address(), overflow_);
    }

private:
    /// What spdlog's threads write to. It belongs to the worker, which belongs to the logger.
    class backend final : public spdlog::sinks::sink {
    public:
        explicit backend(async_logger& of) noexcept : of_(of) {}
        void log(const spdlog::details::log_msg& packed) override { of_.write(packed); }
        void flush() override { of_.flush_sinks(); }
        void set_pattern(const std::string&) override {}
        void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

    private:
        async_logger& of_;
    };

    /// While in scope, formatters on this thread read this line's context.
    class writing {
    public:
        explicit writing(const detail::log_line& line) noexcept
            : before_(std::exchange(*corodump_log_line_v1(), &line)) {}
        ~writing() { *corodump_log_line_v1() = before_; }
        writing(const writing&) = delete;
        writing& operator=(const writing&) = delete;

    private:
        const void* before_;
    };

    std::shared_ptr<spdlog::async_logger> make_worker() {
        return std::make_shared<spdlog::async_logger>(name(), std::make_shared<backend>(*this),
                                                      threads_, overflow_);
    }
    /// Of the worker; keeps this logger for as long as a line of it is in the queue.
    std::shared_ptr<spdlog::async_logger> address() { return {shared_from_this(), worker_.get()}; }

    void write(const spdlog::details::log_msg& packed) {
        detail::log_line line;
        spdlog::details::log_msg plain = packed;
        const std::string_view message = detail::unpack_line(detail::view_of(packed.payload), line);
        plain.payload = {message.data(), message.size()};
        const writing its_context(line);
        for (const spdlog::sink_ptr& one : sinks_)
            if (one->should_log(plain.level)) guard([&] { one->log(plain); });
        if (should_flush_(plain)) flush_sinks();
    }
    void flush_sinks() {
        for (const spdlog::sink_ptr& one : sinks_) guard([&] { one->flush(); });
    }
    /// A sink that fails must not keep the line from the next one.
    template <class Call>
    void guard(Call call) {
#if defined(__cpp_exceptions)
        try {
            call();
        } catch (const std::exception& error) {
            err_handler_(error.what());
        } catch (...) {
            err_handler_("a sink threw what is no std::exception");
        }
#else
        call();
#endif
    }

    pool threads_;
    policy overflow_;
    std::shared_ptr<spdlog::async_logger> worker_;
};

/// As spdlog::async_factory, for its functions that make loggers:
///     spdlog::basic_logger_mt<corodump::async_factory>("orders", path)
struct async_factory {
    template <class Sink, class... Arguments>
    static std::shared_ptr<async_logger> create(std::string name, Arguments&&... arguments) {
        auto& registry = spdlog::details::registry::instance();
        const std::lock_guard<std::recursive_mutex> lock(registry.tp_mutex());
        auto threads = registry.get_tp();
        if (threads == nullptr) {
            threads = std::make_shared<spdlog::details::thread_pool>(
                spdlog::details::default_async_q_size, 1U);
            registry.set_tp(threads);
        }
        auto made = std::make_shared<async_logger>(
            std::move(name), std::make_shared<Sink>(std::forward<Arguments>(arguments)...),
            std::move(threads));
        registry.initialize_logger(made);
        return made;
    }
};

}  // namespace abi_v1
}  // namespace corodump
