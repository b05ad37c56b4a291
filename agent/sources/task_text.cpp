// The running task's id and name, as a dump prints them, for a line of the service's log.
//
// The id is that of the chain's root. Each coroutine's note remembers who awaits it, so that the
// way up costs a few loads for each frame.
#include <corodump/detail/log_line.hpp>

#include "agent/base/text.hpp"
#include "agent/sources/contexts.hpp"
#include "agent/sources/descriptions.hpp"
#include "agent/sources/object_notes.hpp"
#include "agent/sources/sides.hpp"

namespace corodump::sources {
namespace {

constexpr std::size_t max_frames = 256;

/// Outermost first counts: the last one that has a name.
void take_name(const detail::record* of, detail::task_text& into) noexcept {
    const detail::side_record* const side = side_there(of);
    if (side == nullptr) return;
    char buffer[sizeof(detail::side_record)];
    const std::uint32_t number = side_number(reinterpret_cast<std::uintptr_t>(side));
    const side_facts facts =
        read_side(number, of->generation.load(std::memory_order_relaxed), buffer);
    if (facts.name.empty()) return;
    into.name_bytes = static_cast<std::uint32_t>(facts.name.copy(into.name, sizeof into.name - 1));
    into.name[into.name_bytes] = '\0';
}

void take_id(const detail::record* of, detail::task_text& into) noexcept {
    base::text id{std::span(into.id).first(sizeof into.id - 1)};
    id.hex(frame_of(of)).append('.').decimal(of->generation.load(std::memory_order_relaxed));
    into.id_bytes = static_cast<std::uint32_t>(id.size());
    into.id[into.id_bytes] = '\0';
}

}  // namespace
}  // namespace corodump::sources

extern "C" const void** corodump_log_line_v1() noexcept {
    static __thread const void* line __attribute__((tls_model("initial-exec"))) = nullptr;
    return &line;
}

extern "C" void corodump_task_text_v1(corodump::detail::task_text* into) noexcept {
    namespace sources = corodump::sources;
    into->id_bytes = into->name_bytes = 0;
    into->id[0] = into->name[0] = '\0';
    const corodump::detail::record* root = nullptr;
    const corodump::detail::record* at = sources::task_frame();
    for (std::size_t i = 0; at != nullptr && i < sources::max_frames; ++i) {
        root = at;
        sources::take_name(at, *into);
        at = sources::awaiting_frame(at);
    }
    if (root != nullptr) sources::take_id(root, *into);
}
