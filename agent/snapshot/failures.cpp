#include "agent/snapshot/failures.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>

#include "agent/base/clock.hpp"
#include "agent/base/text.hpp"
#include "agent/snapshot/native_names.hpp"
#include "agent/sources/throw_stacks.hpp"
#include "agent/symbols/demangle.hpp"
#include "agent/symbols/unwinder.hpp"

namespace corodump::snapshot {
namespace {

constexpr std::string_view hidden = "<redacted>";

bool is_name(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

bool ends_value(char c) noexcept {
    return c == ' ' || c == ',' || c == ';' || c == '&' || c == ')' || c == '\n' || c == '}';
}

/// Where the value that begins at `at` ends.
std::size_t end_of_value(std::string_view text, std::size_t at) noexcept {
    if (at < text.size() && (text[at] == '"' || text[at] == '\'')) {
        const std::size_t quote = text.find(text[at], at + 1);
        return quote == std::string_view::npos ? text.size() : quote + 1;
    }
    while (at < text.size() && !ends_value(text[at])) ++at;
    return at;
}

/// Where the value of a name that ends at `name_end` begins; 0: none follows.
std::size_t value_after(std::string_view text, std::size_t name_end) noexcept {
    std::size_t at = name_end;
    if (at < text.size() && text[at] == '"') ++at;  // "name": value
    while (at < text.size() && text[at] == ' ') ++at;
    if (at == text.size() || (text[at] != '=' && text[at] != ':')) return 0;
    if (text.substr(at, 2) == "::") return 0;
    ++at;
    while (at < text.size() && text[at] == ' ') ++at;
    return at;
}

std::string_view text_of(const char* from, std::size_t room) noexcept {
    return {from, strnlen(from, room)};
}

}  // namespace

std::string_view redact_message(std::string_view message, const redaction& redact,
                                std::span<char> out) noexcept {
    base::text to(out);
    for (std::size_t at = 0; at < message.size();) {
        if (!is_name(message[at])) {
            to.append(message[at++]);
            continue;
        }
        const std::size_t begin = at;
        while (at < message.size() && is_name(message[at])) ++at;
        const std::size_t value = value_after(message, at);
        const bool hides = value != 0 && redact.hides(message.substr(begin, at - begin));
        to.append(message.substr(begin, (hides ? value : at) - begin));
        if (!hides) continue;
        to.append(hidden);
        at = end_of_value(message, value);
    }
    return to.view();
}

std::string_view exception_type_name(std::string_view mangled, std::span<char> out) noexcept {
    char symbol[160];
    char name[512];
    base::text full(symbol);
    full.append("_ZTS").append(mangled);
    constexpr std::string_view prefix = "typeinfo name for ";
    std::string_view found =
        full.truncated() ? std::string_view{} : symbols::demangle(full.view(), name);
    if (!found.starts_with(prefix)) return mangled;
    found.remove_prefix(prefix.size());
    base::text to(out);
    return to.append(found).view();
}

const model::failure_section* failure_copier::copy() noexcept {
    const std::uint64_t failures = sources::failures().total();
    const std::uint64_t finished = sources::finished_tasks().total();
    if (failures == 0 && finished == 0) return nullptr;
    const std::span<model::failure_section> made = memory_.allocate_span<model::failure_section>(1);
    if (made.empty()) return nullptr;
    made[0] = {copy_failures(), copy_finished(), failures, finished};
    return made.data();
}

std::span<const model::failure> failure_copier::copy_failures() noexcept {
    const sources::failure_ring& ring = sources::failures();
    const auto room = memory_.allocate_span<model::failure>(
        static_cast<std::size_t>(ring.total() - ring.first()));
    std::size_t used = 0;
    static sources::failure_facts facts;  // one dump at a time; not for the stack
    for (std::uint64_t number = ring.first(); used < room.size(); ++number) {
        if (number == ring.total()) break;
        const sources::failure_state state = sources::state_of_failure(number);
        if (!ring.read(number, facts)) continue;
        room[used] = copy(facts);
        room[used++].observed = state == sources::failure_state::observed;
    }
    return room.first(used);
}

model::failure failure_copier::copy(const sources::failure_facts& from) noexcept {
    char buffer[768];
    model::failure to;
    to.time_unix_ns = from.time_unix_ns;
    to.task_address = from.task_address;
    to.task_generation = from.task_generation;
    to.name = memory_.copy(text_of(from.name, sizeof from.name));
    to.type = memory_.copy(exception_type_name(text_of(from.type, sizeof from.type), buffer));
    const std::string_view message = text_of(from.message, sizeof from.message);
    to.message = memory_.copy(redact_message(message, redact_, buffer));
    to.has_message = from.has_message != 0;
    const auto labels = memory_.allocate_span<model::label>(
        std::min<std::size_t>(from.label_count, sources::failure_facts::max_labels));
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const auto& label = from.labels[i];
        labels[i].name = memory_.copy(text_of(label.name, sizeof label.name));
        labels[i].value = redact_.hides(labels[i].name)
                              ? hidden
                              : memory_.copy(text_of(label.value, sizeof label.value));
    }
    to.labels = labels;
    const auto chain = memory_.allocate_span<model::failure_frame>(
        std::min<std::size_t>(from.chain_length, sources::max_awaiters));
    for (std::size_t i = 0; i < chain.size(); ++i) {
        const std::size_t inner = chain.size() - 1 - i;
        chain[i] = {from.chain[inner].site, from.chain[inner].definition,
                    (from.library >> inner & 1U) != 0};
    }
    to.chain = chain;
    to.has_stack = from.throw_stack != 0;
    to.thrown_at = frames_of(from.throw_stack);
    return to;
}

std::span<const model::native_frame> failure_copier::frames_of(std::uint32_t stack) noexcept {
    const std::span<const std::uint64_t> frames = sources::frames_of_throw(stack);
    if (frames.empty()) return {};
    if (names_ == nullptr) {
        struct alignas(native_names) room {
            std::byte bytes[sizeof(native_names)];
        };
        const auto place = memory_.allocate_uninitialized<room>(1);
        if (place.empty()) return {};
        names_ = new (place.data()) native_names(memory_, code_);
    }
    const auto made = memory_.allocate_span<model::native_frame>(frames.size());
    for (std::size_t i = 0; i < made.size(); ++i) {
        symbols::native_frame frame{};
        frame.pc = frames[i];
        made[i] = names_->frame_of(frame);
    }
    return made;
}

std::span<const model::finished_task> failure_copier::copy_finished() noexcept {
    const sources::finished_ring& ring = sources::finished_tasks();
    const auto room = memory_.allocate_span<model::finished_task>(
        static_cast<std::size_t>(ring.total() - ring.first()));
    std::size_t used = 0;
    sources::finished_facts facts;
    for (std::uint64_t number = ring.first(); used < room.size(); ++number) {
        if (number == ring.total()) break;
        if (ring.read(number, facts)) room[used++] = copy(facts);
    }
    return room.first(used);
}

model::finished_task failure_copier::copy(const sources::finished_facts& from) noexcept {
    constexpr model::task_state states[] = {model::task_state::done, model::task_state::failed,
                                            model::task_state::cancelled};
    model::finished_task to;
    to.address = from.address;
    to.generation = from.generation;
    to.name = memory_.copy(text_of(from.name, sizeof from.name));
    to.definition = from.definition;
    to.outcome = states[static_cast<unsigned>(from.outcome) % 3];
    to.by_address = from.by_address;
    to.by_generation = from.by_generation;
    if (from.ended_tick == 0) return to;
    const double ago = static_cast<double>(now_tick_ - from.ended_tick) * seconds_per_tick_;
    to.ended_unix_ns = base::realtime_ns() - static_cast<std::int64_t>(ago * 1e9);
    if (from.created_tick != 0)
        to.duration_seconds =
            static_cast<double>(from.ended_tick - from.created_tick) * seconds_per_tick_;
    return to;
}

}  // namespace corodump::snapshot
