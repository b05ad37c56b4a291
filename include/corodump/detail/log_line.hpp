// What a log line says of the task it was logged in: read where it is logged, or packed into the
// line where another thread writes it.
//
//   payload of a packed line:  [message][id][name][fields ...][bytes of what follows the message]
//
// Threads: pack and the reading of the running task: the thread that logs. Signals: unsafe.
// Blocks: never. Errors: none; a line whose context is not known has none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "context_abi.hpp"

extern "C" {
/// This thread's place for the line that it writes for another; null: it writes its own.
CORODUMP_API const void** corodump_log_line_v1() noexcept;
}

namespace corodump {
inline namespace abi_v1 {
namespace detail {

struct log_field {
    const void* variable;
    value_kind kind;
    bool cut;
    std::string_view name, text;
};

/// Views into what the line was read from.
struct log_line {
    std::string_view id, name;
    std::vector<log_field> fields;
};

struct packed_field {
    const void* variable;
    std::uint16_t name_bytes, text_bytes;
    value_kind kind;
    std::uint8_t cut;
};

template <class Buffer>
void put_bytes(Buffer& to, const void* bytes, std::size_t count) {
    const char* const begin = static_cast<const char*>(bytes);
    to.append(begin, begin + count);
}

/// Appends what is bound here and now, behind the message. `known` false: nothing.
template <class Buffer>
void pack_line(Buffer& to, bool known) {
    const std::size_t begin = to.size();
    task_text task{};
    if (known) corodump_task_text_v1(&task);
    const std::uint16_t sizes[] = {static_cast<std::uint16_t>(task.id_bytes),
                                   static_cast<std::uint16_t>(task.name_bytes)};
    put_bytes(to, sizes, sizeof sizes);
    put_bytes(to, task.id, task.id_bytes);
    put_bytes(to, task.name, task.name_bytes);
    const auto put_field = [](void* with, const context_text* one) {
        Buffer& buffer = *static_cast<Buffer*>(with);
        const packed_field head{one->variable, static_cast<std::uint16_t>(one->name_bytes),
                                static_cast<std::uint16_t>(one->text_bytes), one->kind, one->cut};
        put_bytes(buffer, &head, sizeof head);
        put_bytes(buffer, one->name, one->name_bytes);
        put_bytes(buffer, one->text, one->text_bytes);
    };
    if (known) corodump_context_visit_v1(put_field, &to);
    const auto bytes = static_cast<std::uint32_t>(to.size() - begin);
    put_bytes(to, &bytes, sizeof bytes);
}

/// Takes parts off the front of what pack_line wrote.
class unpacker {
public:
    explicit unpacker(std::string_view from) noexcept : left_(from) {}
    [[nodiscard]] bool done() const noexcept { return left_.empty(); }
    std::string_view text(std::size_t bytes) noexcept {
        const std::string_view taken = left_.substr(0, bytes);
        left_.remove_prefix(taken.size());
        return taken;
    }
    template <class T>
    T object() noexcept {
        T taken{};
        const std::string_view bytes = text(sizeof taken);
        std::memcpy(&taken, bytes.data(), bytes.size());
        return taken;
    }

private:
    std::string_view left_;
};

/// The message of a payload that pack_line was appended to; what it says of the task in `line`.
inline std::string_view unpack_line(std::string_view payload, log_line& line) {
    std::uint32_t bytes = 0;
    std::memcpy(&bytes, payload.data() + payload.size() - sizeof bytes, sizeof bytes);
    payload.remove_suffix(sizeof bytes);
    unpacker from(payload.substr(payload.size() - bytes));
    const auto id_bytes = from.object<std::uint16_t>();
    const auto name_bytes = from.object<std::uint16_t>();
    line.id = from.text(id_bytes);
    line.name = from.text(name_bytes);
    line.fields.clear();
    while (!from.done()) {
        const auto head = from.object<packed_field>();
        const std::string_view name = from.text(head.name_bytes);
        line.fields.push_back(
            {head.variable, head.kind, head.cut != 0, name, from.text(head.text_bytes)});
    }
    return payload.substr(0, payload.size() - bytes);
}

}  // namespace detail
}  // namespace abi_v1
}  // namespace corodump
